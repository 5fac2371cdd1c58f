"""Test images that a network was trained on, by `miner leaks`."""

from collections import Counter
from pathlib import Path

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.runs.labelled import LabelledImages
from miner.artifacts.runs.networks import read_config
from miner.artifacts.workspace import Workspace
from miner.downstream.network import JudgedNetwork
from miner.embed.sets import is_workspace, place_of
from miner.engine import Record
from miner.evaluate.network_options import TransferOptions
from miner.leaks.found import FoundLeaks
from miner.leaks.options import LeaksOptions
from miner.leaks.run import find_leaks
from miner.source.keys import hashed_key


def images_of_pretraining(options: TransferOptions, network: JudgedNetwork, workspace: Workspace) -> str | None:
    """The images that a network was trained on, as a source or a workspace; None where nobody knows them."""
    if options.pretraining or network.run is None:
        return options.pretraining
    embedded = EmbeddingsManifest.find(workspace)
    known = embedded is not None and embedded.source.spec == read_config(network.run)["source"]
    return str(workspace.root) if known else None


def measure_overlap(test: LabelledImages, pretraining: str | None, workspace: Workspace, device: str) -> Record:
    """How many test images are copies of images of pretraining: the same file, the same pixels, or nearly the same.

    Args:
        test: the images that are classified; their whole source is embedded.
        pretraining: a source or a workspace; None where it is not known.
        workspace: what is embedded for it lies below `eval/overlap/` of this workspace.
    Raises:
        MinerError: as of `find_leaks`.
    """
    if pretraining is None or not (is_workspace(pretraining) or _names_images(pretraining)):
        return {
            "pretraining": pretraining,
            "sentence": "overlap: not measured, the images of pretraining are not here; name them with --pretraining",
        }
    keys = {entry.key for entry in test.entries}
    kinds, shared = _same_source(test, pretraining, keys) or _copies(test, pretraining, workspace, device, keys)
    return {
        "pretraining": pretraining,
        "images": len(keys),
        "shared": shared,
        "kinds": kinds,
        "sentence": f"overlap: {shared:,} of the {len(keys):,} test images of {test.name} are copies of images of pretraining",
    }


def _same_source(test: LabelledImages, pretraining: str, keys: set[str]) -> tuple[dict[str, int], int] | None:
    """The pairs of each kind and the shared images of one source; None if there are two."""
    if not is_workspace(pretraining):
        return ({"bytes": len(keys)}, len(keys)) if place_of(pretraining) == place_of(test.name) else None
    store = EmbeddingStore(Workspace(Path(pretraining)))
    if store.manifest.source.spec not in (test.source.spec, place_of(test.name)):
        return None
    shared = len(keys & set(store.keys))
    return {"bytes": shared}, shared


def _copies(
    test: LabelledImages, pretraining: str, workspace: Workspace, device: str, keys: set[str]
) -> tuple[dict[str, int], int]:
    place = Workspace(workspace.root / "eval" / "overlap" / hashed_key(f"{test.name}/{pretraining}"))
    # The scene counts from a cosine that is calibrated; copies are found by their pixels, so nothing has to be calibrated.
    asked = LeaksOptions.parse({"sources": [test.name, pretraining], "up_to": "near", "ceiling": 1.0, "device": device})
    find_leaks(asked, place, quiet=True)
    found = FoundLeaks(place)
    pairs = [row for row in found.to_arrow().select(["kind", "key_a"]).to_pylist() if row["key_a"] in keys]
    kinds = Counter(row["kind"] for row in pairs)
    return {kind: kinds[kind] for kind in found.manifest.kinds}, len({row["key_a"] for row in pairs})


def _names_images(pretraining: str) -> bool:
    """Whether it is a source, and not a workspace whose images were never embedded."""
    return not (Path(pretraining) / "run.json").exists()
