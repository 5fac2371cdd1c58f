import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, sys, threading
from miner.engine.heap import share_one_heap

if sys.argv[1] == "shared":
    share_one_heap()
import pyarrow.parquet, torch

together = threading.Barrier(4)

def allocate():
    together.wait()
    torch.empty(1 << 20).zero_()
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, stream)
libc.fclose(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other heaps")
def test_threads_share_the_heap_of_the_process(tmp_path) -> None:
    heaps = {}
    for kind in ("own", "shared"):
        path = tmp_path / kind
        subprocess.run([sys.executable, "-c", HEAPS, kind, str(path)], check=True)
        heaps[kind] = path.read_text().count("<heap nr=")
    assert heaps["shared"] == 1 < heaps["own"]
