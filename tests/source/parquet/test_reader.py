import io
import json
import threading
from datetime import date
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from miner.errors import MinerError
from miner.source import open_source
from miner.source.base import SourceWithFields
from miner.source.keys import is_clean
from miner.source.parquet.cache import ByteBoundCache
from miner.source.parquet.file import ImageFile
from miner.source.parquet.reader import ParquetSource


def picture(number: int, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (3, 2), (number, number, number)).save(stream, kind)
    return stream.getvalue()


def table(numbers: range, names: list[str] | None = None, paths: bool = True, **columns: list) -> pa.Table:
    """Images as the `datasets` library stores them."""
    images = [{"bytes": picture(n), "path": f"pic{n}.png" if paths else None} for n in numbers]
    data = pa.table({"image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), **columns})
    features: dict = {"image": {"_type": "Image"}}
    if names:
        features["label"] = {"names": names, "_type": "ClassLabel"}
    return data.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write(path: Path, data: pa.Table, rows: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(data, path, row_group_size=rows)
    return path


def test_bytes_and_labels_are_those_that_datasets_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["shoe", "bag"])})
    rows = {
        "image": [{"bytes": picture(n), "path": f"{n}.png"} for n in range(7)],
        "label": [n % 2 for n in range(7)],
    }
    written = datasets.Dataset.from_dict(rows, features=features)
    written.to_parquet(str(tmp_path / "train.parquet"), batch_size=3)
    source = open_source(str(tmp_path / "train.parquet"))
    assert pq.ParquetFile(tmp_path / "train.parquet").num_row_groups > 1
    assert source.classes == ["shoe", "bag"]
    oracle = written.cast_column("image", datasets.Image(decode=False))
    for entry, row in zip(source.entries, oracle, strict=True):
        assert (source.read(entry), entry.label) == (row["image"]["bytes"], row["label"])
        assert (entry.key, entry.extension) == (row["image"]["path"].removesuffix(".png"), "png")


def test_files_globs_braces_and_folders_name_the_same_images(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part-{number}.parquet", table(range(number * 4, number * 4 + 4), label=[0, 1, 2, 3]))
    specs = [
        f"{tmp_path}/part-{{0..2}}.parquet",
        f"{tmp_path}/part-*.parquet",
        f"{tmp_path}/part-*",
        str(tmp_path),
        f"file://{tmp_path}",
    ]
    found = []
    for spec in specs:
        source = open_source(spec)
        found.append([(entry.key, entry.path, entry.label, source.read(entry)) for entry in source.entries])
    assert found[0][5] == ("pic5", "part-1.parquet/pic5.png", 1, picture(5))
    assert found == [found[0]] * len(specs)


def test_plain_binary_column_and_rows_without_a_name(tmp_path: Path) -> None:
    data = pa.table({"id": [1, 2], "img": [picture(1, "JPEG"), picture(2, "JPEG")], "label": ["dog", "cat"]})
    source = open_source(str(write(tmp_path / "pets.parquet", data)))
    assert source.classes == ["cat", "dog"]
    assert [(entry.extension, entry.label, entry.path) for entry in source.entries] == [
        ("jpg", 1, "pets.parquet/0"),
        ("jpg", 0, "pets.parquet/1"),
    ]
    assert [source.read(entry) for entry in source.entries] == data["img"].to_pylist()
    assert len({entry.key for entry in source.entries}) == 2


def test_unlabelled_rows_of_hugging_face_have_no_label(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path / "a.parquet", table(range(2), ["x", "y"], label=[-1, 1]))))
    assert [entry.label for entry in source.entries] == [None, 1]


def test_repeated_and_unclean_names_give_unique_clean_keys(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = ["same.png", "same.png", "a.jpg", "a.png", "../../etc/x y.png", "", None, "n0/good.jpg"]
    images = pa.array([{"bytes": bytes([n]), "path": path} for n, path in enumerate(paths)], kind)
    write(tmp_path / "one" / "0.parquet", pa.table({"image": images}))
    write(tmp_path / "two" / "0.parquet", pa.table({"image": images}))
    keys = {entry.key for entry in open_source(f"{tmp_path}/{{one,two}}/0.parquet").entries}
    assert len(keys) == 16
    assert all(is_clean(key) for key in keys)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(3)))
def test_keys_and_labels_do_not_depend_on_the_order_of_files(tmp_path_factory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("parquet")
    for number in range(3):
        labels = [["cat", "dog", "emu"][number]] * 4
        write(folder / f"{number}.parquet", table(range(number * 4, number * 4 + 4), paths=number != 1, label=labels))
    found = []
    for numbers in (range(3), order):
        source = open_source(f"{folder}/{{{','.join(map(str, numbers))}}}.parquet")
        found.append({source.read(entry): (entry.key, entry.label) for entry in source.entries})
    assert found[0] == found[1]
    assert len({key for key, _ in found[0].values()}) == 12


def test_opening_reads_no_image_and_reading_reads_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", table(range(12)))
    groups: list[int] = []
    real = ImageFile.read_group
    monkeypatch.setattr(ImageFile, "read_group", lambda file, group: groups.append(group) or real(file, group))
    source = open_source(str(path))
    assert groups == []
    assert [source.read(source.entries[row]) for row in (4, 5, 3, 11)] == [picture(n) for n in (4, 5, 3, 11)]
    assert groups == [1, 3]


def test_too_large_a_row_group_is_refused_when_opened(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(range(4)))
    with pytest.raises(MinerError, match=r"row group.*row_group_size"):
        ParquetSource(str(path), largest_group_bytes=100)


def test_values_with_a_shared_start_are_read_within_the_limit(tmp_path: Path) -> None:
    def shared(name: str, **columns: list) -> str:
        encodings = dict.fromkeys(columns, "DELTA_BYTE_ARRAY")
        pq.write_table(pa.table(columns), tmp_path / name, use_dictionary=False, column_encoding=encodings)
        return str(tmp_path / name)

    images = [bytes(10_000) + picture(number) for number in range(200)]
    path = shared("images.parquet", image=images, label=["x" * 90] * 100 + ["y"] * 100)
    source = open_source(path)
    assert [source.read(entry) for entry in source.entries] == images
    assert [entry.label for entry in source.entries] == [0] * 100 + [1] * 100
    small = ParquetSource(path, largest_group_bytes=100_000)
    with pytest.raises(OSError, match="unpacks to more than"):
        small.read(small.entries[0])
    labels = shared("labels.parquet", image=[b"x"] * 50, label=["x" * 50_000] * 50)
    assert ParquetSource(labels, largest_group_bytes=100_000).left_out.labels == {"long text": 50}


def test_values_of_a_fixed_size_count_in_full(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([bytes(10_000)] * 50, pa.binary(10_000))}), tmp_path / "a.parquet")
    assert len(ParquetSource(str(tmp_path / "a.parquet"), largest_group_bytes=600_000).entries) == 50
    with pytest.raises(MinerError, match="row group"):
        ParquetSource(str(tmp_path / "a.parquet"), largest_group_bytes=400_000)


@pytest.mark.parametrize("image", [None, {"bytes": None, "path": "/etc/passwd"}])
def test_a_row_without_bytes_is_unreadable_and_no_path_is_opened(tmp_path: Path, image: dict | None) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    data = pa.table({"image": pa.array([image, {"bytes": b"x", "path": "b.png"}], kind)})
    source = open_source(str(write(tmp_path / "a.parquet", data)))
    with pytest.raises(OSError, match="no image bytes"):
        source.read(source.entries[0])
    assert source.read(source.entries[1]) == b"x"


def test_damaged_files_are_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(range(4)))
    whole = path.read_bytes()
    for damaged in (b"", b"PAR1", whole[:-20], whole[:-8] + b"\xff\xff\xff\x7fPAR1", b"no parquet at all"):
        path.write_bytes(damaged)
        with pytest.raises(MinerError, match=r"a\.parquet is damaged"):
            open_source(str(path))


def test_damage_inside_a_row_group_is_an_unreadable_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(range(4)))
    source = open_source(str(path))
    path.write_bytes(path.read_bytes()[:4] + b"\xff" * 200)
    with pytest.raises(OSError, match="corrupt"):
        source.read(source.entries[0])


def test_a_table_without_images_names_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"text": ["x"], "price": [1.0]}))
    with pytest.raises(MinerError, match=r"no column of image bytes.*text, price"):
        open_source(str(path))


def test_files_of_two_data_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(range(2), ["x", "y"], label=[0, 1]))
    write(tmp_path / "b.parquet", table(range(2), ["y", "z"], label=[0, 1]))
    with pytest.raises(MinerError, match="other class names"):
        open_source(str(tmp_path))


def test_a_folder_of_splits_gives_train_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "data" / "train-00000-of-00001.parquet", table(range(3)))
    write(tmp_path / "data" / "test-00000-of-00001.parquet", table(range(3, 5)))
    (tmp_path / "logo.png").write_bytes(b"logo")
    assert [entry.key for entry in open_source(str(tmp_path)).entries] == ["pic0", "pic1", "pic2"]
    assert f"{tmp_path}/data/test-*.parquet" in capfd.readouterr().err


def test_images_win_over_a_table_about_them(make_photos) -> None:
    folder = make_photos(count=6)
    pq.write_table(pa.table({"file_name": ["000.jpg"], "text": ["a shoe"]}), folder / "metadata.parquet")
    assert len(open_source(str(folder)).entries) == 6


def test_parquet_of_a_remote_file_system(tmp_path: Path) -> None:
    data = write(tmp_path / "a.parquet", table(range(5))).read_bytes()
    fsspec.filesystem("memory").pipe("/tables/a.parquet", data)
    source = open_source("memory://tables/*.parquet")
    assert [source.read(entry) for entry in source.entries] == [picture(n) for n in range(5)]


def test_cache_keeps_to_its_bound_and_the_newest() -> None:
    loads: list[int] = []
    cache: ByteBoundCache[bytes] = ByteBoundCache(100, len)

    def get(key: int, size: int) -> None:
        assert len(cache.get(key, lambda: loads.append(key) or bytes(size))) == size

    for key, size in [(1, 60), (1, 60), (2, 60), (2, 60), (1, 60), (3, 500), (3, 500), (1, 60)]:
        get(key, size)
    assert loads == [1, 2, 1, 3, 1]


def test_cache_loads_once_for_many_threads_and_forgets_failures() -> None:
    loads: list[int] = []
    started, go = threading.Event(), threading.Event()
    cache: ByteBoundCache[bytes] = ByteBoundCache(100, len)

    def load() -> bytes:
        loads.append(1)
        started.set()
        go.wait(10)
        return b"value"

    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(cache.get("k", load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert (results, loads) == ([b"value"] * 8, [1])
    with pytest.raises(ZeroDivisionError):
        cache.get("bad", lambda: bytes(1 // 0))
    assert cache.get("bad", lambda: b"good") == b"good"


def test_fields_are_columns_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", table(range(2), recording=["x", None]), rows=1)
    write(tmp_path / "b.parquet", table(range(2, 3), taken=[date(2025, 3, 1)]))
    source = open_source(f"{tmp_path}/*.parquet")
    assert isinstance(source, SourceWithFields)
    assert source.fields(["recording", "taken"]) == {
        "recording": ["x", None, None],
        "taken": [None, None, date(2025, 3, 1)],
    }
