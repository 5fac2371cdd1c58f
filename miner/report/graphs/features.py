"""NamedVectors before and after refinement, row for row."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import Rows, Vectors, blocks
from miner.artifacts.workspace import Workspace
from miner.report.findings import Findings
from miner.report.graphs.run_graphs import Neighbour, RunGraphs

_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class NamedVectors:
    """Vectors of all embedded images, and what they are."""

    name: str
    vectors: Vectors


def before_and_after(workspace: Workspace, findings: Findings, graphs: dict[str, RunGraphs]) -> list[NamedVectors]:
    """What was refined, and the result; nothing where nothing was refined.

    What a run has kept was refined as both of its streams; its teacher stands for them.

    Args:
        graphs: of the runs, by name.
    Raises:
        MinerError: embeddings are damaged.
    """
    if findings.refined is None:
        return []
    after = NamedVectors("After refinement", EmbeddingStore(Workspace(workspace.root / "refined")).stored)
    run = findings.refined["request"].get("run")
    if run is not None:
        return [NamedVectors(f"Before: teacher of run {run}", graphs[run].bank("teacher")), after]
    return [NamedVectors("Before: embeddings", EmbeddingStore(workspace).stored), after]


def nearest_images(vectors: Vectors, rows: Rows, count: int) -> list[list[Neighbour]]:
    """The other images most similar to some, by cosine, then by row number: what a neighbour graph lists.

    Args:
        vectors: of all images.
        rows: of some of them.
        count: of neighbours, fewer where there are fewer others.
    """
    queries = _unit(vectors.take(rows))
    cosines = np.hstack([queries @ _unit(vectors.read(*block)).T for block in blocks(len(vectors), _BLOCK_ROWS)])
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    return [[Neighbour(int(row), float(own[row])) for row in chosen] for chosen, own in zip(best, cosines, strict=True)]


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    doubles = np.asarray(rows, np.float64)
    units: NDArray[np.float64] = doubles / np.linalg.norm(doubles, axis=1, keepdims=True)
    return units
