import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from miner.machine.memory import default_bytes, format_bytes, free_bytes, parse_bytes, peak_bytes

MB = 1 << 20
GB = 1 << 30
PEAK = "from miner.machine.memory import peak_bytes; before = peak_bytes(); a = bytearray(200 << 20); print(before, peak_bytes())"
V1_UNLIMITED = 9223372036854771712


def machine(root: Path, files: dict[str, object]) -> Path:
    """A made-up machine that has 8 GB free, and these files below its `proc` and `sys/fs/cgroup`."""
    files = {"proc/meminfo": f"MemTotal: {16 * GB >> 10} kB\nMemFree: 1 kB\nMemAvailable: {8 * GB >> 10} kB\n", **files}
    for name, content in files.items():
        path = root / (name if name.startswith("proc/") else f"sys/fs/cgroup/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def group(folder: str, limit: object, used: int, cached: int = 0) -> dict[str, object]:
    """The files of a control group of version 2."""
    stat = f"anon 5\ninactive_file {cached}\nactive_file 7"
    return {f"{folder}memory.max": limit, f"{folder}memory.current": used, f"{folder}memory.stat": stat}


def group_v1(folder: str, limit: int, used: int, cached: int = 0) -> dict[str, object]:
    """The files of a control group of version 1."""
    names = {"limit_in_bytes": limit, "usage_in_bytes": used, "stat": f"inactive_file 1\ntotal_inactive_file {cached}"}
    return {f"memory/{folder}memory.{name}": value for name, value in names.items()}


@pytest.mark.parametrize(
    ("files", "free"),
    [
        pytest.param({}, 8 * GB, id="no groups"),
        pytest.param({"proc/self/cgroup": "0::/", **group("", 3 * GB, GB)}, 2 * GB, id="v2 container"),
        pytest.param(group("", 3 * GB, GB), 2 * GB, id="v2 without a list of groups"),
        pytest.param({"proc/self/cgroup": "0::/a/b", **group("a/b/", 3 * GB, GB)}, 2 * GB, id="v2 nested"),
        pytest.param(
            {"proc/self/cgroup": "0::/a/b", **group("a/b/", "max", GB), **group("a/", 5 * GB, 4 * GB)},
            GB,
            id="v2 limit of the parent",
        ),
        pytest.param({"proc/self/cgroup": "0::/a", **group("a/", "max", GB)}, 8 * GB, id="v2 max"),
        pytest.param({"proc/self/cgroup": "0::/a", **group("b/", 3 * GB, GB)}, 8 * GB, id="v2 another's group"),
        pytest.param({"proc/self/cgroup": "0::/a", **group("a/", 90 * GB, GB)}, 8 * GB, id="v2 above the machine"),
        pytest.param({"proc/self/cgroup": "0::/a", **group("a/", GB, 2 * GB)}, 0, id="v2 over its limit"),
        pytest.param({"proc/self/cgroup": "0::/a", **group("a/", 3 * GB, 2 * GB, GB)}, 2 * GB, id="v2 cache of files"),
        pytest.param(
            {"proc/self/cgroup": "0::/../../a", **group("", 3 * GB, GB)}, 2 * GB, id="v2 outside the namespace"
        ),
        pytest.param({"proc/self/cgroup": "4:memory:/d/c\n0::/", **group_v1("d/c/", GB, 5)}, GB - 5, id="v1 nested"),
        pytest.param({"proc/self/cgroup": "4:cpu,memory:/d", **group_v1("", GB, 5)}, GB - 5, id="v1 container"),
        pytest.param({"proc/self/cgroup": "4:memory:/", **group_v1("", GB, 9, 4)}, GB - 5, id="v1 cache of files"),
        pytest.param({"proc/self/cgroup": "4:memory:/", **group_v1("", V1_UNLIMITED, GB)}, 8 * GB, id="v1 unlimited"),
        pytest.param(
            {"proc/self/cgroup": "4:cpu:/a\n1:name=systemd:/", **group_v1("a/", GB, 5)}, 8 * GB, id="v1 cpu only"
        ),
        pytest.param({"proc/self/cgroup": "no groups\n::", **group("", "much", GB)}, 8 * GB, id="damaged"),
        pytest.param({"proc/self/cgroup": "0::/", "memory.max": GB}, 8 * GB, id="usage is missing"),
        pytest.param({"proc/self/cgroup": "0::/", **group("", "", GB)}, 8 * GB, id="limit is empty"),
    ],
)
def test_free_bytes_honour_control_groups(tmp_path: Path, files: dict[str, object], free: int) -> None:
    assert free_bytes(machine(tmp_path, files)) == free


def test_free_bytes_without_linux_files(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 100 * MB


def test_free_bytes_are_below_those_of_the_machine() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < default_bytes() < free_bytes() <= total


def test_peak_bytes_leave_out_the_parent_process() -> None:
    held = np.ones(600 * MB, np.uint8)
    assert peak_bytes() > len(held)
    answer = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    before, after = map(int, answer.stdout.split())
    assert before < 400 * MB
    assert 190 * MB < after - before < 250 * MB


def test_sizes_are_parsed() -> None:
    sizes = {"512MB": 512 * 10**6, "8GB": 8 * 10**9, "1.5g": 1500000000, "2GiB": 2**31, "64 kib": 2**16, "1000": 1000}
    assert {text: parse_bytes(text) for text in sizes} == sizes


def test_bytes_are_formatted_in_decimal_units() -> None:
    texts = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 1_234_567: "1.2 MB", 2 * 10**12: "2.0 TB"}
    assert {number: format_bytes(number) for number in texts} == texts


@pytest.mark.parametrize("text", ["", "much", "-1GB", "5ib", "5 MB or so"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


def test_free_bytes_honour_the_limits_of_the_process() -> None:
    code = "import resource, miner.machine.memory as m; resource.setrlimit(resource.{}, (1 << 28,) * 2); print(m.free_bytes())"
    for limit in ("RLIMIT_AS", "RLIMIT_DATA"):
        shown = subprocess.run([sys.executable, "-c", code.format(limit)], capture_output=True, text=True, check=True)
        assert 0 < int(shown.stdout) < 1 << 28
