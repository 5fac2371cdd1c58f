from pathlib import Path

import pytest

from miner.errors import MinerError, UsageError
from miner.source import open_source


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
