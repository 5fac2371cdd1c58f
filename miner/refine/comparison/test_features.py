"""What `miner refine` wrote, on labelled test images: its features in the three modes, and the raw ones."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.stage import Stage
from miner.artifacts.workspace import Workspace
from miner.engine.records import Record, fingerprint, same_file
from miner.errors import MinerError, UsageError
from miner.refine.modes.held_out import embed_test, held_out_workspace, labels_of_both
from miner.refine.options import RefineOptions
from miner.refine.run import NETWORK_FILE, refined_workspace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from miner.refine.modes.modes import GraphMode, NeighbourLists
    from miner.refine.network.network import GraphNetwork

# The networks of these `miner refine` cannot have fitted: it knows no test images.
_WITH_TEST_IMAGES: "tuple[GraphMode, ...]" = ("transductive", "as-code")


@dataclass(frozen=True)
class Refined:
    """Refined embeddings and test images.

    Attributes:
        workspace: that has both.
        manifest: of the refined embeddings.
        test: of the embeddings of the test images.
        options: that the network was trained with, but for the device.
    """

    workspace: Workspace
    manifest: Record
    test: Record
    options: RefineOptions

    @property
    def identity(self) -> Record:
        """What decides the features of all modes."""
        return {"refined": fingerprint(self.manifest["files"]), "test_embeddings": fingerprint(self.test["files"])}


def open_refined(workspace: Workspace, *, test: str | None, limit: int | None, device: str, force: bool) -> Refined:
    """Find what `miner refine` wrote, and embed the test images; arguments as `embed_test` takes them.

    Raises:
        MinerError: nothing was refined, or other embeddings than there are now.
        UsageError: a run was refined, or no test set is known.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    refined = refined_workspace(workspace)
    if not (refined.embeddings / "manifest.json").exists():
        raise MinerError(f"There are no refined embeddings in {workspace.root}. Run `miner refine` first.")
    manifest = refined.manifest(refined.embeddings)
    request = manifest["request"]
    if request.get("run") is not None:
        raise UsageError(
            f"{refined.root} refines run {request['run']}, whose teacher and student have not seen the test images; only "
            "refined embeddings can be judged on them: miner refine without --run."
        )
    if request["embeddings"] != fingerprint(embeddings["files"]):
        raise MinerError(f"{refined.root} was made of other embeddings. Run `miner refine --force` first.")
    held_out = embed_test(workspace, embeddings, test=test, limit=limit, device=device, force=force)
    recorded = {name: value for name, value in request.items() if name in RefineOptions.model_fields}
    return Refined(workspace, manifest, held_out, RefineOptions.parse({**recorded, "device": device}))


@dataclass(frozen=True)
class Judged:
    """Features and labels of training and test images, on one device.

    Attributes:
        labels, truth: of training and test images, int64 (n,) and (m,).
        class_count: of all labels.
        features: one after the other, their name and unit rows, float32 (n + m, d), training images first: inductive,
            transductive, as-code, raw.
    """

    labels: "Tensor"
    truth: "Tensor"
    class_count: int
    features: "Iterator[tuple[str, Tensor]]"


def judged(refined: Refined, force: bool) -> Judged:
    """Read out the network of `miner refine` on test images, and networks that were fitted with the test images in the graph.

    The latter are kept in `refined/modes/`, so that they are fitted once.

    Args:
        refined: what to judge.
        force: replace the networks of another request.
    Raises:
        MinerError: the labels of either side are missing or of other classes, or the network is damaged.
    """
    import numpy as np
    import torch

    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.pairs.arithmetic.cosine import unit_rows
    from miner.refine.modes.modes import NeighbourLists
    from miner.refine.network.network import require_geometric
    from miner.refine.network.resources import graph_device

    require_geometric()
    train, test = EmbeddingStore(refined.workspace), EmbeddingStore(held_out_workspace(refined.workspace))
    labels, truth = labels_of_both(train, test)
    features = unit_rows(np.concatenate([train.vectors, test.vectors]))
    lists = NeighbourLists(train.vectors, test.vectors, refined.options.neighbors)
    networks = _networks(refined, features, lists, force)
    device = graph_device(refined.options.device)
    rows = _features(networks, features, lists, refined.options)
    return Judged(
        labels=torch.from_numpy(labels).to(device),
        truth=torch.from_numpy(truth).to(device),
        class_count=int(max(labels.max(), truth.max())) + 1,
        features=((name, torch.from_numpy(some).to(device)) for name, some in rows),
    )


def _features(
    networks: "dict[GraphMode, Path]", features: "NDArray[np.float32]", lists: "NeighbourLists", options: RefineOptions
) -> "Iterator[tuple[str, NDArray[np.float32]]]":
    from miner.refine.modes.mode_network import read_in_mode
    from miner.refine.modes.modes import mode_graphs

    for mode, path in networks.items():
        network = _loaded(path, features.shape[1], options)
        yield mode, read_in_mode(network, features, mode_graphs(mode, lists, options), options)
    yield "raw", features


def _networks(
    refined: Refined, features: "NDArray[np.float32]", lists: "NeighbourLists", force: bool
) -> "dict[GraphMode, Path]":
    """By mode, the file of its network."""
    kept = refined_workspace(refined.workspace).embeddings
    fitted, manifest = _fitted_with_test_images(refined, features, lists, force)
    return {
        "inductive": _checked(kept / NETWORK_FILE, refined.manifest),
        **{mode: _checked(fitted / _network_name(mode), manifest) for mode in _WITH_TEST_IMAGES},
    }


def _fitted_with_test_images(
    refined: Refined, features: "NDArray[np.float32]", lists: "NeighbourLists", force: bool
) -> tuple[Path, Record]:
    """Folder and manifest of the networks that are fitted here; killed and started again, fitting continues."""
    from miner.engine import Unit, run

    place = refined_workspace(refined.workspace)
    stage = Stage(place.root / "modes", refined.identity)
    if manifest := stage.finished():
        return stage.folder, manifest
    with place.locked():
        stage.begin(force)
        parts, work = stage.folder / "parts", partial(_fit_network, features, lists, refined.options)
        units = [
            Unit(mode, (stage.folder / _network_name(mode),), partial(work, mode, parts / f"{mode}.pt"))
            for mode in _WITH_TEST_IMAGES
        ]
        run(units)
        manifest = stage.finish({}, [unit.files[0] for unit in units])
        shutil.rmtree(parts, ignore_errors=True)
    return stage.folder, manifest


def _network_name(mode: "GraphMode") -> str:
    return f"{mode}.safetensors"


def _fit_network(
    features: "NDArray[np.float32]",
    lists: "NeighbourLists",
    options: RefineOptions,
    mode: "GraphMode",
    checkpoint: Path,
    path: Path,
) -> None:
    from miner.refine.modes.mode_network import fit_in_mode
    from miner.refine.modes.modes import mode_graphs
    from miner.refine.network.network import make_network
    from miner.refine.output import write_network

    network = make_network(options, features.shape[1])
    fit_in_mode(network, features, mode_graphs(mode, lists, options), options, checkpoint)
    write_network(path, network)


def _checked(path: Path, manifest: Record) -> Path:
    """The file of a finished stage, whole."""
    if not same_file(path, manifest["files"][path.name]):
        raise MinerError(f"{path} is missing or damaged. Remove {path.parent} and make it again.")
    return path


def _loaded(path: Path, width: int, options: RefineOptions) -> "GraphNetwork":
    from safetensors.torch import load_file

    from miner.refine.network.network import make_network

    network = make_network(options, width)
    network.load_state_dict(load_file(path))
    return network
