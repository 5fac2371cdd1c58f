"""One spelling for all names of a source, and local names of any kind."""

from pathlib import Path

import pytest

from miner.errors import MinerError, UsageError
from miner.source import open_source
from miner.source.location import canonical
from tests.source.tars import write_tar_of_images


def test_every_spelling_of_a_folder_is_one_source(make_photos, tmp_path: Path, monkeypatch) -> None:
    folder = make_photos("photos", count=4)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = [
        "photos",
        "photos/",
        "./photos",
        "~/photos",
        "link",
        "link/",
        f"file://{folder}",
        f"{tmp_path}/x/../photos",
    ]
    (tmp_path / "x").mkdir()
    assert {canonical(spelling) for spelling in spellings} == {str(folder)}
    found = [open_source(spelling) for spelling in spellings]
    assert {source.spec for source in found} == {str(folder)}
    assert all(source.entries == found[0].entries for source in found)


@pytest.mark.parametrize(
    "pattern", ["data-{0..2}.tar", "data-*.tar", "data-[0-2].tar", "data-?.tar", "{data-0,data-1}.tar"]
)
def test_relative_patterns_are_absolute(tmp_path: Path, monkeypatch, pattern: str) -> None:
    for number in range(3):
        write_tar_of_images(tmp_path / "shards" / f"data-{number}.tar", [f"k{number}"])
    (tmp_path / "link").symlink_to(tmp_path / "shards")
    monkeypatch.chdir(tmp_path / "shards")
    sources = [open_source(spec) for spec in (pattern, f"../link/{pattern}", f"file://{tmp_path}/shards/{pattern}")]
    assert {source.spec for source in sources} == {f"{tmp_path}/shards/{pattern}"}
    monkeypatch.chdir("/")
    again = open_source(sources[0].spec)
    assert again.entries == sources[0].entries and again.read(again.entries[0])


def test_a_list_longer_than_any_path_is_a_pattern(tmp_path: Path, monkeypatch) -> None:
    names = [f"shard-{number:03d}" for number in range(1000)]
    for name in names[:2] + names[-1:]:
        write_tar_of_images(tmp_path / f"{name}.tar", [name])
    monkeypatch.chdir(tmp_path)
    spec = f"{{{','.join(names)}}}.tar"
    assert len(spec) > 8000 and canonical(spec) == f"{tmp_path}/{spec}"
    with pytest.raises(MinerError, match=r"no shard .*shard-002\.tar"):
        open_source(spec)
    assert len(open_source("{shard-000,shard-001,shard-999}.tar").entries) == 3


def test_links_to_files_keep_their_ending(tmp_path: Path) -> None:
    """As in the cache of the Hugging Face Hub, where a name with an ending leads to a file without one."""
    write_tar_of_images(tmp_path / "blobs" / "0a1b.tar", ["k"])
    (tmp_path / "blobs" / "0a1b.tar").rename(tmp_path / "blobs" / "0a1b")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "train-0.tar").symlink_to("../blobs/0a1b")
    source = open_source(str(tmp_path / "snapshot" / "train-0.tar"))
    assert source.spec.endswith("snapshot/train-0.tar") and open_source(source.spec).entries == source.entries


@pytest.mark.parametrize(
    "name",
    ["a[1]*", "x{1,2}", "a::b", "what?", "two words", "100%", "#1", "caf\udce9", "☃", "x.tar", "x.parquet", "x.tar.gz"],
)
def test_any_name_is_a_folder(make_photos, tmp_path: Path, name: str) -> None:
    make_photos("photos", count=3, classes=0)
    (tmp_path / "photos").rename(tmp_path / name)
    source = open_source(str(tmp_path / name))
    assert len(source.entries) == 3 and all(source.read(entry) for entry in source.entries)
    (tmp_path / f"{name}-shards").mkdir()
    write_tar_of_images(tmp_path / f"{name}-shards" / "0.tar", ["k"])
    for spec in (f"{name}-shards", f"{name}-shards/*.tar", f"{name}-shards/{{0..0}}.tar"):
        shards = open_source(str(tmp_path / spec))
        assert shards.read(shards.entries[0])


def test_a_built_in_name_is_no_folder(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "x.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert open_source("sample").spec == "sample" and len(open_source("sample").entries) == 3000
    assert open_source("./sample").spec == str(tmp_path / "sample")


@pytest.mark.parametrize("spec", ["", "  ", "file://", "s3://", "hf://"])
def test_an_empty_source_is_not_the_current_folder(make_photos, monkeypatch, spec: str) -> None:
    monkeypatch.chdir(make_photos(count=2))
    with pytest.raises(UsageError, match="SOURCE is empty"):
        open_source(spec)


def test_images_may_be_named_by_a_pattern(make_photos, tmp_path: Path) -> None:
    folder = make_photos(count=6, classes=2)
    assert len(open_source(f"{folder}/*/00[0-2].jpg").entries) == 3
    assert open_source(f"{folder}/*").entries == open_source(str(folder)).entries
    with pytest.raises(MinerError, match="no file"):
        open_source(f"{folder}/*/*.gif")
