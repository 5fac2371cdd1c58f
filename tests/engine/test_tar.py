import io
import tarfile
from itertools import pairwise

from miner.engine.tar import tar_member_bytes, write_tar

MEMBERS = [("a.png", b"x" * 700), ("a.cls", b"3"), ("empty.json", b"")]


def tar_bytes() -> bytes:
    stream = io.BytesIO()
    write_tar(stream, MEMBERS)
    return stream.getvalue()


def test_content_and_fixed_headers() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes())) as tar:
        assert [(member.name, tar.extractfile(member).read()) for member in tar] == MEMBERS
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in tar} == {
            (0, 0, 0, "", 0o644)
        }


def test_same_members_give_the_same_bytes() -> None:
    assert tar_bytes() == tar_bytes()


def test_member_size_is_what_the_tar_takes() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes())) as tar:
        starts = [member.offset for member in tar]
    assert [later - earlier for earlier, later in pairwise(starts)] == [
        tar_member_bytes(len(content)) for _, content in MEMBERS[:2]
    ]
