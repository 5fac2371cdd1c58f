"""Arrays as .npy files. A write that fails is an error, also where numpy's own goes through a buffer of C and loses it."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class _Stream:
    """A file that numpy does not take for one of the system, so that it writes through Python."""

    def __init__(self, file: Any) -> None:
        self.write = file.write


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `numpy.save` does, with the same bytes.

    Raises:
        OSError: the file cannot be written to its end. `numpy.save` is silent about it below 4 kB (numpy 2.4).
    """
    with path.open("wb") as file:
        np.save(_Stream(file), array)


def create_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """A new .npy file of zeros, mapped into memory, whose place on the disk is reserved.

    Raises:
        OSError: there is no room for it. Without the reservation, the first write to a full disk would end the process.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb", buffering=0) as file:
        np.lib.format.write_array_header_1_0(file, header)
        size = file.tell() + np.dtype(dtype).itemsize * math.prod(shape)
        os.truncate(file.fileno(), size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    created: NDArray[Any] = np.load(path, mmap_mode="r+")
    return created
