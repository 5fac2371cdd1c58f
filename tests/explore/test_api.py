"""The JSON API in process, on photographs of which only embeddings exist."""

import json
import shlex

import pytest
from starlette.testclient import TestClient

import miner
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.commands.app import app
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.explore.api import explore_app
from miner.explore.search import Search
from miner.pairs.calibration.run import calibrate
from miner.pairs.options import CalibrateOptions
from miner.server.images import ImageStore

MUTUAL = {"rule": "mutual", "neighbors": 3, "max": 0.95}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("explore") / "w")
    embed(EmbedOptions(source="sample", limit=24, device="cpu"), made)
    return made


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(workspace: Workspace, said) -> TestClient:
    opened = miner.open(workspace.root)
    search = Search(opened.embeddings, "cpu")
    search._work()
    images = ImageStore(workspace, opened.embeddings.manifest.source, opened.embeddings.metadata, small=True)
    made = explore_app(opened, search, images, "127.0.0.1", None, said.append)
    return TestClient(made, "http://localhost", raise_server_exceptions=False)


def ask(client: TestClient, path: str, **query: object) -> object:
    answer = client.get(path, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_images_pairs_and_neighbours_are_those_of_the_set(client, workspace) -> None:
    about = ask(client, "/api/set")
    assert [rule["rule"] for rule in about["rules"]] == ["band", "knn", "mutual", "mutual", "local", "shared"]
    assert about["images"] == 24 and about["first"] == [] and about["low"] is None
    assert len(ask(client, "/api/progress")["histogram"]) == 2000
    pair = ask(client, "/api/pairs", choice=json.dumps(MUTUAL), where="chosen", seed=1)[0]
    found = ask(client, "/api/similar", row=pair["a"]["row"])
    known = miner.similar(workspace.root, pair["a"]["path"], 24, device="cpu")
    assert [image["path"] for image in found["nearest"]] == known.paths
    shown = client.get(f"{about['image_path']}/{pair['b']['row']}")
    assert shown.headers["content-type"] == "image/png" and len(shown.content) > 100
    for row in ("24", "-1", "x", "9" * 30):
        assert client.get(f"{about['image_path']}/{row}").status_code == 404
        assert client.get("/api/similar", params={"row": row}).status_code == 404


@pytest.mark.parametrize(
    "choice",
    [
        *("", "[]", "x", "{}", '{"rule": "band", "max": 2}', '{"rule": "mutual", "max": 0.9, "neighbors": 0}'),
        '{"rule": "shared", "max": 0.9, "neighbors": 33}',
        '{"rule": "table", "max": 0.9}',
        '{"rule": "band", "max": 0.9, "against": "/etc"}',
    ],
)
def test_a_choice_that_is_none_is_refused(client, workspace, choice) -> None:
    for path in ("/api/facts", "/api/pairs"):
        assert client.get(path, params={"choice": choice}).status_code == 400
    body = {"choice": json.loads(choice) if choice.startswith("{") else choice}
    assert client.post("/api/use", json=body).status_code == 400
    assert not workspace.explored.exists()


def test_what_is_used_is_what_miner_pairs_takes(client, workspace, said, capsys) -> None:
    facts = ask(client, "/api/facts", choice=json.dumps(MUTUAL))
    assert facts["command"] == f"miner pairs --rule mutual --neighbors 3 --max 0.95 -w {workspace.root}"
    used = client.post("/api/use", json={"choice": MUTUAL}).json()
    assert said == [used["command"]] and not workspace.pairs.exists()
    assert used["command"].startswith(f"miner pairs --config {workspace.explored}")
    app(["status", "-w", str(workspace.root)], standalone_mode=False)
    assert f"status: next, miner pairs --config {workspace.explored}" in capsys.readouterr().out
    app(["verify", str(workspace.root)], standalone_mode=False)
    app([*shlex.split(used["command"])[1:], "--device", "cpu"], standalone_mode=False)
    mined = PairsManifest.read(workspace)
    assert (mined.pairs, mined.request.rule, mined.request.neighbors) == (facts["pairs"], "mutual", 3)
    again = ask(client, "/api/facts", choice=json.dumps(MUTUAL))
    band = ask(client, "/api/facts", choice='{"rule": "band", "min": 0.8, "max": 0.9}')
    assert again["command"] == facts["command"] and band["command"] == (
        f"miner pairs --rule band --min 0.8 --max 0.9 -w {workspace.root} --force"
    )
    calibrate(CalibrateOptions(images=8, device="cpu"), workspace, compare=False)
    calibrated = CalibrationRecord.read(workspace).band
    about = ask(client, "/api/set")
    assert about["first"][0] == {"name": "as mined", "choice": MUTUAL} and about["low"] == calibrated.low
    assert about["first"][1]["name"] == "as calibrated" and about["first"][1]["choice"]["max"] == calibrated.high
