"""One page and its JSON API as an ASGI application behind the guard."""

import json
import re
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from miner.errors import MinerError, UsageError
from miner.server.guard import Guard, content_security_policy
from miner.server.images import ImageStore

_LARGEST_BODY_BYTES = 4096
_NUMBER = re.compile("[0-9]{1,18}")  # the converter of the library takes any number of digits, and int() does not
_CACHE_FOR_A_DAY = "private, max-age=86400, immutable"


def application(command: str, page: str, routes: Sequence[Route], host: str, token: str | None) -> Starlette:
    """The page at `/`, and routes beside it.

    A refused request gets {"error"} with status 400, and with status 507 if something cannot be saved.

    Args:
        command: the name of the command that serves it.
        page: HTML with inline style and script.
        host: address that the server listens on.
        token: that requests need, if there is one.
    """

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    return Starlette(
        routes=[Route("/", index), *routes],
        middleware=[
            Middleware(Guard, command=command, host=host, token=token, policy=content_security_policy(page)),
        ],
        exception_handlers={
            UsageError: lambda request, error: failure(str(error), 400),
            MinerError: lambda request, error: failure(str(error), 507),
        },
    )


async def json_body(request: Request) -> dict[str, Any]:
    """The body of a request, a small JSON object.

    Raises:
        UsageError: it is something else.
    """
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _LARGEST_BODY_BYTES:
            raise UsageError("A request is too long.")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("A request is a JSON object.") from error
    if not isinstance(record, dict) or request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageError("A request is a JSON object, sent as application/json.")
    return record


def number_below(text: str, end: int) -> int | None:
    """The whole number in a path of a URL; None if it is none, or not below `end`."""
    return int(text) if _NUMBER.fullmatch(text) and int(text) < end else None


def image_response(images: ImageStore, row: int | None) -> Response:
    """An image that browsers may keep; status 404 without a row, or if the image is gone."""
    if row is None:
        return failure("There is no such image.", 404)
    try:
        data, kind = images.read(row)
    except FileNotFoundError as error:
        return failure(str(error), 404)
    return Response(data, media_type=kind, headers={"cache-control": _CACHE_FOR_A_DAY})


def failure(reason: str, status: int) -> Response:
    """A refusal for people."""
    return JSONResponse({"error": reason}, status)
