"""The pages and calls of the review server."""

import json
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from miner.errors import MinerError, UsageError
from miner.review.server.guard import Guard, content_security_policy
from miner.review.server.images import ImageStore
from miner.review.server.session import Session, reviewer_name

_LARGEST_BODY_BYTES = 4096
_A_DAY = "private, max-age=86400, immutable"


def create_app(session: Session, images: ImageStore, host: str, token: str | None) -> Starlette:
    """The review as an ASGI application.

    GET / is the page, /images/SET/PAIR/a|b an image, /api/session what there is, /api/state?reviewer=NAME what a reviewer sees,
    /api/summary the estimate; POST /api/decisions takes {"reviewer", "pair", "decision"} and answers once it is on the disk.
    """
    page = (Path(__file__).parent / "page.html").read_text()
    pictures = f"/images/{session.pairs.identity}"
    sides = {"a": session.pairs.a, "b": session.pairs.b}

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    def about(request: Request) -> Response:
        return JSONResponse(
            {
                "source": PurePath(session.pairs.source).name or session.pairs.source,
                "pairs": len(session.pairs),
                "images": pictures,
                "reviewers": session.reviewers(),
            }
        )

    def state(request: Request) -> Response:
        return JSONResponse(session.state(reviewer_name(request.query_params.get("reviewer"))))

    def summary(request: Request) -> Response:
        return JSONResponse(session.summary())

    async def decide(request: Request) -> Response:
        sent = await _body(request)
        pair, decision = sent.get("pair"), sent.get("decision")
        if type(pair) is not int or not isinstance(decision, str):
            raise UsageError("A decision names a reviewer, the number of a pair, and what was decided.")
        name = reviewer_name(sent.get("reviewer"))
        return JSONResponse(await run_in_threadpool(partial(session.decide, name, pair, decision)))

    def image(request: Request) -> Response:
        pair, rows = request.path_params["pair"], sides.get(request.path_params["side"])
        if rows is None or pair >= len(rows):
            return _failure("There is no such image.", 404)
        try:
            data, kind = images.read(int(rows[pair]))
        except FileNotFoundError:
            return _failure("This image is gone, or has changed since it was embedded.", 404)
        return Response(data, media_type=kind, headers={"cache-control": _A_DAY})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/session", about),
            Route("/api/state", state),
            Route("/api/summary", summary),
            Route("/api/decisions", decide, methods=["POST"]),
            Route(f"{pictures}/{{pair:int}}/{{side}}", image),
        ],
        middleware=[Middleware(Guard, host=host, token=token, policy=content_security_policy(page))],
        exception_handlers={UsageError: _wrong_request, MinerError: _not_saved},
    )


async def _body(request: Request) -> dict[str, Any]:
    """A small JSON object.

    Raises:
        UsageError: it is something else.
    """
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _LARGEST_BODY_BYTES:
            raise UsageError("A decision is never this long.")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("A decision is a JSON object.") from error
    if not isinstance(record, dict) or request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageError("A decision is a JSON object, sent as application/json.")
    return record


def _wrong_request(request: Request, error: Exception) -> Response:
    return _failure(str(error), 400)


def _not_saved(request: Request, error: Exception) -> Response:
    return _failure(str(error), 507)


def _failure(reason: str, status: int) -> Response:
    return JSONResponse({"error": reason}, status)
