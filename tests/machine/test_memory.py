import subprocess
import sys

import numpy as np

from miner.machine.memory import peak_bytes

MB = 1 << 20
PEAK = "from miner.machine.memory import peak_bytes; before = peak_bytes(); a = bytearray(200 << 20); print(before, peak_bytes())"


def test_peak_is_that_of_the_process_itself_and_not_of_the_one_that_started_it() -> None:
    held = np.ones(600 * MB, np.uint8)
    assert peak_bytes() > len(held)
    answer = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    before, after = map(int, answer.stdout.split())
    assert before < 400 * MB
    assert 190 * MB < after - before < 250 * MB
