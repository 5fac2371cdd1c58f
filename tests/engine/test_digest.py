import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.engine.digest import DigestedFile, RunningDigest, block_bytes, file_record, first_difference


def record_of(data: bytes, size_bytes: int) -> dict[str, Any]:
    digest = RunningDigest(size_bytes)
    digest.update(data)
    return digest.record()


@given(st.integers(0, 1 << 40))
def test_a_file_has_at_most_256_blocks(size: int) -> None:
    length = block_bytes(size)
    assert length >= 4096 and length & (length - 1) == 0
    assert -(-size // length) <= 256
    assert length == 4096 or size > 128 * length


@settings(max_examples=60)
@given(st.binary(max_size=30_000), st.lists(st.integers(1, 9000), max_size=20))
def test_the_record_does_not_depend_on_the_pieces(data: bytes, pieces: list[int]) -> None:
    digest, rest = RunningDigest(len(data)), data
    for piece in [*pieces, len(data) or 1]:
        digest.update(rest[:piece])
        rest = rest[piece:]
    record = digest.record()
    assert record == record_of(data, len(data))
    assert record["bytes"] == len(data) and record["sha256"] == hashlib.sha256(data).hexdigest()
    length = block_bytes(len(data))
    ends = [min(start + length, len(data)) for start in range(0, len(data), length)]
    assert record["blocks"] == "".join(hashlib.sha256(data[:end]).hexdigest()[:8] for end in ends)


@given(st.binary(min_size=1, max_size=40_000), st.data())
def test_the_first_difference_is_in_the_block_that_is_named(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    expected, found = (record_of(content, len(data)) for content in (data, other))
    assert place in (first_difference(expected, found) or ())
    assert first_difference(expected, expected) is None
    assert first_difference({"bytes": len(data), "sha256": ""}, found) is None


@pytest.mark.parametrize("size", [0, 1, 4096, 3_000_000, 9_999_999])
def test_a_file_is_digested_while_it_is_written(tmp_path: Path, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    with DigestedFile(tmp_path / "file", size) as stream:
        for start in range(0, size, 70_001):
            stream.write(data[start : start + 70_001])
    assert (tmp_path / "file").read_bytes() == data
    assert stream.record == file_record(tmp_path / "file")


def test_digested_file_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 bytes, not 4"), DigestedFile(tmp_path / "file", 4) as stream:
        stream.write(b"abc")


def test_error_of_the_writing_thread_is_raised() -> None:
    with pytest.raises(OSError, match="No space left"), DigestedFile(Path("/dev/full"), 3) as stream:
        stream.write(b"abc")
    with pytest.raises(OSError, match="No space left"), DigestedFile(Path("/dev/full"), 30 << 20) as stream:
        for _ in range(30):
            stream.write(bytes(1 << 20))
