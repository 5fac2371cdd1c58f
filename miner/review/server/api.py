"""The JSON API of the review server.

GET  /api/session               {"source", "pairs", "images", "reviewers"}: what is reviewed, where images are, names so far
GET  /api/state?reviewer=NAME   {"queue": [{"pair"}, ...], "judged", "goal", "last"}: what a reviewer sees (`Session.state`);
                                with --show-labels each pair of the queue also has "similarity" and "labels"
GET  /api/summary               what `review.json` will hold (`estimation/summary.py`)
POST /api/decisions             {"reviewer", "pair", "decision"} -> the new state of the reviewer, once the decision is on the disk
GET  /                          the page
GET  /images/SET/PAIR/a|b       an image of a pair; SET changes with the pairs, so that browsers keep no old images

A refused request gets {"error"} with status 400, a decision that cannot be saved with status 507, a missing image with 404.
"""

import json
import re
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
_NUMBER = re.compile("[0-9]{1,18}")  # the converter of the library takes any number of digits, and int() does not
_CACHE_FOR_A_DAY = "private, max-age=86400, immutable"


def create_app(session: Session, images: ImageStore, host: str, token: str | None) -> Starlette:
    """The review server as an ASGI application. Requests need the token, if there is one."""
    page = (Path(__file__).parent / "page.html").read_text("utf-8")
    image_path = f"/images/{session.pairs.identity}"
    sides = {"a": session.pairs.a, "b": session.pairs.b}

    async def index(request: Request) -> Response:
        return HTMLResponse(page)

    def session_json(request: Request) -> Response:
        return JSONResponse(
            {
                "source": PurePath(session.pairs.source.spec).name or session.pairs.source.spec,
                "pairs": len(session.pairs),
                "images": image_path,
                "reviewers": session.reviewers(),
            }
        )

    def state_json(request: Request) -> Response:
        return JSONResponse(session.state(reviewer_name(request.query_params.get("reviewer"))))

    def summary_json(request: Request) -> Response:
        return JSONResponse(session.summary())

    async def decide(request: Request) -> Response:
        body = await _body(request)
        pair, decision = body.get("pair"), body.get("decision")
        if type(pair) is not int or not isinstance(decision, str):
            raise UsageError("A decision needs the name of a reviewer, the number of a pair, and an answer.")
        name = reviewer_name(body.get("reviewer"))
        return JSONResponse(await run_in_threadpool(partial(session.decide, name, pair, decision)))

    def image(request: Request) -> Response:
        pair, rows = request.path_params["pair"], sides.get(request.path_params["side"])
        if rows is None or not _NUMBER.fullmatch(pair) or int(pair) >= len(rows):
            return _failure("There is no such image.", 404)
        try:
            data, kind = images.read(int(rows[int(pair)]))
        except FileNotFoundError as error:
            return _failure(str(error), 404)
        return Response(data, media_type=kind, headers={"cache-control": _CACHE_FOR_A_DAY})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/session", session_json),
            Route("/api/state", state_json),
            Route("/api/summary", summary_json),
            Route("/api/decisions", decide, methods=["POST"]),
            Route(f"{image_path}/{{pair}}/{{side}}", image),
        ],
        middleware=[Middleware(Guard, host=host, token=token, policy=content_security_policy(page))],
        exception_handlers={
            UsageError: lambda request, error: _failure(str(error), 400),
            MinerError: lambda request, error: _failure(str(error), 507),
        },
    )


async def _body(request: Request) -> dict[str, Any]:
    """The body of a request, a small JSON object."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > _LARGEST_BODY_BYTES:
            raise UsageError("A decision is too long.")
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError("A decision is a JSON object.") from error
    if not isinstance(record, dict) or request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise UsageError("A decision is a JSON object, sent as application/json.")
    return record


def _failure(reason: str, status: int) -> Response:
    return JSONResponse({"error": reason}, status)
