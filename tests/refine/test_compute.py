import numpy as np
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.manifest import GRAPH_FILES
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError, UsageError
from miner.refine.compute import read_views
from miner.refine.options import RefineStageOptions
from miner.refine.run import refine
from miner.train.methods.graphnnclr import GraphNNCLR
from tests.artifacts.manifests import run_record
from tests.refine.graphs import clusters
from tests.train.methods.colours import graphnnclr, see_all
from tests.train.methods.tiny import IMAGES
from tests.train.mini_workspace import finish_folder

OPTIONS = RefineStageOptions.parse(
    {"run": "graphs", "graph": "directed", "dim": 8, "jump": "last", "epochs": 2, "device": "cpu"}
)


def seen() -> GraphNNCLR:
    """A method whose teacher and student have looked at all images, and differ."""
    method = graphnnclr(graph_edges=2)
    with torch.no_grad():
        method.teacher[0].layer.weight.neg_()
    see_all(method, 2)
    return method


@pytest.fixture
def workspace(make_embeddings) -> Workspace:
    """Embeddings of the images of a run, which knows them in the opposite order."""
    workspace = make_embeddings(clusters(IMAGES, 0))
    run = workspace.run("graphs")
    run.mkdir(parents=True)
    seen().save(run, EmbeddingStore(workspace).keys[::-1])
    finish_folder(run, **run_record("graphnnclr"))
    return workspace


def test_views_are_streams_in_the_order_of_the_embeddings(workspace: Workspace) -> None:
    run = workspace.run("graphs")
    teacher, student = read_views(run, EmbeddingStore(workspace).keys, OPTIONS)
    method = seen()
    for view, bank in ((teacher, method.teacher_bank), (student, method.student_bank)):
        raw = bank.features.numpy()[::-1]
        turned = (raw - raw.mean(axis=0)) / np.sqrt(raw.var(axis=0).mean())
        np.testing.assert_allclose(view.features, turned, rtol=1e-3, atol=1e-4)
        edges = bank.edges(2)
        expected = {(IMAGES - 1 - i, IMAGES - 1 - j) for i, j in torch.stack(edges[:2], dim=1).tolist()}
        assert set(zip(view.graph.targets.tolist(), view.graph.sources.tolist(), strict=True)) == expected
    assert not np.allclose(teacher.features, student.features)


def test_both_streams_are_refined_side_by_side(workspace: Workspace) -> None:
    result = refine(OPTIONS, workspace)
    vectors = EmbeddingStore(Workspace(workspace.root / "refined")).vectors.astype(float)
    assert vectors.shape == (IMAGES, 16) and result.record["encoder"] == {"name": "refined run graphs"}
    np.testing.assert_allclose(np.linalg.norm(vectors[:, :8], axis=1), 0.5**0.5, atol=2e-3)
    assert not np.allclose(vectors[:, :8], vectors[:, 8:], atol=1e-3) and "graphs of run graphs" in result.lines[0]


def test_what_does_not_fit_is_refused(workspace: Workspace) -> None:
    run = workspace.run("graphs")
    with pytest.raises(UsageError, match="was on 40 images, 39 of which are among the 39"):
        read_views(run, EmbeddingStore(workspace).keys[:-1], OPTIONS)
    (run / GRAPH_FILES[1]).write_bytes(b"")
    with pytest.raises(MinerError, match="missing or damaged"):
        refine(OPTIONS, workspace)
    workspace.run("other").mkdir()
    finish_folder(workspace.run("other"), **run_record("dino"))
    with pytest.raises(UsageError, match="--run other is of dino"):
        refine(OPTIONS.model_copy(update={"run": "other"}), workspace, force=True)
