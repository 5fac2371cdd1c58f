"""Keys that are safe in tar members and file names, stable between runs, and unique."""

import hashlib
import re

MAX_KEY_LENGTH = 64
_CLEAN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HASH_DIGITS = 12


def is_clean(name: str) -> bool:
    """Whether a name is a valid key."""
    return _CLEAN.fullmatch(name) is not None


def hashed_key(path: str) -> str:
    """A key from a path: the readable end of the path, and a hash of the whole path.

    The key depends on the path alone, so other files and other runs do not change it.
    """
    stem = path.rpartition(".")[0] or path
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    return f"{readable[-(MAX_KEY_LENGTH - _HASH_DIGITS - 1) :]}-{digest}".lstrip("-")


def printable(path: str) -> str:
    """A path as text for any file format and terminal: escapes replace control characters and bytes that are not UTF-8."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
