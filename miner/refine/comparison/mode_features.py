"""The network of `miner refine` in each mode: features of training and test images, beside the raw ones, and their accuracy."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import RefinedManifest
from miner.artifacts.stage_folder import Stage
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Unit, run, same_file
from miner.errors import MinerError
from miner.evaluate.knn import knn_record
from miner.evaluate.verdict import verdict_of
from miner.learning.nearest import accuracy_percent, votes_by_protocol
from miner.learning.networks.weights import read_plain, save_weights
from miner.refine.comparison.scores import score_linear
from miner.refine.compute import NETWORK_FILE
from miner.refine.graph.graph import FeatureRows
from miner.refine.modes import modes
from miner.refine.modes.held_out import TrainAndTest, read_train_and_test
from miner.refine.network.network import make_network, require_geometric
from miner.refine.network.resources import graph_device
from miner.refine.options import RefineOptions

# `miner refine` never sees test images, so the networks for these modes are trained here.
_WITH_TEST_IMAGES: tuple[modes.GraphMode, ...] = ("transductive", "as-code")


@dataclass(frozen=True)
class ModeFeatures:
    """Features and labels of training and test images, on one device.

    Attributes:
        labels, truth: the labels of training and test images, int64 (n,) and (m,).
        class_count: the number of classes of all labels.
        features: name and unit rows, float32 (n + m, d), training images first: inductive, transductive, as-code, raw. Each is
            computed when it is asked for.
    """

    labels: Tensor
    truth: Tensor
    class_count: int
    features: Iterator[tuple[str, Tensor]]


def measure_modes(
    name: str, workspace: Workspace, manifest: RefinedManifest, options: RefineOptions, identity: Record, force: bool
) -> Record:
    """Accuracies in percent by features; arguments as of `mode_features`.

    Args:
        name: knn or linear.
    """
    data = mode_features(workspace, manifest, options, identity, force)
    majority = torch.bincount(data.labels).argmax()
    return {
        "unit": "top-1 accuracy in percent",
        "network": options.model_dump(mode="json", exclude={"device"}),
        "gallery": manifest.source.spec,
        "test": EmbeddingsManifest.read(workspace.test).source.spec,
        "n_gallery": len(data.labels),
        "n_test": len(data.truth),
        "classes": int((torch.bincount(data.labels) > 0).sum()),
        "majority": accuracy_percent(majority.expand_as(data.truth), data.truth),
        **(_measure_knn(data) if name == "knn" else _measure_linear(data, options.seed)),
    }


def _measure_knn(data: ModeFeatures) -> Record:
    count = len(data.labels)
    named = {
        name: votes_by_protocol(rows[count:], rows[:count], data.labels, data.class_count)
        for name, rows in data.features
    }
    return {"features": list(named), **knn_record(named, data.truth, count)}


def _measure_linear(data: ModeFeatures, seed: int) -> Record:
    scored = {
        name: score_linear({1.0: rows}, data.labels, data.truth, data.class_count, seed) for name, rows in data.features
    }
    results = {name: record for name, (record, _) in scored.items()}
    return {
        "features": list(results),
        "protocol": "fast",
        "chosen_by": "a random fifth of the training images, from the seed of the network",
        "results": results,
        "verdict": verdict_of({name: right for name, (_, right) in scored.items()}),
    }


def mode_features(
    workspace: Workspace, manifest: RefinedManifest, options: RefineOptions, identity: Record, force: bool
) -> ModeFeatures:
    """Apply the network of `miner refine` to test images, and networks that were fitted with the test images in the graph.

    The latter are kept in `refined/modes/`, so that they are fitted once.

    Args:
        workspace: the workspace of the embeddings that were refined.
        manifest, options: as `open_refined` gives them.
        identity: everything that decides the networks.
        force: replace the networks of another request.
    Raises:
        MinerError: the labels of either side are missing or of other classes, or the network is damaged.
    """
    require_geometric()
    data = read_train_and_test(workspace, options.neighbors)
    networks = {
        "inductive": manifest.checked(workspace.refined.embeddings, NETWORK_FILE),
        **_fitted_with_test_images(workspace.refined, options, identity, data, force),
    }
    device = graph_device(options.device)
    rows = _features(networks, data, options)
    return ModeFeatures(
        labels=torch.from_numpy(data.labels).to(device),
        truth=torch.from_numpy(data.truth).to(device),
        class_count=int(max(data.labels.max(), data.truth.max())) + 1,
        features=((name, torch.from_numpy(some).to(device)) for name, some in rows),
    )


def _features(
    networks: dict[modes.GraphMode, Path], data: TrainAndTest, options: RefineOptions
) -> Iterator[tuple[str, FeatureRows]]:
    for mode, path in networks.items():
        network = make_network(options, data.features.shape[1])
        network.load_state_dict(read_plain(path))
        graphs = modes.mode_graphs(mode, data.lists, options)
        yield mode, modes.read_in_mode(network, data.features, graphs, options)
    yield "raw", data.features


def _fitted_with_test_images(
    refined: Workspace, options: RefineOptions, identity: Record, data: TrainAndTest, force: bool
) -> dict[modes.GraphMode, Path]:
    """By mode, the file of its network, whole; killed and started again, fitting continues."""
    names = {mode: f"{mode}.safetensors" for mode in _WITH_TEST_IMAGES}
    stage = Stage(refined.root / "modes", identity, tuple(names.values()), ("parts/*.pt",))
    paths = {mode: stage.folder / name for mode, name in names.items()}
    if (record := stage.finished()) is None:
        parts = stage.folder / "parts"
        fits = {mode: partial(_fit_network, data, options, mode, parts / f"{mode}.pt") for mode in paths}
        with refined.locked():
            stage.begin(force)
            run([Unit(mode, (path,), fits[mode]) for mode, path in paths.items()])
            record = stage.finish({}, paths.values())
    for path in paths.values():
        if not same_file(path, record["files"][path.name]):
            raise MinerError(f"{path} is missing or damaged. Remove {path.parent} and make it again.")
    return paths


def _fit_network(
    data: TrainAndTest, options: RefineOptions, mode: modes.GraphMode, checkpoint: Path, path: Path
) -> None:
    network = make_network(options, data.features.shape[1])
    modes.fit_in_mode(network, data.features, modes.mode_graphs(mode, data.lists, options), options, checkpoint)
    save_weights(path, network)
