"""Which columns of a Parquet file hold images and labels, whatever their types, and which ones the user has to name."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.embed.options import EmbedOptions
from miner.errors import MinerError, UsageError
from miner.source import listing, open_source
from tests.source.tars import png

IMAGES = [png(number) for number in range(4)]
STRUCTS = pa.array([{"bytes": data, "path": f"p{number}.png"} for number, data in enumerate(IMAGES)])
OTHERS = pa.array([{"bytes": png(number + 50), "path": None} for number in range(4)])
HASHES = pa.array([bytes(16)] * 4, pa.binary(16))
VECTORS = pa.array([bytes(8)] * 4)


def write(path: Path, **columns: object) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


@pytest.mark.parametrize(
    "images",
    [
        STRUCTS,
        pa.array(IMAGES),
        pa.array(IMAGES, pa.large_binary()),
        pa.array(IMAGES, pa.binary_view()),
        pa.array(IMAGES).dictionary_encode(),
        pa.array([[data] for data in IMAGES]),
        pa.array([[{"bytes": data, "path": None}] for data in IMAGES]),
        pa.array([[data] for data in IMAGES], pa.list_(pa.binary(), 1)),
        pa.array([[data] for data in IMAGES], pa.large_list(pa.large_binary())),
        pa.array([data.ljust(2000, b"\0") for data in IMAGES], pa.binary(2000)),
    ],
    ids=lambda images: str(images.type).replace(" ", ""),
)
def test_images_of_every_type(tmp_path: Path, images: pa.Array) -> None:
    source = open_source(write(tmp_path / "a.parquet", image=images, label=[0, 1, 0, 1]))
    read = [source.read(entry) for entry in source.entries]
    assert [data.rstrip(b"\0") for data in read] == [data.rstrip(b"\0") for data in IMAGES]
    assert [entry.label for entry in source.entries] == [0, 1, 0, 1]


def test_rows_without_one_image_are_unreadable(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.parquet", image=pa.array([[IMAGES[0]], IMAGES[:2], [], None])))
    assert source.read(source.entries[0]) == IMAGES[0]
    for entry, reason in zip(source.entries[1:], ("2 images", "no image bytes", "no image bytes"), strict=True):
        with pytest.raises(OSError, match=reason):
            source.read(entry)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"mask": OTHERS, "image": STRUCTS}, "image"),
        ({"mask": OTHERS, "img": STRUCTS}, "img"),
        ({"embedding": VECTORS, "photo": pa.array(IMAGES)}, "photo"),
        ({"hash": HASHES, "photo": STRUCTS}, "photo"),
        ({"thumbnail": pa.array(IMAGES), "scan": STRUCTS}, "scan"),
    ],
)
def test_the_only_fitting_column_is_taken(tmp_path: Path, columns: dict[str, pa.Array], chosen: str) -> None:
    source = open_source(write(tmp_path / "a.parquet", **columns))
    assert [source.read(entry) for entry in source.entries] == IMAGES
    assert source.entries == open_source(str(tmp_path / "a.parquet"), image_column=chosen).entries


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"mask": OTHERS, "photo": STRUCTS}, "mask, photo"),
        ({"jpg": pa.array(IMAGES), "png": pa.array(IMAGES), "id": VECTORS}, "jpg, png"),
        (
            {"left": pa.array([[data] for data in IMAGES]), "right": pa.array([[data] for data in IMAGES])},
            "left, right",
        ),
    ],
)
def test_several_columns_of_images_are_asked_for(tmp_path: Path, columns: dict[str, pa.Array], named: str) -> None:
    path = write(tmp_path / "a.parquet", **columns)
    with pytest.raises(UsageError, match=f"several columns that may be the image: {named}.*--image-column"):
        open_source(path)
    last = named.split(", ")[-1]
    assert open_source(path, image_column=last).read(open_source(path, image_column=last).entries[0]) == IMAGES[0]


def test_several_columns_of_labels_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", image=STRUCTS, category=[1, 0, 1, 0], cls=["a", "b", "a", "b"])
    with pytest.raises(UsageError, match=r"may be the label: category, cls.*--label-column"):
        open_source(path)
    assert open_source(path, label_column="cls").classes == ["a", "b"]
    assert [entry.label for entry in open_source(path, label_column="category").entries] == [1, 0, 1, 0]
    assert [entry.label for entry in open_source(path, label_column="none").entries] == [None] * 4
    labelled = write(tmp_path / "b.parquet", image=STRUCTS, label=[1, 0, 1, 0], cls=["a", "b", "a", "b"])
    assert open_source(labelled).classes is None


@pytest.mark.parametrize(("option", "name"), [("image_column", "label"), ("image_column", "x"), ("label_column", "x")])
def test_a_column_that_is_not_there_is_refused(tmp_path: Path, option: str, name: str) -> None:
    path = write(tmp_path / "a.parquet", image=STRUCTS, label=[0, 1, 0, 1])
    with pytest.raises(UsageError, match=f"{name}.*It has image, label"):
        open_source(path, **{option: name})


def test_columns_are_for_parquet_alone(make_photos) -> None:
    with pytest.raises(UsageError, match="--image-column and --label-column are for Parquet"):
        open_source(str(make_photos(count=2)), image_column="image")
    assert "image_column" not in EmbedOptions(source="x").request()


def test_a_folder_of_spark_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "table.parquet"
    folder.mkdir()
    write(folder / "part-00000-abc-c000.snappy.parquet", image=STRUCTS, label=[0, 1, 0, 1])
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.crc").write_bytes(b"x")
    assert len(open_source(str(folder)).entries) == 4


def test_a_folder_of_save_to_disk_is_explained(tmp_path: Path) -> None:
    for name in ("state.json", "dataset_info.json", "data-00000-of-00001.arrow"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(MinerError, match=r"save_to_disk.*to_parquet"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("folders", "column", "labels", "classes"),
    [
        (("label=1", "label=0"), None, [1, 0], None),
        (("label=cat", "label=black%20dog"), None, [1, 0], ["black dog", "cat"]),
        (("year=2020/label=1", "year=2021/label=3"), None, [1, 3], None),
        (("label=__HIVE_DEFAULT_PARTITION__", "label=4"), None, [None, 4], None),
        (("species=b", "species=a"), "species", [1, 0], ["a", "b"]),
        (("species=b", "species=a"), None, [None, None], None),
        (("label=1", "label=0"), "none", [None, None], None),
    ],
)
def test_folders_of_a_partitioned_table_are_labels(tmp_path: Path, folders, column, labels, classes) -> None:
    for number, folder in enumerate(folders):
        (tmp_path / "t" / folder).mkdir(parents=True)
        write(tmp_path / "t" / folder / f"part-{number}.parquet", image=STRUCTS.slice(number, 1))
    source = open_source(str(tmp_path / "t"), label_column=column)
    by_path = {entry.path.rpartition("/")[2]: entry.label for entry in source.entries}
    assert [by_path[f"p{number}.png"] for number in range(2)] == labels and source.classes == classes


def test_a_column_wins_over_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "label=5").mkdir()
    write(tmp_path / "label=5" / "a.parquet", image=STRUCTS, label=[0, 1, 0, 1])
    assert [entry.label for entry in open_source(str(tmp_path)).entries] == [0, 1, 0, 1]


@pytest.mark.parametrize("name", ["Label", "class_id", "TARGET", "species"])
def test_a_column_that_may_hold_labels_is_named(tmp_path: Path, name: str, capfd) -> None:
    path = write(tmp_path / "a.parquet", image=STRUCTS, **{name: [0, 1, 0, 1]}, x=[0, 1, 0, 1])
    listing.warn.cache_clear()
    assert [entry.label for entry in open_source(path).entries] == [None] * 4
    assert f"{name} may hold labels: name it with --label-column" in capfd.readouterr().err
    assert [entry.label for entry in open_source(path, label_column=name).entries] == [0, 1, 0, 1]
    assert not capfd.readouterr().err
