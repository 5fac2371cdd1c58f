"""The JSON API of the review server.

GET  /api/session               {"source", "question", "pairs", "images", "reviewers"}: what is reviewed, where images are, names
GET  /api/state?reviewer=NAME   {"queue": [{"pair"}, ...], "judged", "goal", "last"}: what a reviewer sees (`Session.state`);
                                with --show-labels each pair of the queue also has "similarity" and "labels"
GET  /api/summary               what `review.json` will hold (`estimation/summary.py`)
POST /api/decisions             {"reviewer", "pair", "decision"} -> the new state of the reviewer, once the decision is on the disk
GET  /                          the page
GET  /images/SET/PAIR/a|b       an image of a pair; SET changes with the pairs, so that browsers keep no old images

A refused request gets {"error"} with status 400, a decision that cannot be saved with status 507, a missing image with 404.
"""

from functools import partial
from pathlib import Path, PurePath

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from miner.errors import UsageError
from miner.review.server.session import Session, reviewer_name
from miner.server.application import application, image_response, json_body, number_below
from miner.server.images import ImageStore


def create_app(session: Session, images: ImageStore, host: str, token: str | None) -> Starlette:
    """The review server as an ASGI application. Requests need the token, if there is one."""
    page = (Path(__file__).parent / "page.html").read_text("utf-8")
    image_path = f"/images/{session.pairs.identity}"
    sides = {"a": session.pairs.a, "b": session.pairs.b}

    def session_json(request: Request) -> Response:
        return JSONResponse(
            {
                "source": PurePath(session.pairs.source.spec).name or session.pairs.source.spec,
                "question": session.question,
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
        body = await json_body(request)
        pair, decision = body.get("pair"), body.get("decision")
        if type(pair) is not int or not isinstance(decision, str):
            raise UsageError("A decision needs the name of a reviewer, the number of a pair, and an answer.")
        name = reviewer_name(body.get("reviewer"))
        return JSONResponse(await run_in_threadpool(partial(session.decide, name, pair, decision)))

    def image(request: Request) -> Response:
        rows = sides.get(request.path_params["side"])
        pair = None if rows is None else number_below(request.path_params["pair"], len(rows))
        return image_response(images, None if rows is None or pair is None else int(rows[pair]))

    routes = [
        Route("/api/session", session_json),
        Route("/api/state", state_json),
        Route("/api/summary", summary_json),
        Route("/api/decisions", decide, methods=["POST"]),
        Route(f"{image_path}/{{pair}}/{{side}}", image),
    ]
    return application("review", page, routes, host, token)
