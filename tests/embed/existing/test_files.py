"""Files of vectors in all layouts: the same rows in the same order, by blocks; and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from miner.embed.existing.files import ExistingVectors, open_vectors
from miner.errors import MinerError, UsageError

VECTORS = np.random.default_rng(0).normal(size=(25, 6)).astype(np.float32)
KEYS = [f"k{row:02d}" for row in range(25)]
PARTS = [VECTORS[:11], VECTORS[11:13], VECTORS[13:]]


def lists(rows: np.ndarray, kind: str = "list") -> pa.Array:
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))


def npy(folder: Path) -> Path:
    np.save(folder / "v.npy", VECTORS)
    return folder / "v.npy"


def npy_by_columns(folder: Path) -> Path:
    np.save(folder / "v.npy", np.asfortranarray(VECTORS.astype(">f8")))
    return folder / "v.npy"


def npz(folder: Path) -> Path:
    np.savez(folder / "v.npz", names=np.array(KEYS), a_long_name_of_an_array=VECTORS, counts=np.arange(25))
    return folder / "v.npz"


def npz_packed(folder: Path) -> Path:
    np.savez_compressed(folder / "v.npz", VECTORS)
    return folder / "v.npz"


def autofaiss(folder: Path) -> Path:
    for number, part in zip((2, 9, 10), PARTS, strict=True):
        np.save(folder / f"{number}.npy", part)
    return folder


def clip_retrieval(folder: Path) -> Path:
    (folder / "img_emb").mkdir()
    (folder / "text_emb").mkdir()
    (folder / "metadata").mkdir()
    np.save(folder / "text_emb" / "text_emb_2.npy", VECTORS)
    first = 0
    for number, part in zip((2, 9, 10), PARTS, strict=True):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", part)
        table = pa.table({"image_path": KEYS[first : first + len(part)], "caption": ["x"] * len(part)})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
        first += len(part)
    return folder


def pattern(folder: Path) -> Path:
    autofaiss(folder)
    np.save(folder / "other.npy", VECTORS[:, :2])
    return folder / "[0-9]*.npy"


def safetensors(folder: Path) -> Path:
    tensors = {"vectors": torch.from_numpy(VECTORS), "rows": torch.arange(25)}
    save_file(tensors, folder / "v.safetensors")
    return folder / "v.safetensors"


def parquet(folder: Path) -> Path:
    table = pa.table({"key": KEYS, "box": lists(VECTORS[:, :4]), "embedding": lists(VECTORS)})
    pq.write_table(table, folder / "v.parquet", row_group_size=7)
    return folder / "v.parquet"


def parquet_fixed(folder: Path) -> Path:
    for number, part in enumerate(PARTS):
        table = pa.table({"clip": lists(part.astype(np.float64), "fixed")})
        pq.write_table(table, folder / f"train-{number:05d}-of-00003.parquet")
    pq.write_table(pa.table({"clip": lists(VECTORS)}), folder / "test-00000-of-00001.parquet")
    return folder


def save_to_disk(folder: Path) -> Path:
    """As `datasets.Dataset.save_to_disk` writes; a test below compares with the library."""
    names = []
    for number, part in enumerate(PARTS):
        names.append({"filename": f"data-{number:05d}-of-00003.arrow"})
        table = pa.table({"embedding": lists(part)})
        with pa.ipc.new_stream(folder / names[-1]["filename"], table.schema) as stream:
            stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": names}))
    return folder


LAYOUTS = [
    *(npy, npy_by_columns, npz, npz_packed, autofaiss, clip_retrieval, pattern, safetensors),
    *(parquet, parquet_fixed, save_to_disk),
]


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_gives_the_rows_in_order(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    vectors = open_vectors(str(write(tmp_path)), None)

    assert (len(vectors), vectors.dim, vectors.dtype) == (25, 6, "float32")
    for start, stop in ((0, 10), (10, 20), (20, 25), (3, 13), (0, 25), (12, 13)):
        assert np.array_equal(vectors.read(start, stop), VECTORS[start:stop]), (start, stop)
    assert len(vectors.fingerprints()) == len(vectors.files)


@pytest.mark.parametrize("split", [False, True])
def test_folders_of_the_datasets_library_open(tmp_path: Path, split: bool) -> None:
    datasets = pytest.importorskip("datasets")
    columns = {"image_id": KEYS, "embedding": VECTORS.tolist()}
    features = datasets.Features(
        {"image_id": datasets.Value("string"), "embedding": datasets.List(datasets.Value("float32"), length=6)}
    )
    one = datasets.Dataset.from_dict(columns, features)
    if not split:
        one.save_to_disk(tmp_path / "d", num_shards=3)
        vectors = open_vectors(str(tmp_path / "d"), None)
        assert np.array_equal(vectors.read(0, 25), VECTORS)
        assert vectors.table(["image_id"])["image_id"].to_pylist() == KEYS
    else:
        datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "d")
        with pytest.raises(UsageError, match=r"parts test, train of a data set. Name one"):
            open_vectors(str(tmp_path / "d"), None)


def test_halves_stay_halves_in_every_format(tmp_path: Path) -> None:
    halves = VECTORS.astype(np.float16)
    np.save(tmp_path / "h.npy", halves)
    save_file({"h": torch.from_numpy(halves)}, tmp_path / "h.safetensors")
    save_file({"h": torch.from_numpy(VECTORS).bfloat16()}, tmp_path / "b.safetensors")
    pq.write_table(pa.table({"h": lists(halves)}), tmp_path / "h.parquet")

    for name in ("h.npy", "h.safetensors", "h.parquet"):
        vectors = open_vectors(str(tmp_path / name), None)
        assert vectors.dtype == "float16"
        assert np.array_equal(vectors.read(2, 9), halves[2:9])
    wide = open_vectors(str(tmp_path / "b.safetensors"), None)
    assert wide.dtype == "float32"
    assert np.array_equal(wide.read(0, 25), torch.from_numpy(VECTORS).bfloat16().float().numpy())


def test_several_candidates_are_listed_and_one_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", image=VECTORS, text=VECTORS * 2)
    save_file({"image": torch.from_numpy(VECTORS), "text": torch.ones(25, 6)}, tmp_path / "v.safetensors")
    pq.write_table(pa.table({"image": lists(VECTORS), "text": lists(VECTORS * 2)}), tmp_path / "v.parquet")

    for name in ("v.npz", "v.safetensors", "v.parquet"):
        with pytest.raises(UsageError, match=r"several .*image.*text.*Name one with --vector-column image"):
            open_vectors(str(tmp_path / name), None)
        with pytest.raises(UsageError, match=r"called 'video'.*image"):
            open_vectors(str(tmp_path / name), "video")
        assert np.array_equal(open_vectors(str(tmp_path / name), "image").read(0, 25), VECTORS)


def refused(path: Path | str) -> str:
    with pytest.raises(MinerError) as error:
        open_vectors(str(path), None).read(0, 3)
    return str(error.value)


def test_what_is_no_array_of_vectors_is_refused(tmp_path: Path) -> None:
    arrays = {
        "int64 (3, 2)": np.ones((3, 2), np.int64),
        "float32 (3)": np.ones(3, np.float32),
        "float32 (0, 2)": np.ones((0, 2), np.float32),
        "Python objects (3, 1)": np.array([[{}], [{}], [{}]]),
    }
    for what, array in arrays.items():
        np.save(tmp_path / "v.npy", array, allow_pickle=True)
        assert f"holds {what}. Vectors are numbers of float16" in refused(tmp_path / "v.npy")
    pq.write_table(pa.table({"v": pa.array([[1, 2]] * 3)}), tmp_path / "v.parquet")
    assert "no column of vectors, which are lists of floating numbers. It has v: list" in refused(
        tmp_path / "v.parquet"
    )


def test_damaged_and_foreign_files_are_refused_in_words(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", VECTORS)
    whole = (tmp_path / "v.npy").read_bytes()
    for name, data in {
        "short.npy": whole[:-8],
        "page.npy": b"<html>no",
        "page.npz": b"<html>no",
        "page.parquet": b"<html>no",
        "page.safetensors": b"<html>no",
        "page.arrow": b"<html>no",
    }.items():
        (tmp_path / name).write_bytes(data)
        message = refused(tmp_path / name)
        assert f"{name} cannot be read" in message
        assert ("a web page" in message) == name.startswith("page")


def test_ragged_rows_are_refused_and_absent_ones_are_nan(tmp_path: Path) -> None:
    rows = [[1.0, 2.0], None, [3.0, 4.0]]
    pq.write_table(pa.table({"v": pa.array(rows)}), tmp_path / "v.parquet")
    read = open_vectors(str(tmp_path / "v.parquet"), None).read(0, 3)
    assert np.isnan(read[1]).all()
    assert read[[0, 2]].tolist() == [rows[0], rows[2]]
    pq.write_table(pa.table({"v": pa.array([*rows[::2], [5.0]])}), tmp_path / "v.parquet")
    assert "row 2 has 1 numbers in the column v, and the first row has 2" in refused(tmp_path / "v.parquet")


def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    autofaiss(tmp_path)
    np.save(tmp_path / "11.npy", VECTORS[:, :4])
    assert "11.npy holds vectors of 4 dimensions, and" in refused(tmp_path)
    np.savez(tmp_path / "a.npz", VECTORS)
    assert "files of several kinds (.npy, .npz)" in refused(tmp_path)
    assert "there are no vectors" in refused(tmp_path / "none.npy")
    (tmp_path / "empty").mkdir()
    assert "there are no vectors" in refused(tmp_path / "empty")
    (tmp_path / "empty" / "readme.md").write_text("x")
    assert "there are no vectors" in refused(tmp_path / "empty")
    assert "Copy them here first" in refused("s3://b/v.npy")
    (tmp_path / "notes.txt").write_text("x")
    assert "names a .txt file" in refused(tmp_path / "notes.txt")


def test_metadata_of_other_length_is_refused(tmp_path: Path) -> None:
    clip_retrieval(tmp_path)
    pq.write_table(pa.table({"image_path": ["a"]}), tmp_path / "metadata" / "metadata_9.parquet")
    assert "metadata_9.parquet has 1 row, and" in refused(tmp_path)


def test_blocks_of_large_files_leave_memory_free(tmp_path: Path) -> None:
    """Reading all rows by blocks holds a block, not the file."""
    import tracemalloc

    large = np.zeros((40_000, 64), np.float32)
    np.save(tmp_path / "v.npy", large)
    np.savez(tmp_path / "v.npz", large)
    pq.write_table(pa.table({"v": lists(large, "fixed")}), tmp_path / "v.parquet", row_group_size=40_000)
    for name in ("v.npy", "v.npz", "v.parquet"):
        vectors: ExistingVectors = open_vectors(str(tmp_path / name), None)
        tracemalloc.start()
        before = pa.total_allocated_bytes()
        most = 0
        for start in range(0, 40_000, 1000):
            vectors.read(start, start + 1000)
            most = max(most, pa.total_allocated_bytes() - before)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert max(peak, most) < large.nbytes / 4, name
