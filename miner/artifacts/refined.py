"""The manifest of `refined/embeddings/`, beyond what every folder of embeddings says."""

from typing import ClassVar

from miner.artifacts.artifact import RecordPart, StageArtifact
from miner.artifacts.embeddings.manifest import SourceRecord


class RefineRequest(RecordPart):
    """What `miner refine` was asked for.

    Attributes:
        run: name of the run whose graphs were refined; None for the neighbour graph of the embeddings.
        run_files: `RunManifest.identity` of that run.
    """

    run: str | None = None
    run_files: str | None = None
    neighbors: int
    layers: int
    conv: str
    graph: str


class RefinedManifest(StageArtifact):
    """What `miner refine` wrote.

    Attributes:
        count, dim: the number and width of the vectors.
        messages: edges of the graph; of two graphs the larger number.
        batch_size: images of a training step.
        final_loss, final_spread: at the end of training; a spread of 1 is healthy, 0 is collapse.
    """

    command: ClassVar = "miner refine"
    folder: ClassVar = "refined.embeddings"

    request: RefineRequest
    source: SourceRecord
    count: int
    dim: int
    messages: int
    batch_size: int
    final_loss: float
    final_spread: float
