"""Kinds of image files: by their ending, or by their first bytes."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

SNIFFED_BYTES = 32
_ALWAYS = "jpg jpeg png webp ppm pgm bmp gif tif tiff"
# Endings that readers of shards do not know, and the usual ones for the same kind.
_OTHER_NAMES = {
    "jfif": "jpg",
    "jpe": "jpg",
    "pjpeg": "jpg",
    "pjp": "jpg",
    "apng": "png",
    "pbm": "ppm",
    "pnm": "ppm",
    "heif": "heic",
}
_SIGNATURES = {
    "jpg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "webp": rb"RIFF....WEBP",
    "gif": rb"GIF8[79]a",
    "tif": rb"II\*\0|MM\0\*",
    "bmp": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "ppm": rb"P[1-6]\s",
    "avif": rb"....ftypavi[fs]",
    "heic": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
}
_PATTERNS = {extension: re.compile(pattern, re.DOTALL) for extension, pattern in _SIGNATURES.items()}


@cache
def image_extensions() -> tuple[str, ...]:
    """Usual endings of the image files that can be decoded here. Looks for decoders without loading them."""
    pillow = find_spec("PIL")
    folders = (pillow and pillow.submodule_search_locations) or []
    avif = any(any(Path(folder).glob("_avif*")) for folder in folders)
    heif = find_spec("pillow_heif") is not None
    return (*_ALWAYS.split(), *(["avif"] if avif else []), *(["heic"] if heif else []))


def ending(path: str) -> str:
    """The ending of a file's name in lower case, without the dot; "" if it has none."""
    return path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""


def image_extension(path: str) -> str:
    """The ending of an image file that can be decoded here, under its usual name; "" for any other file."""
    found = ending(path)
    usual = _OTHER_NAMES.get(found, found)
    return usual if usual in image_extensions() else ""


def sniffed_extension(start: bytes) -> str:
    """The ending for the first `SNIFFED_BYTES` of a file; "" if it is no image that can be decoded here."""
    found = (extension for extension, pattern in _PATTERNS.items() if pattern.match(start))
    return next((extension for extension in found if extension in image_extensions()), "")


def count_endings(paths: Iterable[str]) -> Counter[str]:
    """How many files have which ending: `.heic`, or `no ending`."""
    return Counter(f".{found}" if (found := ending(path)) else "no ending" for path in paths)
