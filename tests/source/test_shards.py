import json
from pathlib import Path

import pytest
import webdataset

from miner.engine.tar import write_tar
from miner.errors import MinerError
from miner.source import open_source
from miner.source.keys import is_clean


def shard(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with path.open("wb") as stream:
        write_tar(stream, members)
    return path


def test_labels_from_cls_and_json_and_none(tmp_path: Path) -> None:
    members = [
        ("one.jpg", b"1"),
        ("one.cls", b"4"),
        ("two.png", b"22"),
        ("two.json", json.dumps({"label": 2}).encode()),
        ("three.webp", b"333"),
        ("text.txt", b"no image"),
    ]
    source = open_source(str(shard(tmp_path / "data.tar", members)))
    assert [(entry.key, entry.label, source.read(entry)) for entry in source.entries] == [
        ("one", 4, b"1"),
        ("two", 2, b"22"),
        ("three", None, b"333"),
    ]


def test_braces_globs_and_folders_name_the_same_shards(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path / f"data-{number:06d}.tar", [(f"k{number}.jpg", bytes([number]))])
    specs = [f"{tmp_path}/data-{{000000..000002}}.tar", f"{tmp_path}/data-*.tar", str(tmp_path)]
    keys = [[entry.key for entry in open_source(spec).entries] for spec in specs]
    assert keys == [["k0", "k1", "k2"]] * 3


def test_keys_that_repeat_or_are_unclean_become_unique_and_clean(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"data-{number}.tar", [("0001.jpg", bytes([number])), (f"n0/img{number}.v2.jpg", b"x")])
    source = open_source(str(tmp_path))
    keys = [entry.key for entry in source.entries]
    assert len(set(keys)) == 4
    assert all(is_clean(key) for key in keys)


def test_bytes_are_those_that_webdataset_reads() -> None:
    source = open_source("sample")
    shard_path = Path(open_source.__code__.co_filename).parent / "data" / "fashion-mnist-sample.tar.gz"
    oracle = webdataset.WebDataset(str(shard_path), shardshuffle=False)
    for entry, sample, _ in zip(source.entries, oracle, range(50), strict=False):
        assert (entry.key, entry.label) == (sample["__key__"], int(sample["cls"]))
        assert source.read(entry) == sample["png"]


def test_missing_shard_and_damaged_shard_are_explained(tmp_path: Path) -> None:
    with pytest.raises(MinerError, match="no shard"):
        open_source(str(tmp_path / "data-{0..3}.tar"))
    whole = shard(tmp_path / "whole.tar", [("a.jpg", b"x" * 4000)]).read_bytes()
    (tmp_path / "cut.tar").write_bytes(b"\x01" + whole[1:2000])
    with pytest.raises(MinerError, match="damaged"):
        open_source(str(tmp_path / "cut.tar"))


def test_image_that_is_cut_off_cannot_be_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "data.tar", [("a.jpg", b"x" * 4000)])
    source = open_source(str(path))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(OSError, match="ends early"):
        source.read(source.entries[0])
