"""`miner embed --vectors`: vectors alone, and tied to the images of a source."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import Result
from miner.errors import MinerError, UsageError
from miner.source import open_source
from miner.verify.run import verify
from tests.embed.folders import checksums


def unit_rows(count: int, dim: int = 6, dtype: str = "float32") -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def take(workspace: Workspace, vectors: np.ndarray, force: bool = False, **options) -> Result:
    path = workspace.root.parent / "vectors.npy"
    np.save(path, vectors)
    return embed(EmbedOptions.parse({"vectors": str(path), **options}), workspace, force=force)


def keys_file(folder: Path, names: Sequence[str]) -> Path:
    (folder / "keys.txt").write_text("\n".join(names) + "\n")
    return folder / "keys.txt"


def refused(*arguments, **options) -> str:
    with pytest.raises(MinerError) as error:
        take(*arguments, **options)
    return str(error.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_unit_rows_keep_their_numbers(workspace: Workspace, dtype: str) -> None:
    vectors = unit_rows(30, dtype=dtype)
    take(workspace, vectors, block_size=8)

    store = EmbeddingStore(workspace)
    assert np.array_equal(store.vectors, vectors.astype(np.float16 if dtype == "float16" else np.float32))
    assert store.manifest.blocks == 4
    assert store.keys[:2] == ["0", "1"]
    assert verify(str(workspace.root)).lines[0].endswith("9 files are whole; 30 images")


def test_rows_of_any_length_become_unit_rows(workspace: Workspace) -> None:
    vectors = unit_rows(5, dtype="float64") * np.array([[3.0], [1e200], [1e-200], [1.0], [0.5]])
    take(workspace, vectors, dtype="float32")

    stored = EmbeddingStore(workspace).vectors.astype(np.float64)
    assert np.allclose(stored, unit_rows(5, dtype="float64"), atol=1e-7)


def test_rows_without_direction_are_left_out_and_listed(workspace: Workspace) -> None:
    vectors = unit_rows(6)
    vectors[1], vectors[2, 0], vectors[4, 1] = 0, np.nan, -np.inf
    result = take(workspace, vectors, block_size=3)

    assert EmbeddingStore(workspace).keys == ["0", "3", "5"]
    assert "3 without a usable vector or image (1: zero or non-finite vector" in result.lines[0]
    many = unit_rows(30)
    many[:11] = 0
    assert "11 of 30 images could not be used" in refused(workspace, many, force=True)


def test_the_same_vectors_elsewhere_are_the_same_request(workspace: Workspace, tmp_path: Path) -> None:
    vectors = unit_rows(9)
    take(workspace, vectors)
    before = checksums(workspace.root)
    (tmp_path / "moved").mkdir()
    shutil.move(tmp_path / "vectors.npy", tmp_path / "moved" / "v.npy")

    assert not embed(EmbedOptions(vectors=str(tmp_path / "moved" / "v.npy")), workspace).fresh
    assert checksums(workspace.root) == before
    assert "the vectors are others" in refused(workspace, vectors[::-1].copy())
    assert "the keys or labels of the vectors are others" in refused(
        workspace, vectors, keys=keys_file(tmp_path, "abcdefghi")
    )
    assert "--dtype was float32 and is now float16" in refused(workspace, vectors, dtype="float16")


def test_a_killed_run_goes_on_to_the_same_bytes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from miner.embed.existing.files import ExistingVectors

    vectors, read = unit_rows(20), ExistingVectors.read
    whole = Workspace(workspace.root.with_name("whole"))
    take(whole, vectors, block_size=4)
    starts: list[int] = []

    def dying(self: ExistingVectors, start: int, stop: int) -> np.ndarray:
        starts.append(start)
        if starts == [0, 4, 8]:
            raise KeyboardInterrupt
        return read(self, start, stop)

    monkeypatch.setattr(ExistingVectors, "read", dying)
    with pytest.raises(KeyboardInterrupt):
        take(workspace, vectors, block_size=4)
    take(workspace, vectors, block_size=4)
    assert starts == [0, 4, 8, 8, 12, 16]
    assert checksums(workspace.root) == checksums(whole.root)


def test_names_come_from_text_tables_or_the_metadata_beside(workspace: Workspace, tmp_path: Path) -> None:
    names = ["a b/c.jpg", "clean_key", "007"]
    table = {"extra": [1, 2, 3], "file_name": names, "label": ["cat", "dog", None]}
    pq.write_table(pa.table(table), tmp_path / "k.parquet")
    rows = zip(names, ("cat", "dog", ""), strict=True)
    (tmp_path / "k.csv").write_text("file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
    lines = "".join(
        f'{{"file_name": "{name}", "label": "{label}"}}\n' for name, label in zip(names, "xyx", strict=True)
    )
    (tmp_path / "k.jsonl").write_text(lines)
    for file in (keys_file(tmp_path, names), *(tmp_path / f"k.{ending}" for ending in ("parquet", "csv", "jsonl"))):
        take(workspace, unit_rows(3), keys=file, force=True)
        store = EmbeddingStore(workspace)
        assert store.metadata["path"].to_pylist() == names
        assert store.keys[1:] == names[1:]
        labels = {"txt": None, "jsonl": [0, 1, 0]}.get(file.suffix[1:], [0, 1, -1])
        assert (store.labels is None) == (labels is None)
        assert labels is None or store.labels.tolist() == labels
    take(workspace, unit_rows(3), keys=tmp_path / "k.csv", label_column="none", force=True)
    assert EmbeddingStore(workspace).labels is None


def test_names_that_do_not_fit_are_refused_in_words(workspace: Workspace, tmp_path: Path) -> None:
    vectors = unit_rows(3)
    assert "There are 2 keys in the lines of" in refused(workspace, vectors, keys=keys_file(tmp_path, "ab"))
    assert "1 key stands more than once" in refused(workspace, vectors, keys=keys_file(tmp_path, "aba"))
    assert "a (2 times)" in refused(workspace, vectors, keys=keys_file(tmp_path, "aba"))
    assert "A key is empty" in refused(workspace, vectors, keys=keys_file(tmp_path, ["a", "", "b"]))
    (tmp_path / "k.csv").write_text("x,y\n1,2\n3,4\n5,6\n")
    assert "has the columns x, y, and none has a usual name" in refused(workspace, vectors, keys=tmp_path / "k.csv")
    assert "none is called z" in refused(workspace, vectors, keys=tmp_path / "k.csv", key_column="z")
    assert "--label-column l" in refused(workspace, vectors, keys=tmp_path / "k.csv", key_column="x", label_column="l")
    assert "there is no such file" in refused(workspace, vectors, keys=tmp_path / "none.txt")
    (tmp_path / "k.txt").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as text" in refused(workspace, vectors, keys=tmp_path / "k.txt")
    assert "--key-column x: there is no such column, there is no table" in refused(workspace, vectors, key_column="x")
    assert not workspace.root.exists()


def test_options_of_the_other_kind_are_refused() -> None:
    for values, message in {
        (): "Name SOURCE, the images to encode; or --vectors",
        (("vectors", "v.npy"), ("encoder", "resnet50")): "--encoder belongs to encoding",
        (("vectors", "v.npy"), ("draft", 2)): "--draft belongs to encoding",
        (("source", "x"), ("keys", "k.txt")): "--keys describes vectors that exist already",
    }.items():
        with pytest.raises(UsageError, match=message):
            EmbedOptions.parse(dict(values))


@pytest.fixture
def photos(make_photos) -> Path:
    return make_photos(count=8)


@pytest.mark.parametrize("named_by", ["key", "path", "absolute", "elsewhere", "file", "stem"])
def test_vectors_are_tied_to_images_by_name(workspace: Workspace, photos: Path, tmp_path: Path, named_by: str) -> None:
    entries = open_source(str(photos)).entries
    names = {
        "key": [entry.key for entry in entries],
        "path": [entry.path for entry in entries],
        "absolute": [str(photos / entry.path) for entry in entries],
        "elsewhere": [f"/data/other/{entry.path}" for entry in entries],
        "file": [Path(entry.path).name for entry in entries],
        "stem": [Path(entry.path).stem for entry in entries],
    }[named_by]
    vectors = unit_rows(8)
    result = take(workspace, vectors, source=str(photos), keys=keys_file(tmp_path, names[::-1]), block_size=3)

    store = EmbeddingStore(workspace)
    assert store.keys == [entry.key for entry in entries][::-1]
    assert store.labels.tolist() == [entry.label for entry in entries][::-1]
    assert np.array_equal(store.vectors, vectors)
    assert store.manifest.source.classes == ["class0", "class1"]
    assert set(store.metadata["width"].to_pylist()) == {40}
    assert "8 images; labels: 8 of 8 in 2 classes" in result.lines[0]
    assert not take(workspace, vectors, source=str(photos), keys=keys_file(tmp_path, names[::-1]), block_size=3).fresh


def test_names_of_no_image_are_refused_with_examples(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    names = [entry.path for entry in open_source(str(photos)).entries]
    source = {"source": str(photos)}
    assert "Nothing says which image" in refused(workspace, unit_rows(8), **source)
    message = refused(workspace, unit_rows(8), **source, keys=keys_file(tmp_path, [*names[:6], "x.jpg", "y.jpg"]))
    assert "2 of 8 names in the lines of" in message
    assert f"such as x.jpg, y.jpg. There the first image has the path {names[0]}" in message
    assert not workspace.root.exists()


def test_images_without_a_vector_are_listed(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    names = [entry.path for entry in open_source(str(photos)).entries]
    (photos / "class0" / "broken.jpg").write_bytes(b"no image")
    vectors = unit_rows(7)
    vectors[2] = 0
    keys = keys_file(tmp_path, [*names[:6], "class0/broken.jpg"])
    result = take(workspace, vectors, source=str(photos), keys=keys, block_size=4)

    assert EmbeddingStore(workspace).metadata["path"].to_pylist() == [*names[:2], *names[3:6]]
    reasons = {row["path"]: row["reason"] for row in pq.read_table(workspace.embeddings / "errors.parquet").to_pylist()}
    assert reasons.keys() == {names[2], names[6], names[7], "class0/broken.jpg"}
    assert reasons[names[6]] == "no vector in vectors.npy"
    assert "4 without a usable vector or image" in result.lines[0]


def test_many_images_without_a_vector_are_refused(workspace: Workspace, make_photos, tmp_path: Path) -> None:
    photos = make_photos(count=14)
    names = [entry.path for entry in open_source(str(photos)).entries]
    options = {"source": str(photos), "keys": keys_file(tmp_path, names[:3])}
    assert f"11 of 14 images of {photos} have no vector in" in refused(workspace, unit_rows(3), **options)
    take(workspace, unit_rows(3), **options, max_errors=1)
    assert len(EmbeddingStore(workspace)) == 3


def test_images_that_change_afterwards_are_refused(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    names = [entry.path for entry in open_source(str(photos)).entries]
    options = {"source": str(photos), "keys": keys_file(tmp_path, names)}
    take(workspace, unit_rows(8), **options)
    one = photos / names[0]
    data = bytearray(one.read_bytes())
    data[-9] ^= 1
    one.write_bytes(data)
    assert "are not those that were embedded" in refused(workspace, unit_rows(8), **options)


def test_vectors_in_the_tables_of_the_source_need_no_names(workspace: Workspace, photos: Path, tmp_path: Path) -> None:
    images = [{"bytes": path.read_bytes(), "path": None} for path in sorted(photos.rglob("*.jpg"))]
    vectors = unit_rows(8)
    pq.write_table(pa.table({"image": images, "clip": pa.array(list(vectors))}), tmp_path / "both.parquet")
    both = str(tmp_path / "both.parquet")
    embed(EmbedOptions(source=both, vectors=both), workspace)
    store = EmbeddingStore(workspace)
    assert np.array_equal(store.vectors, vectors)
    assert store.keys == [entry.key for entry in open_source(both).entries]


def test_embeddings_of_miner_are_vectors_too(workspace: Workspace, tmp_path: Path) -> None:
    take(workspace, unit_rows(10, dtype="float16"), keys=keys_file(tmp_path, "abcdefghij"), block_size=4)
    again = Workspace(tmp_path / "again")
    embed(EmbedOptions(vectors=str(workspace.root), block_size=4), again)
    for name in ("img_emb", "metadata"):
        assert checksums(again.embeddings / name) == checksums(workspace.embeddings / name)
