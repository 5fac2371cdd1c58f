import errno
import resource
import socket
from pathlib import Path

import pytest

from miner.engine.atomic import explain_write_error
from miner.engine.limits import answers_in_time, explain_limit


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), r"too many files are open at once \(`ulimit -n` allows \d+"),
        (OSError(errno.ENFILE, "Too many open files in system"), "too many files are open"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (MemoryError(), "the memory is used up"),
        (ImportError("libx.so: failed to map segment from shared object"), "the memory is used up"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "the memory is used up"),
    ],
)
def test_a_limit_is_named_and_is_no_fault(error: Exception, words: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=words):
        raise explain_write_error(error, tmp_path)
    assert "disk is full" not in str(explain_limit(error))


def test_the_limit_of_a_file_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (4096, 4096))
    explained = explain_write_error(OSError(errno.EFBIG, "File too large"), tmp_path)
    assert "`ulimit -f` allows 4,096 bytes" in str(explained) and "disk" not in str(explained)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), ValueError("x"), ImportError("No module x")])
def test_other_errors_are_no_limit(error: Exception) -> None:
    assert explain_limit(error) is None


def test_downloads_do_not_wait_for_a_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with answers_in_time(), pytest.raises(ValueError, match="x"):
            assert socket.create_connection(silent.getsockname()).gettimeout() == 30
            raise ValueError("x")
        assert socket.getdefaulttimeout() is None
