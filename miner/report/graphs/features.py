"""Features of all embedded images before and after refinement, in the same order of rows."""

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
    """Vectors of all embedded images, and the name that the page gives them."""

    name: str
    vectors: Vectors


def before_and_after(workspace: Workspace, findings: Findings, graphs: dict[str, RunGraphs]) -> list[NamedVectors]:
    """The features before and after refinement, in this order; an empty list if nothing was refined.

    `miner refine --run` refines the features of both streams of a run. The page shows those of its teacher.

    Args:
        graphs: by the name of the run.
    Raises:
        MinerError: embeddings are damaged.
    """
    if findings.refined is None:
        return []
    after = NamedVectors("After refinement", EmbeddingStore(workspace.refined).stored)
    run = findings.refined.request.run
    if run is not None:
        return [NamedVectors(f"Before: teacher of run {run}", graphs[run].bank("teacher")), after]
    return [NamedVectors("Before: embeddings", EmbeddingStore(workspace).stored), after]


def nearest_images(vectors: Vectors, rows: Rows, count: int) -> list[list[Neighbour]]:
    """The nearest neighbours of some images, as a neighbour graph lists them: by cosine in float64, then by row number.

    In NumPy, because the report imports no torch.

    Args:
        vectors: vectors of all images.
        rows: rows of the images whose neighbours are wanted.
        count: number of neighbours; all other images if there are fewer.
    """
    queries = _unit(vectors.take(rows))
    cosines = np.hstack([queries @ _unit(vectors.read(*block)).T for block in blocks(len(vectors), _BLOCK_ROWS)])
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    return [[Neighbour(int(row), float(of[row])) for row in chosen] for chosen, of in zip(best, cosines, strict=True)]


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    doubles = np.asarray(rows, np.float64)
    units: NDArray[np.float64] = doubles / np.linalg.norm(doubles, axis=1, keepdims=True)
    return units
