"""`miner refine` and `miner eval graph` on folders, as a person meets them."""

from pathlib import Path

import numpy as np
import pytest

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine.records import Record
from miner.errors import MinerError, UsageError
from miner.options import flag_name
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.refine.comparison import scores
from miner.refine.network import fit
from miner.refine.options import GraphOptions, RefineStageOptions
from miner.refine.run import refine
from miner.stages import STAGES
from miner.verify.run import verify
from tests.processes import kill_command
from tests.refine.graphs import clusters

SMALL = {"neighbors": 5, "dim": 16, "epochs": 3, "device": "cpu"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_refined_embeddings_are_a_workspace_to_mine_from(make_embeddings) -> None:
    workspace = make_embeddings(clusters(90, 0), labels=[row % 3 for row in range(90)], blocks=[50, 40])
    result = refine(RefineStageOptions.parse({**SMALL, "jump": "concat"}), workspace)
    refined = Workspace(workspace.root / "refined")
    store = EmbeddingStore(refined)
    assert store.vectors.shape == (90, 32) and result.record["messages"] > 450
    np.testing.assert_allclose(np.linalg.norm(store.vectors.astype(float), axis=1), 1, atol=1e-3)
    assert store.metadata.equals(EmbeddingStore(workspace).metadata)
    mined = pairs(PairsOptions.parse({"min": 0.5, "max": 1.0, "neighbors": 3}), refined)
    assert mined.record["pairs"] > 0
    checked = verify(str(workspace.root)).record["checked"]
    assert checked[str(refined.embeddings)] == {"images": 90}
    assert not refine(RefineStageOptions.parse({**SMALL, "jump": "concat"}), workspace).fresh
    with pytest.raises(MinerError, match=r"dim was 16 and is now 8"):
        refine(RefineStageOptions.parse({**SMALL, "jump": "concat", "dim": 8}), workspace)


def test_same_request_gives_the_same_bytes(make_embeddings) -> None:
    folders = []
    for name in ("one", "two"):
        workspace = make_embeddings(clusters(90, 0), name=name)
        refine(RefineStageOptions.parse({**SMALL, "batch_size": 32, "fanout": 2}), workspace)
        folders.append(contents(workspace.root / "refined"))
    assert folders[0] == folders[1]


def test_wrong_requests_say_what_to_do(make_embeddings) -> None:
    workspace = make_embeddings(clusters(8, 0))
    with pytest.raises(UsageError, match="only 7 other images"):
        refine(RefineStageOptions.parse({**SMALL, "neighbors": 8}), workspace)
    with pytest.raises(UsageError, match="gat learns its own"):
        RefineStageOptions.parse({"conv": "gat", "cosine_weights": True})


def often_checkpointed() -> None:
    fit._CHECKPOINT_INTERVAL_S = 0.02


def test_killed_refinement_continues_to_the_same_bytes(make_embeddings) -> None:
    asked = {"dim": 16, "epochs": 20, "neighbors": 5, "device": "cpu", "batch_size": 100}
    arguments = [word for name, value in asked.items() for word in (flag_name(name), str(value))]
    whole, killed = (make_embeddings(clusters(400, 0), name=name) for name in ("whole", "killed"))
    refine(RefineStageOptions.parse(asked), whole)
    checkpoint = killed.root / "refined" / "embeddings" / "parts" / "last.pt"
    kill_command(["refine", *arguments, "-w", str(killed.root)], checkpoint.exists, often_checkpointed)
    refine(RefineStageOptions.parse(asked), killed)
    assert contents(whole.root / "refined") == contents(killed.root / "refined")


def test_stopped_controls_end_with_the_same_bytes(make_photos, tmp_path, monkeypatch) -> None:
    images, test = make_photos(count=40, classes=4), make_photos("test", count=20, classes=4)
    options = GraphOptions.parse(
        {"test": str(test), "neighbors": 3, "dim": 8, "epochs": 1, "seeds": 1, "device": "cpu"}
    )
    workspaces = [Workspace(tmp_path / name) for name in ("whole", "stopped")]
    for workspace in workspaces:
        embed(EmbedOptions.parse({"source": str(images)}), workspace)
    eval_graph = STAGES["eval graph"].run
    record = eval_graph(options, workspaces[0], force=False).record
    assert (len(record["rows"]), record["n_train"], len(record["scores"]["raw-features-inductive"])) == (9, 40, 1)
    done = []

    def score_or_stop(*arguments: object) -> Record:
        if len(done) == 5:
            raise MinerError("stopped")
        done.append(scores.score)
        return score(*arguments)

    score = scores.score
    monkeypatch.setattr(scores, "score", score_or_stop)
    with pytest.raises(MinerError, match="stopped"):
        eval_graph(options, workspaces[1], force=False)
    monkeypatch.setattr(scores, "score", lambda *arguments: done.append(score) or score(*arguments))
    eval_graph(options, workspaces[1], force=False)
    assert len(done) == 9  # each arm once
    whole, stopped = (contents(workspace.root / "graph") for workspace in workspaces)
    assert whole == stopped and set(whole) == {"table.md", "table.csv", "table.json", "table.png", "manifest.json"}
    verify(str(workspaces[0].root))
    assert not eval_graph(options, workspaces[0], force=False).fresh
