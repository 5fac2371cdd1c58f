import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import fsspec
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.engine.tar import write_tar
from miner.errors import MinerError, UsageError
from miner.source import open_source
from miner.source.base import SourceWithFields
from miner.source.keys import is_clean
from miner.source.webdataset.shards import ShardLimits, ShardSource
from tests.source.tars import png, tar_bytes, write_tar_of_images


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


def labels_of(path: Path, members: list[tuple[str, bytes]]) -> tuple[list[int | None], list[str] | None]:
    source = open_source(str(shard(path, members)))
    return [entry.label for entry in source.entries], source.classes


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("cls", b"%s\n"),
        ("txt", b"%s"),
        ("json", b'{"label": "%s", "width": 3}'),
        ("json", b'{"cls": "%s"}'),
    ],
)
def test_class_names_are_numbered_over_all_shards(tmp_path: Path, ending: str, content: bytes) -> None:
    names = [[b"dog", b"cat"], [b"emu", b"dog"], [b"cat", b"emu"]]
    for number, pair in enumerate(names):
        members = [
            member
            for i, name in enumerate(pair)
            for member in ((f"{number}{i}.jpg", b"x"), (f"{number}{i}.{ending}", content % name))
        ]
        shard(tmp_path / f"{number}.tar", members)
    source = open_source(str(tmp_path))
    assert source.classes == ["cat", "dog", "emu"]
    assert [entry.label for entry in source.entries] == [1, 0, 2, 1, 0, 2]


def test_numbers_in_text_are_labels_and_captions_are_not(tmp_path: Path) -> None:
    numbers = [("a.jpg", b"1"), ("a.txt", b"7"), ("b.jpg", b"2"), ("b.txt", b" 0\n")]
    assert labels_of(tmp_path / "numbers.tar", numbers) == ([7, 0], None)
    captions = [("a.jpg", b"1"), ("a.txt", b"a red shoe"), ("b.jpg", b"2"), ("b.txt", b"two boots")]
    assert labels_of(tmp_path / "captions.tar", captions) == ([None, None], None)


def test_a_number_beats_a_name_and_nonsense_is_no_label(tmp_path: Path) -> None:
    members = [
        ("a.jpg", b"1"),
        ("a.cls", b"3"),
        ("a.json", b'{"label": "shoe"}'),
        ("b.jpg", b"2"),
        ("b.json", b'{"label": -1}'),
        ("c.jpg", b"2"),
        ("c.json", b"[" * 100_000),
        ("d.jpg", b"2"),
        ("d.cls", b"\xff\xfe"),
        ("e.jpg", b"2"),
        ("e.json", b'{"label": 2.5}'),
    ]
    assert labels_of(tmp_path / "a.tar", members) == ([3, None, None, None, None], None)


def test_equal_shard_names_in_two_folders_keep_keys_apart(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        shard(tmp_path / folder / "0.tar", [("x.jpg", folder.encode()), (f"only-{folder}.jpg", b"1")])

    def keys(spec: str) -> dict[bytes, str]:
        source = open_source(spec)
        return {source.read(entry) + entry.path.encode(): entry.key for entry in source.entries}

    forward, backward = keys(f"{tmp_path}/{{a,b}}/0.tar"), keys(f"{tmp_path}/{{b,a,b}}/0.tar")
    assert forward == backward
    assert len(set(forward.values())) == 4


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(4)))
def test_keys_do_not_depend_on_the_order_of_shards(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(4):
        shard(folder / f"{number}.tar", [(f"k{number}.jpg", bytes([number])), ("same.png", bytes([number, 1]))])
    straight = open_source(f"{folder}/{{0,1,2,3}}.tar")
    shuffled = open_source(f"{folder}/{{{','.join(map(str, order))}}}.tar")
    expected = {straight.read(entry): entry.key for entry in straight.entries}
    assert {shuffled.read(entry): entry.key for entry in shuffled.entries} == expected
    assert len(set(expected.values())) == 8


def test_damage_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    members = [(f"{number}.jpg", bytes(600)) for number in range(9)]
    path = shard(tmp_path / "data.tar", members)
    whole = path.read_bytes()
    with pytest.raises(MinerError, match=r"data\.tar.*at or after byte 1,536"):
        path.write_bytes(whole[:1536] + b"\xff" * 512 + whole[2048:])
        open_source(str(path))
    for length in (1536 + 100, 1536 + 512 + 100):
        path.write_bytes(whole[:length])
        with pytest.raises(MinerError, match=r"data\.tar.*at or after byte [13],"):
            open_source(str(path))


def header(name: str, size: str | int, kind: bytes = b"0") -> bytes:
    """A tar header that says whatever it is told to."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    number = f"{size:011o}\0".encode() if isinstance(size, int) and size >= 0 else tarfile.itn(int(size), 12, 1)
    block[124:136] = number
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


@pytest.mark.parametrize(
    ("size", "kind"),
    [(-1024, b"0"), (-512, b"x"), (2**33 - 1, b"x"), (2**33 - 1, b"L"), (2**60, b"0"), (2**70, b"x"), (-512, b"L")],
)
def test_hostile_sizes_are_damage(tmp_path: Path, size: int, kind: bytes) -> None:
    path = tmp_path / "hostile.tar"
    path.write_bytes(header("a.jpg", 3) + b"abc".ljust(512, b"\0") + header("b.jpg", size, kind) + bytes(2048))
    with pytest.raises(MinerError, match="damaged"):
        open_source(str(path))


def test_a_member_too_large_for_an_image_is_listed_not_read(tmp_path: Path) -> None:
    path, size = tmp_path / "large.tar", 3 << 30
    with path.open("wb") as stream:
        stream.write(header("large.jpg", size))
        stream.seek(size, 1)
        stream.write(header("small.jpg", 3) + b"abc".ljust(512, b"\0") + bytes(1024))
    source = open_source(str(path))
    assert [entry.size_bytes for entry in source.entries] == [size, 3]
    with pytest.raises(OSError, match="larger than 1024 MiB"):
        source.read(source.entries[0])
    assert source.read(source.entries[1]) == b"abc"


def test_links_and_resource_forks_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        for name in ("../../escape.jpg", "/etc/absolute.jpg", "__MACOSX/._escape.jpg", "b\udcffd.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    source = open_source(str(path))
    assert [entry.path for entry in source.entries] == [
        "odd.tar/../../escape.jpg",
        "odd.tar//etc/absolute.jpg",
        "odd.tar/b\\xffd.jpg",
    ]
    assert {source.read(entry) for entry in source.entries} == {b"abc"}
    assert all(is_clean(entry.key) for entry in source.entries)


def pax(records: dict[str, str]) -> bytes:
    """An extended header that says whatever it is told to about the member after it."""
    body = b""
    for name, value in records.items():
        line = f" {name}={value}\n".encode("utf-8", "surrogateescape")
        length = len(line) + len(str(len(line)))
        while len(str(length)) + len(line) != length:
            length += 1
        body += str(length).encode() + line
    return header("pax", len(body), b"x") + body + bytes(-len(body) % 512)


SMALL = header("small.jpg", 3) + b"abc".ljust(512, b"\0")
END = bytes(1024)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_devices_and_links_are_no_images(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(header("device.jpg", 0, kind) + SMALL + END)
    source = open_source(str(path))
    assert [(entry.key, source.read(entry)) for entry in source.entries] == [("small", b"abc")]


def test_ten_gigabytes_declared_in_a_small_file_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(SMALL + header("huge.jpg", 10 << 30) + b"abc" + END)
    with pytest.raises(MinerError, match=r"a\.tar is damaged .*at or after byte"):
        open_source(str(path))


def test_ten_gigabytes_that_are_really_there_are_never_read(tmp_path: Path) -> None:
    path, size = tmp_path / "a.tar", 10 << 30
    block = bytearray(header("huge.jpg", 0))
    block[124:136] = b"\x80" + size.to_bytes(11, "big")  # more than octal digits can say
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    with path.open("wb") as stream:
        stream.write(bytes(block))
        stream.seek(size, 1)
        stream.write(SMALL + END)
    source = open_source(str(path))
    assert [entry.size_bytes for entry in source.entries] == [size, 3]
    with pytest.raises(OSError, match="larger than"):
        source.read(source.entries[0])


@pytest.mark.parametrize(
    "records",
    [
        {"size": str(10 << 30)},
        {"size": "-512"},
        {"size": "many"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10 << 30)},
        {"GNU.sparse.map": "0,1,1099511627776,1", "GNU.sparse.size": str(10 << 30), "GNU.sparse.numblocks": "2"},
    ],
)
def test_extended_headers_do_not_make_a_small_member_large(tmp_path: Path, records: dict[str, str]) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pax(records) + header("odd.jpg", 3) + b"1\n3".ljust(512, b"\0") + SMALL + END)
    try:
        source = open_source(str(path))
    except MinerError as error:
        assert "a.tar is damaged" in str(error)
        return
    for entry in source.entries:
        assert entry.size_bytes < 1024 and len(source.read(entry)) == entry.size_bytes


def test_sparse_members_are_no_images(tmp_path: Path) -> None:
    loose, path = tmp_path / "hole.jpg", tmp_path / "a.tar"
    with loose.open("wb") as stream:
        stream.seek(1 << 30)
        stream.write(b"end")
    (tmp_path / "small.jpg").write_bytes(b"abc")
    for style in ("gnu", "posix"):
        command = [
            "tar",
            "--sparse",
            f"--format={style}",
            "-cf",
            str(path),
            "-C",
            str(tmp_path),
            "hole.jpg",
            "small.jpg",
        ]
        subprocess.run(command, check=True)
        assert path.stat().st_size < 100_000
        source = open_source(str(path))
        assert [(entry.path, source.read(entry)) for entry in source.entries] == [("a.tar/small.jpg", b"abc")]


def test_names_from_extended_headers_are_names_and_not_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    names = ["../../etc/cron.d/job.jpg", "/etc/shadow.jpg", "a\x1b[2Jb.jpg", "new\nline.jpg", "ü.jpg"]
    members = [pax({"path": name}) + header("x.jpg", 3) + b"abc".ljust(512, b"\0") for name in names]
    path.write_bytes(b"".join(members) + END)
    source = open_source(str(path))
    assert [entry.path for entry in source.entries] == [
        "a.tar/../../etc/cron.d/job.jpg",
        "a.tar//etc/shadow.jpg",
        "a.tar/a\\x1b[2Jb.jpg",
        "a.tar/new\\x0aline.jpg",
        "a.tar/ü.jpg",
    ]
    assert all(is_clean(entry.key) and source.read(entry) == b"abc" for entry in source.entries)
    assert len({entry.key for entry in source.entries}) == 5


def test_the_newest_of_equal_names_counts(tmp_path: Path) -> None:
    """As when a file is appended to an archive again."""
    members = [("a.jpg", b"old"), ("b.jpg", b"b"), ("a.jpg", b"newer"), ("a.png", b"another")]
    source = open_source(str(shard(tmp_path / "a.tar", members)))
    assert [(entry.key, source.read(entry)) for entry in source.entries] == [("a", b"newer"), ("b", b"b")]


def test_a_bomb_of_members_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", [(f"{number}.txt", b"") for number in range(1001)])
    with pytest.raises(MinerError, match="more than 1,000 members"):
        ShardSource(str(path), limits=ShardLimits(members=1000))


def test_a_bomb_of_a_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pax({"path": "x" * 100_000 + ".jpg"}) + SMALL + END)
    with pytest.raises(MinerError, match="a name of 100,004 characters"):
        open_source(str(path))


def test_a_packed_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(SMALL + bytes(64 << 20)))
    with pytest.raises(MinerError, match="unpacks to more than 1 MiB"):
        ShardSource(str(tmp_path / "a.tar.gz"), limits=ShardLimits(unpacked_bytes=1 << 20))


def test_a_label_of_many_bytes_is_not_read(tmp_path: Path) -> None:
    members = [("a.jpg", b"1"), ("a.cls", b"7" + b" " * (2 << 20)), ("b.jpg", b"2"), ("b.cls", b"3")]
    assert labels_of(tmp_path / "a.tar", members) == ([None, 3], None)


@pytest.mark.parametrize("keep", [40, -10])
def test_damaged_packed_shard_is_explained(tmp_path: Path, keep: int) -> None:
    packed = gzip.compress(shard(tmp_path / "a.tar", [("a.jpg", bytes(range(256)) * 9)]).read_bytes())
    (tmp_path / "a.tar.gz").write_bytes(packed[:keep])
    with pytest.raises(MinerError, match="damaged"):
        open_source(str(tmp_path / "a.tar.gz"))


def test_shards_of_a_remote_file_system() -> None:
    stream = io.BytesIO()
    write_tar(stream, [("a.jpg", b"one"), ("b.jpg", b"three")])
    fsspec.filesystem("memory").pipe("/shards/data-0.tar", stream.getvalue())
    source = open_source("memory://shards/data-*.tar")
    assert [(entry.key, source.read(entry)) for entry in source.entries] == [("a", b"one"), ("b", b"three")]


def test_exported_folder_gives_each_image_once(tmp_path: Path) -> None:
    shard(tmp_path / "images-000000.tar", [("k.jpg", b"1"), ("m.jpg", b"2")])
    shard(tmp_path / "pairs-000000.tar", [("k_m.a.jpg", b"1"), ("k_m.b.jpg", b"2")])
    assert [entry.key for entry in open_source(str(tmp_path)).entries] == ["k", "m"]


def test_parts_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    shard(tmp_path / "clothes-train-0.tar", [("k.jpg", b"1")])
    shard(tmp_path / "clothes-test-0.tar", [("m.jpg", b"2")])
    assert [entry.key for entry in open_source(str(tmp_path)).entries] == ["k"]


def test_fields_are_read_from_the_json_of_each_image(tmp_path: Path) -> None:
    def sample(key: str, record: object) -> list[tuple[str, bytes]]:
        return [(f"{key}.jpg", key.encode()), (f"{key}.json", json.dumps(record).encode())]

    shard(
        tmp_path / "data-0.tar", [*sample("a", {"recording": "r1", "frame": 3}), ("note.json", b"{}"), ("b.jpg", b"b")]
    )
    shard(tmp_path / "data-1.tar", [*sample("a", {"recording": "r2"}), *sample("c", ["no", "object"])])
    source = open_source(f"{tmp_path}/data-*.tar")
    assert isinstance(source, SourceWithFields)
    assert source.fields(["recording", "frame"]) == {
        "recording": ["r1", None, "r2", None],
        "frame": [3, None, None, None],
    }
    assert len(source.entries) == 4


def test_second_images_of_samples_are_counted(tmp_path: Path) -> None:
    members = [
        ("0.left.png", png(0)),
        ("0.right.png", png(1)),
        ("0.mask.png", png(2)),
        ("1.png", png(3)),
        ("1.png", png(4)),
    ]
    (tmp_path / "a.tar").write_bytes(tar_bytes(members))
    source = open_source(str(tmp_path / "a.tar"))
    assert [entry.path for entry in source.entries] == ["a.tar/0.left.png", "a.tar/1.png"]
    assert source.left_out.files == {"second image of a sample": 2}


def test_data_beside_shards_that_is_not_read_is_counted(tmp_path: Path) -> None:
    write_tar_of_images(tmp_path / "00000.tar", ["a", "b"])
    for name in ("00000.parquet", "00000_stats.json", "README.md", "more.zip", "00001.tar.xz", "x.tfrecord"):
        (tmp_path / name).write_bytes(b"x")
    assert open_source(str(tmp_path)).left_out.files == {".zip": 1, ".xz": 1, ".tfrecord": 1}
    (tmp_path / "other.parquet").write_bytes(b"x")
    assert open_source(str(tmp_path)).left_out.files[".parquet"] == 1


def test_archives_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\3\4")
    with pytest.raises(UsageError, match=r"a\.zip is a file that miner cannot read \(a zip archive\)"):
        open_source(str(tmp_path / "a.zip"))
    with pytest.raises(MinerError, match=r"No image below .* \(1 file looked at: \.zip 1; known"):
        open_source(str(tmp_path))
