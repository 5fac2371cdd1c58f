"""PNG files with more text than Pillow reads: the text says nothing about the pixels, so it can go."""

import struct
import zlib
from contextlib import suppress

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_KEPT_BYTES = 1 << 18
_ZLIB = 0x78  # the first byte of packed text


def without_large_text(data: bytes) -> bytes:
    """A PNG without the chunks of text and colour profile that Pillow refuses to unpack; other files unchanged.

    Small chunks stay, because the orientation of the image may be in one. Memory is bounded by the size of the file.
    """
    if not data.startswith(_SIGNATURE):
        return data
    kept, start = [_SIGNATURE], len(_SIGNATURE)
    while start + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        end = start + size + 12
        if kind not in _TEXT or _unpacked_size(data[start + 8 : end - 4]) <= _KEPT_BYTES:
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _unpacked_size(chunk: bytes) -> int:
    """Size of the text in a chunk, which is text or a keyword and packed text; not more than just above `_KEPT_BYTES`."""
    longest = len(chunk)
    if longest > _KEPT_BYTES:
        return longest
    for start, byte in enumerate(chunk[:512]):
        if byte == _ZLIB:
            with suppress(zlib.error):
                text = zlib.decompressobj().decompress(memoryview(chunk)[start:], _KEPT_BYTES + 1)
                longest = max(longest, len(text))
    return longest
