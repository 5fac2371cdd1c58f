import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from miner.errors import UsageError
from miner.source import open_source, parts_of
from miner.source.parts import mixed_parts
from miner.source.splits import folder_parts, missing_files, one_split, split_of, split_patterns
from tests.source.tars import png, write_tar_of_images


def write_shard(path: Path) -> str:
    """A shard of one image whose key tells the file; its ending."""
    write_tar_of_images(path.with_name(f"{path.name}.tar"), [_key(path)])
    return ".tar"


def write_parquet(path: Path) -> str:
    """A Parquet file of one image whose key tells the file; its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.array([{"bytes": png(), "path": f"{_key(path)}.png"}])
    pq.write_table(pa.table({"image": image}), path.with_name(f"{path.name}.parquet"))
    return ".parquet"


def _key(path: Path) -> str:
    return "_".join(path.parts[path.parts.index(next(p for p in path.parts if p.startswith("test_"))) + 1 :])


@pytest.mark.parametrize(
    ("folders", "splits", "classes"),
    [
        # one level
        (["cat", "dog"], {}, ["cat", "dog"]),
        (["cat"], {}, None),
        (["", "cat", "dog"], {}, None),
        (["train", "val"], {"train": "train", "validation": "val"}, None),
        (["Train", "Validation", "TEST"], {"train": "Train", "validation": "Validation", "test": "TEST"}, None),
        (["train2017", "val2017"], {"train": "train2017", "validation": "val2017"}, None),
        (["train_images", "test_images"], {"train": "train_images", "test": "test_images"}, None),
        (["TrainingSet", "TestSet"], {"train": "TrainingSet", "test": "TestSet"}, None),
        (["01-train", "02-test"], {"train": "01-train", "test": "02-test"}, None),
        (["val", "test"], {"validation": "val", "test": "test"}, None),
        # beside other folders
        (["train", "val", "unlabeled"], {"train": "train", "validation": "val", "unlabelled": "unlabeled"}, None),
        (["train", "test", "extra"], {"train": "train", "test": "test", "extra": "extra"}, None),
        (["train", "test", "masks"], {"train": "train", "test": "test"}, None),
        (["", "train", "test"], {"train": "train", "test": "test"}, None),
        # at any depth
        (["images/train", "images/val"], {"train": "images/train", "validation": "images/val"}, None),
        (["train/cat", "train/dog", "val/cat"], {"train": "train", "validation": "val"}, None),
        (["a/b/train/cat", "a/b/test/cat", "c"], {"train": "a/b/train", "test": "a/b/test"}, None),
        (["images/train", "test"], {"train": "images/train", "test": "test"}, None),
        (["train", "more/train", "test"], {"train": "{more/train,train}", "test": "test"}, None),
        (["cat/train", "cat/test", "dog/train"], {"train": "*/train", "test": "cat/test"}, None),
        (["train", "trainB", "val"], {"train": "train", "validation": "val"}, None),
        (["train1", "train2", "val"], {"train": "{train1,train2}", "validation": "val"}, None),
        (["a/train1", "b/train_2", "b/val"], {"train": "*/{train1,train_2}", "validation": "b/val"}, None),
        # names that only sound like splits
        (["bus", "train", "tram"], {}, ["bus", "train", "tram"]),
        (["train station", "test tube", "oven"], {}, ["oven", "test tube", "train station"]),
        (["latest", "trainers"], {}, ["latest", "trainers"]),
        (["bus", "train/steam", "train/diesel"], {}, ["bus", "train"]),
        # one part of a data set, and further folders
        (["train/cat", "train/dog"], {}, None),
        (["unlabelled", "labelled"], {}, ["labelled", "unlabelled"]),
    ],
)
def test_folders_are_splits_or_classes(folders: list[str], splits: dict[str, str], classes: list[str] | None) -> None:
    parts = folder_parts([f"{folder}/1.jpg".lstrip("/") for folder in folders])

    assert (parts.splits, parts.classes) == (splits, classes)


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        (("images/train", "images/val"), "images/train"),
        (("train2017", "val2017", "annotations"), "train2017"),
        (("train/a", "train/b", "dev/a", "dev/b", "other"), "train"),
        (("a/train", "a/test", "b/train", "b/test"), r"\*/train"),
    ],
)
def test_mixed_splits_are_refused_with_the_folder_to_name(
    make_photos, tmp_path: Path, folders: tuple[str, ...], named: str
) -> None:
    for folder in folders:
        make_photos(f"set/{folder}", count=2, classes=0)

    with pytest.raises(UsageError, match=f"most likely {tmp_path}/set/{named}[.]"):
        open_source(str(tmp_path / "set"))

    assert open_source(f"{tmp_path}/set/{named}".replace("\\", "")).entries


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("default/validation/0000.parquet", "validation"),
        ("plain_text/test-00000-of-00001.parquet", "test"),
        ("train/val.parquet", "validation"),
        ("constraints/latest.parquet", None),
        ("TRAIN_0.tar", "train"),
        ("MyTrainSet-0.tar", "train"),
        ("extra-0.tar", None),
    ],
)
def test_split_is_a_whole_word_nearest_to_the_file(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_train_is_taken_and_the_rest_is_named() -> None:
    paths = ["data/test-0-of-1.parquet", "data/train-0-of-2.parquet", "data/train-1-of-2.parquet"]
    chosen, said = one_split("hf://datasets/a/b", paths)
    assert chosen == paths[1:]
    assert said is not None
    assert "hf://datasets/a/b/data/test-*.parquet" in said


def test_the_main_folder_is_taken() -> None:
    paths = ["data/train-0.parquet", "extra/train-0.parquet"]
    assert one_split("x", paths)[0] == ["data/train-0.parquet"]
    assert one_split("x", ["a/0.parquet", "b/0.parquet"]) == (["a/0.parquet", "b/0.parquet"], None)


def test_without_a_train_part_the_user_chooses() -> None:
    with pytest.raises(UsageError, match=r"x/test\.parquet, x/val-\*\.parquet"):
        one_split("x", ["test.parquet", "val-0.parquet"])


@pytest.mark.parametrize("write", [write_shard, write_parquet])
@pytest.mark.parametrize(
    ("names", "spec", "train"),
    [
        (("data/train-0", "data/train-1", "data/test-0"), "", {"data/train-0", "data/train-1"}),
        (("data/train-0", "data/test-0"), "data/*", {"data/train-0"}),
        (("a/train/0", "a/val/0", "a/extra/0"), "", {"a/train/0"}),
        (("a/train/0", "a/val/0"), "**/*", {"a/train/0"}),
        (("x-train", "x-test", "unlabeled"), "", {"x-train"}),
        (("x-train", "x-test"), "{x-train,x-test}", {"x-train", "x-test"}),
    ],
)
def test_data_files_give_one_split(tmp_path: Path, write, names: tuple[str, ...], spec: str, train: set[str]) -> None:
    for name in names:
        ending = write(tmp_path / name)
    source = open_source(f"{tmp_path}/{spec}{ending if spec else ''}")
    assert {entry.key for entry in source.entries} == {name.replace("/", "_") for name in train}


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_splits_inside_a_file_are_refused(tmp_path: Path, kind: str) -> None:
    names = ["train/cat/1", "train/dog/2", "val/cat/3"]
    path = tmp_path / f"all.{kind}"
    if kind == "tar":
        write_tar_of_images(path, names)
    else:
        images = pa.array([{"bytes": png(), "path": f"{name}.png"} for name in names])
        pq.write_table(pa.table({"image": images}), path)
    with pytest.raises(UsageError, match=rf"all\.{kind}/train, all\.{kind}/val of a data set.*{path}:train.*own"):
        open_source(str(path))
    part = open_source(f"{path}:train")
    assert [entry.path for entry in part.entries] == [f"all.{kind}/{name}.png" for name in names[:2]]
    assert part.read(part.entries[1]) == png(1 if kind == "tar" else 0)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a-00000-of-00003.tar", "a-00002-of-00003.tar"], "1 of the 3 files a-...-of-3.tar are missing, .* number 1"),
        (
            ["x/a-1-of-3.parquet", "x/a-3-of-3.parquet"],
            "1 of the 3 files x/a-...-of-3.parquet are missing, .* number 2",
        ),
        (["a-00000-of-00002.tar", "a-00001-of-00002.tar", "b.tar"], None),
        (["a-1-of-2.tar", "a-2-of-2.tar"], None),
        (["a-0-of-999999999.tar", "plain.tar"], None),
    ],
)
def test_files_that_are_not_there_are_told(names: list[str], missing: str | None) -> None:
    found = missing_files(names)
    assert found is None if missing is None else found is not None and re.match(missing, found)


@pytest.mark.parametrize("spec", ["", "/*.tar"])
def test_a_folder_that_lacks_a_numbered_file_says_so(tmp_path: Path, spec: str, capfd) -> None:
    for number in (0, 2):
        write_shard(tmp_path / f"train-0000{number}-of-00003")
    assert open_source(f"{tmp_path}{spec}").entries
    assert "1 of the 3 files" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("paths", "patterns"),
    [
        (["train-0.tar", "train-1.tar", "val-0.tar"], {"train": "train-*.tar", "validation": "val-*.tar"}),
        (["train.parquet", "test.parquet", "other.parquet"], {"train": "train.parquet", "test": "test.parquet"}),
        # a wildcard would name files of another split, or not all of its own
        (
            ["a/train/0.tar", "a/train/b/0.tar", "a/test/0.tar"],
            {"train": "{a/train/0.tar,a/train/b/0.tar}", "test": "a/test/*.tar"},
        ),
        (["0-train.tar", "1-train.tar", "2-test.tar"], {"train": "{0-train.tar,1-train.tar}", "test": "2-test.tar"}),
        (
            ["data/train-0.tar", "data/test-0.tar", "raw/test-0.tar"],
            {"train": "data/train-*.tar", "test": "data/test-*.tar"},
        ),
    ],
)
def test_patterns_name_the_files_of_one_split(paths: list[str], patterns: dict[str, str]) -> None:
    assert split_patterns(paths) == patterns


def test_a_part_keeps_the_fields_of_its_images(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    columns = {"image": [png(n) for n in range(5)], "split": [*"abab", None], "patient": [0, 1, 2, 3, 4]}
    pq.write_table(pa.table(columns), path)
    part = open_source(f"{path}:b")
    assert part.spec == f"{path}:b" and part.fields(["patient"]) == {"patient": [1, 3]}
    assert [part.read(entry) for entry in part.entries] == [png(1), png(3)]
    with pytest.raises(UsageError, match=r"has no part 'c'\. Its parts: a, b"):
        open_source(f"{path}:c")
    whole = open_source(str(path))
    assert len(whole.entries) == 5 and mixed_parts(part) == []
    assert mixed_parts(whole) == [f"embed: {path} holds the parts a, b, and all are taken; {path}:a names one"]


@pytest.mark.parametrize("spec", ["x:train", "x*:train", "x:train/*"])
def test_a_name_with_a_colon_is_no_part(make_photos, tmp_path: Path, spec: str) -> None:
    make_photos("x:train", count=2, classes=0)
    make_photos("x", count=3, classes=0)
    assert len(open_source(f"{tmp_path}/{spec}").entries) == 2


def test_a_table_that_states_no_splits_gives_no_parts(make_photos, tmp_path: Path) -> None:
    make_photos("x", count=3, classes=0)
    (tmp_path / "x/labels.csv").write_text("file_name,label\n0.jpg,a\n")
    assert parts_of(f"{tmp_path}/x") == []


def test_parts_of_a_name_are_its_parts() -> None:
    assert parts_of("flowers102") == ["flowers102", "flowers102:val", "flowers102:test"]
    assert parts_of("stl10") == ["stl10", "stl10:train", "stl10:test"]
    assert parts_of("sample") == parts_of("cifar10:test") == []
