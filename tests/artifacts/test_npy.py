import errno
import io
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from miner.artifacts.npy import create_array, save_array


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """Let writes of this process fail beyond a size, as they do on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(
    "array", [np.arange(12.0).reshape(3, 4), np.zeros((0, 5), np.float16), np.arange(6).reshape(2, 3).T]
)
def test_bytes_are_those_of_numpy(tmp_path, array) -> None:
    expected = io.BytesIO()
    np.save(expected, array)
    save_array(tmp_path / "a.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("rows", [300, 2_000])
def test_array_that_does_not_fit_is_an_error(tmp_path, rows) -> None:
    with pytest.raises(OSError) as caught, no_file_above(900):
        save_array(tmp_path / "a.npy", np.zeros(rows, np.float32))
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("shape", [(3, 4), (0, 4)])
def test_created_array_has_the_bytes_of_numpy(tmp_path, shape) -> None:
    expected = io.BytesIO()
    np.save(expected, np.ones(shape, np.int64))
    create_array(tmp_path / "a.npy", np.int64, shape)[:] = 1
    assert (tmp_path / "a.npy").read_bytes() == expected.getvalue()


def test_array_without_a_place_is_an_error(tmp_path) -> None:
    with pytest.raises(OSError), no_file_above(900):
        create_array(tmp_path / "a.npy", np.int64, (300,))
