"""The JSON API of `miner explore`. CHOICE is JSON: {"rule", "max"}, and "min", "neighbors", "local", "shared" where they belong.

GET  /api/set                   what is explored, the rules to choose from, and the choices to begin with
GET  /api/progress              {"searched", "done", "version", "problem"}, and "histogram": pairs in 2000 bins from -1 to 1
GET  /api/facts?choice=CHOICE   counts, coverage and composition (`search.py`), and the "command" that mines so
GET  /api/pairs?choice=CHOICE&where=WHERE&value=V&seed=N   random pairs: chosen, above, below, left, or near V
GET  /api/similar?row=ROW       the nearest neighbours of an image
POST /api/use {"choice"}        saves a choice as explored.yaml -> {"command"}, which mines by it
GET  /                          the page
GET  /images/SET/ROW            an image, made smaller; SET changes with the images, so that browsers keep no old ones

A refused request gets {"error"} with status 400, a choice that cannot be saved with status 507, a missing image with 404.
"""

import json
from collections.abc import Callable
from pathlib import Path, PurePath

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from miner.api.opened import OpenedWorkspace
from miner.api.similar import similar
from miner.artifacts.embeddings.images import class_name
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import UsageError
from miner.explore.choice import band_of, command_of, first_choices, lowest_cosine, read_choice, save_choice
from miner.explore.search import MOST_IMAGES, Search
from miner.pairs.calibration.comparison import RULES
from miner.server.application import application, failure, image_response, json_body, number_below
from miner.server.images import ImageStore

_WHERE = ("chosen", "above", "below", "left", "near")
_SIMILAR = 24


def explore_app(
    opened: OpenedWorkspace,
    search: Search,
    images: ImageStore,
    host: str,
    token: str | None,
    used: Callable[[str], None],
) -> Starlette:
    """The server as an ASGI application. Requests need the token, if there is one.

    Args:
        used: called with the command that mines by a saved choice.
    """
    page = (Path(__file__).parent / "page.html").read_text("utf-8")
    store, workspace = search.store, Workspace(opened.path)
    identity, spec = store.manifest.identity, store.manifest.source.spec
    paths, labels = store.metadata["path"], store.metadata["label"]

    def shown(row: int) -> Record:
        label = labels[row].as_py()
        named = None if label is None else class_name(label, store.manifest.source.classes)
        return {"row": row, "path": paths[row].as_py(), "label": named}

    def set_json(request: Request) -> Response:
        return JSONResponse(
            {
                "source": PurePath(spec).name or spec,
                "images": len(store),
                "most": MOST_IMAGES,
                "encoder": store.manifest.encoder.name,
                "image_path": f"/images/{identity}",
                "rules": [{"rule": "band"}, *(rule.record() for rule in RULES)],
                "first": first_choices(workspace, store.manifest),
                "low": lowest_cosine(workspace, store.manifest),
            }
        )

    def progress_json(request: Request) -> Response:
        histogram = search.histogram()
        return JSONResponse({**search.progress(), "histogram": histogram})

    def facts_json(request: Request) -> Response:
        options = read_choice(request.query_params.get("choice"))
        facts = search.facts(options.chosen_rule, band_of(options))
        return JSONResponse({**facts, "command": command_of(options, workspace, identity)})

    def pairs_json(request: Request) -> Response:
        asked = request.query_params
        options, where = read_choice(asked.get("choice")), asked.get("where", "chosen")
        try:
            value, seed = float(asked.get("value", 0)), int(asked.get("seed", 0))
        except ValueError as error:
            raise UsageError("value and seed are numbers.") from error
        if where not in _WHERE or not -1 <= value <= 1 or not 0 <= seed < 1 << 32:
            raise UsageError(f"where is one of {', '.join(_WHERE)}; value lies between -1 and 1, seed is not negative.")
        found = search.drawn(where, options.chosen_rule, band_of(options), value, seed)
        sides = zip(found.a.tolist(), found.b.tolist(), found.similarity.tolist(), strict=True)
        return JSONResponse([{"a": shown(a), "b": shown(b), "similarity": similarity} for a, b, similarity in sides])

    def similar_json(request: Request) -> Response:
        row = number_below(request.query_params.get("row", ""), len(store))
        if row is None:
            return failure("There is no such image.", 404)
        found = similar(opened, store.metadata["key"][row].as_py(), _SIMILAR)
        nearest = zip(found.rows.tolist(), found.cosines.tolist(), strict=True)
        return JSONResponse(
            {"image": shown(row), "nearest": [{**shown(other), "similarity": cosine} for other, cosine in nearest]}
        )

    async def use(request: Request) -> Response:
        options = read_choice(json.dumps((await json_body(request)).get("choice")))
        command = await run_in_threadpool(save_choice, options, workspace, identity)
        used(command)
        return JSONResponse({"command": command, "file": str(workspace.explored)})

    def image(request: Request) -> Response:
        return image_response(images, number_below(request.path_params["row"], len(store)))

    routes = [
        Route("/api/set", set_json),
        Route("/api/progress", progress_json),
        Route("/api/facts", facts_json),
        Route("/api/pairs", pairs_json),
        Route("/api/similar", similar_json),
        Route("/api/use", use, methods=["POST"]),
        Route(f"/images/{identity}/{{row}}", image),
    ]
    return application("explore", page, routes, host, token)
