import io
import tarfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.tar import tar_bytes, tar_header, tar_member_bytes, write_tar

MEMBERS = [("a.png", b"x" * 700), ("a.cls", b"3"), ("empty.json", b"")]


def archive() -> bytes:
    stream = io.BytesIO()
    write_tar(stream, MEMBERS)
    return stream.getvalue()


def test_content_and_fixed_headers() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive())) as tar:
        assert [(member.name, tar.extractfile(member).read()) for member in tar] == MEMBERS
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in tar} == {
            (0, 0, 0, "", 0o644)
        }


def test_same_members_give_the_same_bytes() -> None:
    assert archive() == archive()


def test_member_size_is_what_the_tar_takes() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive())) as tar:
        starts = [member.offset for member in tar]
    assert [later - earlier for earlier, later in pairwise(starts)] == [
        tar_member_bytes(len(content)) for _, content in MEMBERS[:2]
    ]


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=25),
    st.integers(0, (8 << 30) - 1),
)
def test_headers_are_those_of_tarfile(name: str, size: int) -> None:
    expected = tarfile.TarInfo(name)
    expected.size, expected.mode = size, 0o644
    assert tar_header(name, size) == expected.tobuf(tarfile.USTAR_FORMAT, "utf-8")


@pytest.mark.parametrize("count", [0, 1, 5, 9, 10, 11, 30])
def test_tars_are_those_of_tarfile(count: int) -> None:
    members = [(f"{number}.png", bytes([number]) * 800 * number) for number in range(count)]
    stream, expected = io.BytesIO(), io.BytesIO()
    write_tar(stream, members)
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(content), 0o644
            tar.addfile(header, io.BytesIO(content))
    assert stream.getvalue() == expected.getvalue()
    assert len(stream.getvalue()) == tar_bytes(sum(tar_member_bytes(len(content)) for _, content in members))


def test_what_ustar_has_no_room_for_is_refused() -> None:
    folders = "/".join(["folder"] * 20)
    assert tar_header(f"{folders}/name.png", 1)[345:351] == b"folder"
    with pytest.raises(ValueError, match="too many"):
        tar_header("a.png", 8 << 30)
    with pytest.raises(ValueError, match="long"):
        tar_header("x" * 101, 1)
