"""What a file is that is not what its name says, told by its first bytes."""

import re

from miner.errors import install_extra
from miner.source.location import locate
from miner.source.reading import read_start

_START_BYTES = 300
GZIP, TAR, PARQUET = "packed with gzip", "a tar file", "a Parquet file"
_KINDS = {
    "a web page": rb"\s*<(!doctype html|html|head|\?xml(?!.*<svg))",
    "an SVG drawing": rb"\s*(<\?xml.*)?<svg",
    "a pointer of Git LFS; fetch the file itself with `git lfs pull`": rb"version https://git-lfs",
    GZIP: rb"\x1f\x8b",
    "packed with bzip2": rb"BZh\d",
    "packed with xz": rb"\xfd7zXZ\0",
    "packed with zstd": rb"\x28\xb5\x2f\xfd",
    "a zip archive": rb"PK\x03\x04",
    "a 7z archive": rb"7z\xbc\xaf",
    "a rar archive": rb"Rar!",
    TAR: rb".{257}ustar",
    PARQUET: rb"PAR1",
    "an Arrow file": rb"ARROW1",
    "a PDF": rb"%PDF",
    "a Photoshop file": rb"8BPS",
    "PostScript": rb"%!PS",
    f"HEIC, which needs: {install_extra('heif')}": rb"....ftyp(hei|hev|mif1|msf1)",
    "AVIF, which this Pillow does not read": rb"....ftypavi",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP|\xff\x4f\xff\x51",
    "a video": rb"....ftyp|\x1a\x45\xdf\xa3|RIFF....AVI ",
    "an array of NumPy": rb"\x93NUMPY",
    "an HDF5 file": rb"\x89HDF",
    "JSON": rb"\s*[\[{]\s*[\"{\[\d]",
    "a resource fork of macOS": rb"\0\x05\x16\x07",
    "zero bytes only": rb"\0+\Z",
}
_PATTERNS = {kind: re.compile(pattern, re.DOTALL | re.IGNORECASE) for kind, pattern in _KINDS.items()}


def foreign_kind(data: bytes, expected: str = "") -> str:
    """What a file is, as " (a web page)", by its first bytes; "" if nothing here knows, or if it is of the expected kind."""
    start = data[:_START_BYTES]
    found = next((kind for kind, pattern in _PATTERNS.items() if pattern.match(start)), expected)
    return f" ({found})" if found != expected else ""


def foreign_file(url: str, expected: str = "") -> str:
    """`foreign_kind` of a file that cannot be read as what its name says."""
    return foreign_kind(read_start(*locate(url), _START_BYTES), expected)
