"""Keys that are safe in tar members and file names, stable between runs, and unique."""

import hashlib
import re

MAX_KEY_LENGTH = 64
_CLEAN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HASH_DIGITS = 12


def is_clean(name: str) -> bool:
    """Whether a name can serve as a key unchanged."""
    return _CLEAN.fullmatch(name) is not None


def hashed_key(path: str) -> str:
    """A key from a path: its readable end, and a hash of all of it.

    The result depends on the path alone, so it is the same on every run and beside any other files.
    """
    stem = path.rpartition(".")[0] or path
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_")
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]
    return f"{readable[-(MAX_KEY_LENGTH - _HASH_DIGITS - 1) :]}-{digest}".lstrip("-")


def printable(path: str) -> str:
    """A path as text that every file format and terminal can take: bytes that are no UTF-8, and control characters, as escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
