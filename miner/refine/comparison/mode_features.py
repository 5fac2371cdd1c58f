"""Features of training and test images by the network of `miner refine`, in each mode, and the raw ones."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.refined import RefinedManifest
from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, same_file
from miner.errors import MinerError, UsageError
from miner.refine.modes.held_out import TrainAndTest, read_train_and_test
from miner.refine.options import RefineOptions
from miner.refine.run import NETWORK_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from miner.refine.graph.graph import FeatureRows
    from miner.refine.modes.modes import GraphMode

# `miner refine` never sees test images, so the networks for these modes are trained here.
_WITH_TEST_IMAGES: "tuple[GraphMode, ...]" = ("transductive", "as-code")


@dataclass(frozen=True)
class RefinedEmbeddings:
    """What `miner refine` wrote in a workspace.

    Attributes:
        workspace: of the embeddings that were refined.
        manifest: of the refined embeddings.
        options: that the network was trained with; the device is that of the evaluation.
    """

    workspace: Workspace
    manifest: RefinedManifest
    options: RefineOptions


def open_refined(workspace: Workspace, device: str) -> RefinedEmbeddings:
    """Find what `miner refine` wrote.

    Raises:
        MinerError: nothing was refined, or other embeddings than there are now.
        UsageError: a run was refined.
    """
    manifest = RefinedManifest.read(workspace, of=EmbeddingsManifest.read(workspace))
    if manifest.request.run is not None:
        raise UsageError(
            f"{workspace.refined.root} refines run {manifest.request.run}, whose banks hold no test images. Only refined "
            "embeddings can be evaluated: miner refine without --run."
        )
    recorded = {name: value for name, value in manifest.asked.items() if name in RefineOptions.model_fields}
    return RefinedEmbeddings(workspace, manifest, RefineOptions.parse({**recorded, "device": device}))


@dataclass(frozen=True)
class ModeFeatures:
    """Features and labels of training and test images, on one device.

    Attributes:
        labels, truth: of training and test images, int64 (n,) and (m,).
        class_count: of all labels.
        features: name and unit rows, float32 (n + m, d), training images first: inductive, transductive, as-code, raw. Each is
            computed when it is asked for.
    """

    labels: "Tensor"
    truth: "Tensor"
    class_count: int
    features: "Iterator[tuple[str, Tensor]]"


def mode_features(refined: RefinedEmbeddings, identity: Record, force: bool) -> ModeFeatures:
    """Apply the network of `miner refine` to test images, and networks that were fitted with the test images in the graph.

    The latter are kept in `refined/modes/`, so that they are fitted once.

    Args:
        refined: embeddings.
        identity: everything that decides the networks.
        force: replace the networks of another request.
    Raises:
        MinerError: the labels of either side are missing or of other classes, or the network is damaged.
    """
    import torch

    from miner.refine.network.network import require_geometric
    from miner.refine.network.resources import graph_device

    require_geometric()
    data = read_train_and_test(refined.workspace, refined.options.neighbors)
    networks = _networks(refined, identity, data, force)
    device = graph_device(refined.options.device)
    rows = _features(networks, data, refined.options)
    return ModeFeatures(
        labels=torch.from_numpy(data.labels).to(device),
        truth=torch.from_numpy(data.truth).to(device),
        class_count=int(max(data.labels.max(), data.truth.max())) + 1,
        features=((name, torch.from_numpy(some).to(device)) for name, some in rows),
    )


def _features(
    networks: "dict[GraphMode, Path]", data: TrainAndTest, options: RefineOptions
) -> "Iterator[tuple[str, FeatureRows]]":
    from safetensors.torch import load_file

    from miner.refine.modes.mode_network import read_in_mode
    from miner.refine.modes.modes import mode_graphs
    from miner.refine.network.network import make_network

    for mode, path in networks.items():
        network = make_network(options, data.features.shape[1])
        network.load_state_dict(load_file(path))
        yield mode, read_in_mode(network, data.features, mode_graphs(mode, data.lists, options), options)
    yield "raw", data.features


def _networks(refined: RefinedEmbeddings, identity: Record, data: TrainAndTest, force: bool) -> "dict[GraphMode, Path]":
    """By mode, the file of its network, whole."""
    modes, manifest = _fitted_with_test_images(refined, identity, data, force)
    embeddings = refined.workspace.refined.embeddings
    return {
        "inductive": refined.manifest.checked(embeddings, NETWORK_FILE),
        **{mode: _checked(modes / _network_name(mode), manifest["files"]) for mode in _WITH_TEST_IMAGES},
    }


def _fitted_with_test_images(
    refined: RefinedEmbeddings, identity: Record, data: TrainAndTest, force: bool
) -> tuple[Path, Record]:
    """Folder and manifest of the networks that are fitted here; killed and started again, fitting continues."""
    from miner.engine import Unit, run

    stage = Stage(refined.workspace.refined.root / "modes", identity)
    if manifest := stage.finished():
        return stage.folder, manifest
    with refined.workspace.refined.locked():
        stage.begin(force)
        parts = stage.folder / "parts"
        units = [
            Unit(
                mode,
                (stage.folder / _network_name(mode),),
                partial(_fit_network, data, refined.options, mode, parts / f"{mode}.pt"),
            )
            for mode in _WITH_TEST_IMAGES
        ]
        run(units)
        manifest = stage.finish({}, [unit.files[0] for unit in units])
        shutil.rmtree(parts, ignore_errors=True)
    return stage.folder, manifest


def _network_name(mode: "GraphMode") -> str:
    return f"{mode}.safetensors"


def _fit_network(data: TrainAndTest, options: RefineOptions, mode: "GraphMode", checkpoint: Path, path: Path) -> None:
    from miner.learning.networks.weights import save_weights
    from miner.refine.modes.mode_network import fit_in_mode
    from miner.refine.modes.modes import mode_graphs
    from miner.refine.network.network import make_network

    network = make_network(options, data.features.shape[1])
    fit_in_mode(network, data.features, mode_graphs(mode, data.lists, options), options, checkpoint)
    save_weights(path, network)


def _checked(path: Path, files: dict[str, Record]) -> Path:
    """The file of a finished stage, whole."""
    if not same_file(path, files[path.name]):
        raise MinerError(f"{path} is missing or damaged. Remove {path.parent} and make it again.")
    return path
