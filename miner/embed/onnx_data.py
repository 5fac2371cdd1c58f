"""Which files beside an ONNX file hold its weights. The format is protobuf; its fields are numbered in onnx.proto.

Weights of 2 GB and above must be outside, and smaller ones may be, in files of any name. Such a file is named in the tensor
whose bytes it holds, and tensors stand in the graph, in attributes of its nodes, and in the graphs in these.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from miner.errors import MinerError

# By message: which of its fields hold which message.
_BELOW = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA = 13
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT, _WITH_LENGTH = 0, 2
_DEEPEST = 100  # as in protobuf


class ExternalData(NamedTuple):
    """Where the bytes of a tensor are: a path below the folder of the ONNX file, and the end of the bytes in that file."""

    location: str
    end: int


def external_files(path: Path) -> list[Path]:
    """The files that hold tensors of an ONNX file, sorted; without those outside its folder, which onnxruntime refuses."""
    found = {path.parent / data.location for data in _external_data(path) if _is_below(data.location)}
    return sorted(file for file in found if file.is_file())


def check_external_data(path: Path) -> None:
    """Refuse a tensor that ends behind the end of its file, before memory is taken for it.

    Raises:
        MinerError: there is one.
    """
    for data in _external_data(path):
        file = path.parent / data.location
        if _is_below(data.location) and file.is_file() and data.end > file.stat().st_size:
            raise MinerError(
                f"{path} names {data.end:,} bytes of {file}, which has {file.stat().st_size:,}. Export the graph again."
            )


def _is_below(location: str) -> bool:
    path = PurePosixPath(location)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in location


def _external_data(path: Path) -> set[ExternalData]:
    """Of all tensors; none if the file is damaged, which onnxruntime says when it opens the file."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return set(_of_message(data, "model", 0, len(data), _DEEPEST))
    except (ValueError, IndexError):  # an empty file cannot be mapped
        return set()


def _of_message(data: mmap.mmap, kind: str, start: int, end: int, depth: int) -> Iterator[ExternalData]:
    if kind == "tensor":
        if entries := [(at, stop) for field, at, stop in _fields(data, start, end) if field == _EXTERNAL_DATA]:
            yield _located(data, entries)
        return
    for field, at, stop in _fields(data, start, end) if depth else ():
        if below := _BELOW[kind].get(field):
            yield from _of_message(data, below, at, stop, depth - 1)


def _located(data: mmap.mmap, entries: list[tuple[int, int]]) -> ExternalData:
    """From the entries of a tensor, each a key and a value: location, offset, length."""
    texts = {}
    for start, end in entries:
        fields = {
            field: data[at:stop].decode("utf-8", "surrogateescape") for field, at, stop in _fields(data, start, end)
        }
        texts[fields.get(1)] = fields.get(2, "")
    return ExternalData(texts.get("location", ""), int(texts.get("offset") or 0) + int(texts.get("length") or 0))


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field of a message that has a length; others are passed over."""
    while start < end:
        tag, start = _varint(data, start)
        if tag >> 3 == 0:
            raise ValueError("no field has the number 0")
        if tag & 7 == _WITH_LENGTH:
            size, start = _varint(data, start)
            if start + size > end:
                raise ValueError("a field goes on behind its message")
            yield tag >> 3, start, start + size
            start += size
        elif tag & 7 == _VARINT:
            _, start = _varint(data, start)
        else:
            start += _FIXED_BYTES.get(tag & 7, end)


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    """A number of seven bits per byte, the lowest first; and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = data[start]
        value, start, shift = value | (byte & 127) << shift, start + 1, shift + 7
        if byte < 128:
            return value, start
    raise ValueError("a number of more than ten bytes")
