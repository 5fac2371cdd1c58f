"""Small files that take much memory once they are read.

`python -m tests.embed.bombs` runs commands under a limit of memory, from JSON on its standard input: the words of each by
its name. It writes a line of JSON for each: the name, the exit code, the errors.
"""

import io
import json
import os
import random
import resource
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

LIMIT_BYTES = 3_000_000_000
VALUE = bytes(40 << 20)


def repeated(value: object, rows: int, kind: pa.DataType | None = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value], kind))


def in_lists(values: pa.Array, per_row: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, per_row), pa.int32()), values)


def table(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def image() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    return stream.getvalue()


def with_paths(rows: int, path: str) -> pa.Array:
    return pa.StructArray.from_arrays([pa.array([image()] * rows), repeated(path, rows)], ["bytes", "path"])


def png(path: Path, width: int, height: int, bits: int, colour: int) -> Path:
    """A PNG of zeros, packed row by row."""
    channels = {0: 1, 4: 2, 6: 4}[colour]
    packer, row = zlib.compressobj(1), bytes(1 + width * channels * bits // 8)
    data = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    chunks = [(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def tiled_tiff(path: Path) -> Path:
    """A picture of 8 x 8 pixels in a tile of 40,000 x 40,000."""
    data = zlib.compress(bytes(64))
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: 40_000, 323: 40_000, 324: 8, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(start + data + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


def sparse(path: Path, size_bytes: int, start: bytes = b"") -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(size_bytes)
    return path


def packed_checkpoint(path: Path) -> Path:
    """A zip that states 4 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    stated = struct.pack("<I", 1 << 20)
    path.write_bytes(path.read_bytes().replace(stated, struct.pack("<I", (1 << 32) - 2)))
    return path


def outside(path: Path) -> Path:
    """An ONNX file whose weights are said to be 2^50 bytes of a file of 4."""

    def field(number: int, data: bytes) -> bytes:
        sizes = [
            len(data) >> shift & 127 | 128 * (len(data) >> shift > 127) for shift in (0, 7)[: 1 + (len(data) > 127)]
        ]
        return bytes([number << 3 | 2, *sizes]) + data

    path.with_name("w.bin").write_bytes(bytes(4))
    entries = {b"location": b"w.bin", b"length": str(1 << 50).encode()}
    tensor = b"".join(field(13, field(1, key) + field(2, value)) for key, value in entries.items())
    path.write_bytes(field(7, field(5, tensor)))
    return path


def growing(path: Path) -> Path:
    """A graph that makes a tensor of 2 GB, whose size depends on the image."""
    onnx = pytest.importorskip("onnx")
    make, numpy_helper = onnx.helper, onnx.numpy_helper
    most = np.array([500_000_000])
    nodes = [
        make.make_node("GlobalAveragePool", ["images"], ["mean"]),
        make.make_node("Flatten", ["mean"], ["vector"]),
        make.make_node("Shape", ["vector"], ["shape"], start=0, end=1),
        make.make_node("Add", ["shape", "most"], ["length"]),
        make.make_node("ConstantOfShape", ["length"], ["zeros"]),
        make.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        make.make_node("Add", ["vector", "zero"], ["out"]),
    ]
    images, out = (
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("images", ["n", 3, 32, 32]), ("out", ["n", 3]))
    )
    graph = make.make_graph(nodes, "graph", [images], [out], [numpy_helper.from_array(most, "most")])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    return path


def list_of_bytes(path: Path) -> Path:
    numbers = pa.array(np.zeros(50_000_000, np.int8))
    return table(path, image=[b"x"], label=pa.ListArray.from_arrays(pa.array([0, len(numbers)], pa.int32()), numbers))


def page(size_bytes: int, packed: bytes, values: int) -> bytes:
    """A page of data with its header in Thrift's compact protocol."""
    sizes = b"".join(b"\x15" + varint(2 * number) for number in (size_bytes, len(packed)))
    return b"\x15\x00" + sizes + b"\x2c\x15" + varint(2 * values) + b"\x15\x00\x15\x06\x15\x06\0\0" + packed


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def with_pages(path: Path, column: int, pages: bytes) -> None:
    """Put other pages in place of those that the footer describes."""
    start, data = pq.read_metadata(path).row_group(0).column(column).data_page_offset, path.read_bytes()
    path.write_bytes(data[:start] + pages + data[start + len(pages) :])


def pages_beyond_the_footer(path: Path) -> None:
    """The footer states 120 images of 5 KB; but each lies in a page that unpacks to 40 MB."""
    images = pa.array([random.Random(number).randbytes(5_000) for number in range(120)])
    columns = pa.table({"image": images}, pa.schema([pa.field("image", pa.binary(), nullable=False)]))
    pq.write_table(columns, path, compression="zstd", use_dictionary=False, write_statistics=False)
    zeros = pa.compress(VALUE, "zstd", asbytes=True)
    starts = [struct.pack("<II", len(VALUE) + 4, number) for number in range(120)]
    packed = [pa.compress(start, "zstd", asbytes=True) + zeros for start in starts]
    with_pages(path, 0, b"".join(page(len(VALUE) + 8, data, 1) for data in packed))


def lists_beyond_the_footer(path: Path) -> None:
    """The footer states a list of one label for each image; but the page of the labels states 1,000,000,000 in the first."""
    columns = pa.table({"image": [b"x"] * 100, "label": [[f"{number:050}"] for number in range(100)]})
    pq.write_table(columns, path, compression="none", use_dictionary=False, write_statistics=False)
    many = 1_000_000_000
    levels = [b"\x02\x00" + varint(2 * (many - 1)) + b"\x01", varint(2 * many) + b"\x02"]
    content = b"".join(struct.pack("<I", len(runs)) + runs for runs in levels)
    with_pages(path, 1, page(len(content), content, many))


def rows_beyond_the_footer(path: Path) -> None:
    """The footer states two rows; but its row group states 6,000,000."""
    table(path, image=pa.nulls(6_000_000, pa.binary()))
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    rows, two = bytes([0x80, 0xB6, 0xDC, 0x05]), bytes([0x84, 0x80, 0x80, 0x00])  # as in Thrift's compact protocol
    path.write_bytes(data[:footer] + data[footer:].replace(rows, two, 1))
    assert pq.read_metadata(path).num_rows == 2


def deep_notes(path: Path) -> None:
    notes = {"huggingface": "[" * 500_000}
    pq.write_table(pa.table({"image": [b"x", b"y"]}).replace_schema_metadata(notes), path)


# By name: what writes the file into a folder, and what the command says about it.
SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "two large images in grey of 16 bits": (
        lambda f: shutil.copy(png(f / "a.png", 5_500, 5_500, 16, 0), f / "b.png"),
        "",
    ),
    "two large transparent images": (lambda f: shutil.copy(png(f / "a.png", 5_500, 5_500, 8, 4), f / "b.png"), ""),
    "a tile larger than its image": (lambda f: [tiled_tiff(f / f"{name}.tif") for name in "ab"], "2 x too large"),
    "sparse images": (
        lambda f: [sparse(f / f"{name}.png", 1 << 30, b"\x89PNG\r\n\x1a\n") for name in "abc"],
        "Only 0 of",
    ),
    "one value in every row": (lambda f: table(f / "a.parquet", image=repeated(VALUE, 100)), "100 x no known image"),
    "one value in structs": (
        lambda f: table(f / "a.parquet", image=pa.StructArray.from_arrays([repeated(VALUE, 100)], ["bytes"])),
        "100 x no known image",
    ),
    "one value in long lists": (
        lambda f: table(f / "a.parquet", image=in_lists(repeated(VALUE, 20_000), 10_000)),
        "2 x not readable: 10,000 images in this row",
    ),
    "long paths": (lambda f: table(f / "a.parquet", image=with_paths(2_000, "a" * 3_000_000)), "3,000,000 characters"),
    "long labels": (
        lambda f: table(f / "a.parquet", image=repeated(b"x", 2_000), label=repeated("a" * 3_000_000, 2_000)),
        "2,000 x no known image",
    ),
    "a label of many numbers": (lambda f: list_of_bytes(f / "a.parquet"), "50,000,000 values"),
    "many rows": (lambda f: table(f / "a.parquet", image=pa.nulls(6_000_000, pa.binary())), "states 6,000,000 rows"),
    "rows beyond the footer": (lambda f: rows_beyond_the_footer(f / "a.parquet"), "states 6,000,000 rows"),
    "pages beyond the footer": (
        lambda f: pages_beyond_the_footer(f / "a.parquet"),
        "and 120 values in the column image",
    ),
    "lists beyond the footer": (lambda f: lists_beyond_the_footer(f / "a.parquet"), "1,000,000,000 values"),
    "deep notes": (lambda f: deep_notes(f / "a.parquet"), "2 x no known image"),
}
ENCODERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "onnx:": (lambda f: outside(f / "a.onnx"), "1,125,899,906,842,624 bytes"),
    "onnx: ": (lambda f: sparse(f / "b.onnx", 1 << 40), "may take half"),
    "onnx:  ": (lambda f: growing(f / "c.onnx"), "The ONNX graph takes more than"),
    "resnet18@": (lambda f: sparse(f / "a.safetensors", 1 << 40, b"\xff" * 8), "may take half"),
    "resnet18@ ": (lambda f: sparse(f / "b.safetensors", 1 << 20, b"\xff" * 7 + b"\x7f"), "could not be read"),
    "moco:": (lambda f: packed_checkpoint(f / "a.pt"), "may take half"),
}
RECORDS: dict[str, tuple[bytes, str]] = {
    "many lists": (b"[" + b"[]," * 40_000_000 + b"[]]", "too large"),
    "deep lists": (b"[" * 500_000, "nested too deeply"),
}


def write_bombs(folder: Path) -> dict[str, tuple[list[str], str]]:
    """Write all files; gives the command that reads each, and what it has to say, by name."""
    commands: dict[str, tuple[list[str], str]] = {}
    for number, (name, (make, message)) in enumerate(SOURCES.items()):
        source = folder / str(number)
        source.mkdir()
        make(source)
        commands[name] = ["embed", str(source), "-w", str(folder / f"{number}.mine")], message
    for name, (make_encoder, message) in ENCODERS.items():
        encoder = f"{name.strip()}{make_encoder(folder)}"
        commands[encoder] = ["embed", "sample", "--encoder", encoder, "-w", str(folder / "encoder.mine")], message
    for name, (content, message) in RECORDS.items():
        (stage := folder / name / "embeddings").mkdir(parents=True)
        (stage / "manifest.json").write_bytes(content)
        commands[name] = ["pairs", "-w", str(folder / name)], message
        commands[f"{name} behind verify"] = ["verify", str(folder / name)], message
    return commands


def run_all(commands: dict[str, list[str]]) -> None:
    """Run each command in a process of its own, which need not import anything again."""
    import torch  # noqa: F401

    from miner.cli import main

    for name, command in commands.items():
        if not (child := os.fork()):
            errors, code = io.StringIO(), 0
            sys.argv = ["miner", *command]
            with redirect_stderr(errors), redirect_stdout(io.StringIO()):
                try:
                    main()
                except SystemExit as stop:
                    code = int(stop.code or 0)
            print(json.dumps([name, code, errors.getvalue()]), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    run_all(json.load(sys.stdin))
