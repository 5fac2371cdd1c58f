"""Options of `miner refine` and `miner eval graph`."""

from typing import Literal, Self

from pydantic import model_validator

from miner.options import Fraction, MemorySize, Options, option


class RefineOptions(Options):
    panel = "basics"

    neighbors: int = option(10, ge=1, panel="graph")
    """Nearest neighbours of each image, by exact cosine, that become its edges."""
    graph: Literal["symmetric", "directed", "mutual"] = option("symmetric", panel="graph")
    """directed: an image receives from its own nearest neighbours. symmetric: it also receives from the images that have it as
    a neighbour. mutual: only edges that both images have; some images are then left without an edge."""
    cosine_weights: bool = option(False, panel="graph")
    """Weight edges by their cosine (0 if negative). Not for gat."""
    conv: Literal["gcn", "sage", "gat", "gin"] = option("gcn", panel="network")
    """Graph convolution. gcn and sage are fast; gat is several times slower on a CPU."""
    layers: int = option(2, ge=1, le=3, panel="network")
    """Number of layers. An image receives from images at most this many edges away."""
    dim: int = option(512, ge=1, panel="network")
    """Width of each layer."""
    jump: Literal["last", "max", "concat"] = option("max", panel="network")
    """Output of the layers: the last one, their maximum, or all of them concatenated."""
    epochs: int = option(100, ge=1)
    """Passes over all images. If the whole graph fits into memory, a pass is one step."""
    lr: float = option(1e-3, gt=0, panel="optimizer")
    """Learning rate of Adam, constant over the run."""
    momentum: Fraction = option(0.99, panel="optimizer")
    """Momentum of the target network, per step."""
    feature_mask: float = option(0.2, ge=0, lt=1, panel="views")
    """Share of the features that a view sets to 0, drawn for each view and step."""
    edge_drop: float = option(0.2, ge=0, lt=1, panel="views")
    """Share of the edges that a view leaves out, drawn anew for each view and epoch."""
    batch_size: int | None = option(None, ge=2, panel="processes", short="-b")
    """Images per step, with sampled neighbours. If not given: all images if they fit into --memory, else 4096."""
    fanout: int = option(10, ge=1, panel="expert")
    """Neighbours that are sampled per image and layer, if a step is a batch."""
    memory: MemorySize = option("8GB", panel="processes")
    """Memory that a step over all images may take; see --batch-size."""
    device: str = option("auto", panel="processes", decides_result=False)
    """auto (a CUDA GPU, else the CPU), cpu, cuda, cuda:1."""
    seed: int = option(0)
    """Seed of weights, views and batches."""

    @model_validator(mode="after")
    def _gat_weighs_by_itself(self) -> Self:
        if self.cosine_weights and self.conv == "gat":
            raise ValueError("--cosine-weights: gat learns its own weights; leave it out, or choose gcn, sage or gin")
        return self


class RefineStageOptions(RefineOptions):
    """Refine embeddings with a graph network over their nearest neighbours, without labels.

    The folder refined/ is a workspace: `miner pairs -w WORKSPACE/refined` mines from it. `miner eval knn --refined` measures its
    accuracy, and `miner eval graph` whether the network helps. Needs the extra `graph`.
    """

    run: str | None = option(None)
    """Refine the features that this graphnnclr run has learned of the same images, instead of the embeddings. Teacher and
    student are the two views, each with its own graph. --neighbors is not used."""
    processes: int = option(1, ge=1, panel="processes", decides_result=False)
    """Processes that share the images of each step, one per GPU. The result is that of one process, up to rounding. torchrun
    --nproc-per-node N -m miner refine ... does the same."""


class GraphOptions(RefineOptions):
    """Compare refinement by a graph network with simpler controls, for several seeds, in one table.

    The controls include the raw features, smoothing over neighbours, and the network before training. Test images enter the
    graph in three modes. Needs the extra `graph`.
    """

    test: str | None = option(None, decides_result=False)
    """Labelled images to classify, as a source. If not given: the test set that belongs to a built-in source."""
    test_limit: int | None = option(None, ge=2, decides_result=False)
    """Use only this many test images, the first ones."""
    seeds: int = option(3, ge=1)
    """Number of repetitions, with the seeds --seed, --seed + 1, and so on."""
