"""Vectors read from files equal those in memory, whatever is asked for."""

from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.embeddings.vectors import ChosenVectors, FileVectors, MemoryVectors, VectorFile


@pytest.fixture
def stored(tmp_path: Path) -> tuple[np.ndarray, FileVectors]:
    array = np.random.default_rng(0).normal(size=(57, 7)).astype(np.float16)
    files, start = [], 0
    for number, rows in enumerate((20, 0, 1, 36)):
        path = tmp_path / f"{number}.npy"
        np.save(path, array[start : start + rows])
        files.append(VectorFile(path, rows, np.load(path, mmap_mode="r").offset if rows else 128))
        start += rows
    return array, FileVectors(tuple(files), 7, np.dtype(np.float16))


@pytest.mark.parametrize(("start", "stop"), [(0, 57), (0, 20), (19, 22), (20, 21), (30, 57), (5, 5)])
def test_runs_of_rows(stored, start: int, stop: int) -> None:
    array, vectors = stored
    assert len(vectors) == 57
    np.testing.assert_array_equal(vectors.read(start, stop), array[start:stop])


def test_rows_by_number(stored) -> None:
    array, vectors = stored
    rows = np.array([56, 3, 3, 20, 21, 0, 19])
    np.testing.assert_array_equal(vectors.take(rows), array[rows])
    assert vectors.take(rows[:0]).shape == (0, 7)
    for whole in (vectors, MemoryVectors(array)):
        chosen = ChosenVectors(whole, np.arange(1, 57, 2))
        np.testing.assert_array_equal(chosen.read(3, 9), array[1:57:2][3:9])
        np.testing.assert_array_equal(chosen.take(np.array([27, 0])), array[[55, 1]])
        assert chosen.in_memory == whole.in_memory


def test_a_file_that_ends_early_is_noticed(stored) -> None:
    _, vectors = stored
    path = vectors.files[3].path
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(OSError, match="ends early"):
        vectors.read(0, 57)
    with pytest.raises(OSError, match="ends early"):
        vectors.take(np.array([56]))
