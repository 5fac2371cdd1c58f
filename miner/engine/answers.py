"""Answers of web servers within limits: a server may send more than it was asked for, or never end."""

import re
from functools import cache
from typing import Any

_LARGEST_BYTES, _LARGEST_PAGE_BYTES = 1 << 30, 1 << 24
_CHUNK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@cache
def client_options() -> dict[str, Any]:
    """Arguments of a session of aiohttp: how long a server may take for an answer, and how much it may send.

    Reading an answer raises OSError beyond the range that was asked for, or beyond 1 GiB, of a page 16 MiB.
    """
    import aiohttp

    class BoundedAnswer(aiohttp.ClientResponse):
        most_bytes = 0

        async def text(self, *arguments: Any, **options: Any) -> str:
            self.most_bytes = _LARGEST_PAGE_BYTES
            return await super().text(*arguments, **options)

        async def read(self) -> bytes:
            if self._body is None:
                self._body = await self._bounded_body()
            return self._body

        async def _bounded_body(self) -> bytes:
            most, from_start = self.most_bytes or _LARGEST_BYTES, False
            if asked := _RANGE.fullmatch(self.request_info.headers.get("Range", "")):
                start, last = int(asked[1]), int(asked[2])
                most = last + 1 - start
                from_start = self.status == 200 and "Content-Range" not in self.headers
                if from_start and start:
                    raise OSError(f"{self.url}: the server sends files as a whole only. Fetch the file first.")
            body = bytearray()
            async for chunk in self.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > most:
                    if from_start:
                        break
                    raise OSError(
                        f"{self.url}: the server sends more than the {most:,} bytes that this answer may have"
                    )
            return bytes(body[:most])

    patience = aiohttp.ClientTimeout(total=600, sock_connect=30, sock_read=60)
    return {"timeout": patience, "response_class": BoundedAnswer}
