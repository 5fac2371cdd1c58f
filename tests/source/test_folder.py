import os
import subprocess
import sys
from pathlib import Path

import pytest

from miner.errors import MinerError, UsageError
from miner.source import open_source
from miner.source.keys import is_clean
from miner.source.listing import list_files


def test_class_folders_give_labels(make_photos) -> None:
    source = open_source(str(make_photos(count=10, classes=3)))
    assert source.classes == ["class0", "class1", "class2"]
    assert [entry.path for entry in source.entries] == sorted(entry.path for entry in source.entries)
    assert all(entry.path.startswith(f"class{entry.label}/") for entry in source.entries)
    assert source.read(source.entries[0])[:2] == b"\xff\xd8"


def test_flat_folder_has_no_labels(make_photos) -> None:
    source = open_source(str(make_photos(classes=0)))
    assert source.classes is None
    assert {entry.label for entry in source.entries} == {None}


def test_images_beside_class_folders_mean_no_labels(make_photos) -> None:
    folder = make_photos()
    (folder / "stray.jpg").write_bytes(b"stray")
    assert open_source(str(folder)).classes is None


def test_key_of_an_image_does_not_depend_on_the_others(make_photos) -> None:
    folder = make_photos()
    before = {entry.path: entry.key for entry in open_source(str(folder)).entries}
    (folder / "aaa").mkdir()
    (folder / "aaa" / "000.jpg").write_bytes(b"new")
    after = {entry.path: entry.key for entry in open_source(str(folder)).entries}
    assert {path: after[path] for path in before} == before


def test_other_and_hidden_files_are_left_out(make_photos) -> None:
    folder = make_photos(count=4)
    (folder / "notes.txt").write_text("no image")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.jpg").write_bytes(b"hidden")
    assert len(open_source(str(folder)).entries) == 4


def test_empty_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="No image below"):
        open_source(str(tmp_path))


def test_unknown_source_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sample"):
        open_source(str(tmp_path / "nowhere"))


def test_fsspec_url() -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe({"/bucket/x/1.jpg": b"one", "/bucket/y/2.jpg": b"two"})
    source = open_source("memory://bucket")
    assert [(entry.path, source.read(entry)) for entry in source.entries] == [("x/1.jpg", b"one"), ("y/2.jpg", b"two")]


def test_links_are_followed_and_loops_end(make_photos, tmp_path: Path) -> None:
    folder = make_photos()
    elsewhere = make_photos("elsewhere", count=3, classes=0)
    (folder / "class1" / "linked.jpg").symlink_to(elsewhere / "000.jpg")
    (folder / "class9").symlink_to(elsewhere)
    (folder / "class1" / "up").symlink_to(folder)
    (folder / "class1" / "self").symlink_to("self")
    source = open_source(str(folder))
    paths = [entry.path for entry in source.entries]
    assert "class1/linked.jpg" in paths
    assert [path for path in paths if path.startswith("class9/")] == [
        "class9/000.jpg",
        "class9/001.jpg",
        "class9/002.jpg",
    ]
    assert not [path for path in paths if "/up/" in path]
    assert all(source.read(entry) for entry in source.entries)


def test_a_workspace_is_no_source(make_photos) -> None:
    folder = make_photos(count=3)
    for name in ("run.json", "embeddings/manifest.json", "embeddings/errors.parquet"):
        for root in (folder, folder.parent / "w"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"{}")
    assert len(open_source(str(folder)).entries) == 3
    with pytest.raises(UsageError, match=r"w is a workspace of miner.*w/shards"):
        open_source(str(folder.parent / "w"))


def test_links_to_folders_above_the_source_are_not_followed(make_photos, tmp_path: Path) -> None:
    folder = make_photos(count=3, classes=0)
    make_photos("others", count=4, classes=0)
    for name, target in (("up", ".."), ("root", "/"), ("far", str(tmp_path.parent)), ("here", ".")):
        (folder / name).symlink_to(target)
    (tmp_path / "link").symlink_to(folder)
    assert len(open_source(str(folder)).entries) == len(open_source(str(tmp_path / "link")).entries) == 3
    (folder / "beside").symlink_to("../others")
    assert len(open_source(str(folder)).entries) == 7


def test_link_to_nowhere_is_an_unreadable_image(make_photos) -> None:
    folder = make_photos(count=2, classes=0)
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    source = open_source(str(folder))
    assert [entry.path for entry in source.entries] == ["000.jpg", "001.jpg", "gone.jpg"]
    with pytest.raises(OSError, match="gone"):
        source.read(source.entries[2])


def test_pipe_is_no_image(make_photos) -> None:
    folder = make_photos(count=2, classes=0)
    os.mkfifo(folder / "pipe.jpg")
    assert len(open_source(str(folder)).entries) == 2


def test_names_in_any_script_and_no_script(make_photos) -> None:
    folder = make_photos(count=2, classes=0)
    data = (folder / "000.jpg").read_bytes()
    names = ["鞋 红.JPG", "Straße#1?.jpg", "a{1,2}*[x].jpg", "👟.jpeg", os.fsdecode(b"caf\xe9.jpg")]
    for name in names:
        (folder / name).write_bytes(data)
    source = open_source(str(folder))
    assert len(source.entries) == 7
    assert {source.read(entry) for entry in source.entries if entry.path[0] != "0"} == {data}
    assert all(is_clean(entry.key) for entry in source.entries)
    assert "caf\\xe9.jpg" in [entry.path for entry in source.entries]
    "".join(entry.path for entry in source.entries).encode()


@pytest.mark.parametrize("parts", [("train", "val"), ("train", "test"), ("Train", "validation", "test")])
def test_folder_of_splits_asks_for_one_of_them(make_photos, tmp_path: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        make_photos(f"imagenet/{part}")
    with pytest.raises(UsageError, match=f"imagenet/{parts[0]}"):
        open_source(str(tmp_path / "imagenet"))
    assert open_source(str(tmp_path / "imagenet" / parts[0])).classes == ["class0", "class1"]


def test_a_class_that_sounds_like_a_split_is_a_class(make_photos, tmp_path: Path) -> None:
    for name in ("train", "bus", "tram"):
        make_photos(f"vehicles/{name}", count=2, classes=0)
    assert open_source(str(tmp_path / "vehicles")).classes == ["bus", "train", "tram"]


def test_classes_called_train_and_test_are_read_by_a_pattern(make_photos, tmp_path: Path) -> None:
    for name in ("train", "bus", "test"):
        make_photos(f"vehicles/{name}", count=2, classes=0)
    with pytest.raises(UsageError, match=r"If these folders are classes, name .*vehicles/\* instead"):
        open_source(str(tmp_path / "vehicles"))
    source = open_source(str(tmp_path / "vehicles" / "*"))
    assert source.classes == ["bus", "test", "train"]
    assert all(source.read(entry) for entry in source.entries)


def test_a_folder_that_cannot_be_listed_is_told(
    make_photos, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_photos(count=4)
    (folder / "locked").mkdir()
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("miner.source.listing.os.scandir", refuse)
    assert len(open_source(str(folder)).entries) == 4
    assert "locked cannot be listed (Permission denied)" in capfd.readouterr().err


def test_listing_is_the_one_that_fsspec_gives(make_photos) -> None:
    import fsspec

    folder = make_photos(count=9, classes=3)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "x.png").write_bytes(b"12345")
    found = fsspec.filesystem("file").find(str(folder), detail=True)
    expected = {path[len(str(folder)) + 1 :]: info["size"] for path, info in found.items()}
    listed = {path: facts.size_bytes for path, facts in list_files(str(folder)).items()}
    assert list(listed.items()) == sorted(expected.items())


def test_second_look_needs_no_torch(make_photos) -> None:
    code = (
        "import sys; from miner.source import open_source; open_source(sys.argv[1]); "
        "print(*(name for name in ('torch', 'pyarrow', 'PIL', 'numpy', 'huggingface_hub') if name in sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(make_photos())], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


def test_a_workspace_below_the_images_is_no_part_of_them(make_photos) -> None:
    folder = make_photos(count=4)
    before = open_source(str(folder)).entries
    workspace = folder / "datasets_out" / "default"
    (workspace / "embeddings").mkdir(parents=True)
    for name in (".lock", "run.json", "calibration.png"):
        (workspace / name).write_bytes(b"x")
    assert open_source(str(folder)).entries == before
