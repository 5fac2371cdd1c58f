"""Test images that a network was trained on, by `miner leaks`."""

from pathlib import Path

from miner.artifacts.leaks import LeaksManifest
from miner.artifacts.workspace import Workspace
from miner.embed.sets import is_workspace
from miner.engine import Record
from miner.leaks.options import LeaksOptions
from miner.leaks.run import find_leaks
from miner.source.keys import hashed_key


def measure_overlap(test: str, pretraining: str | None, workspace: Workspace, device: str) -> Record:
    """How many images of the test set are copies of images of pretraining: the same file, the same pixels, or nearly the same.

    Args:
        test: a source.
        pretraining: a source or a workspace; None where it is not known.
        workspace: what is embedded for it lies below `eval/overlap/` of this workspace.
    Raises:
        MinerError: as of `find_leaks`.
    """
    if pretraining is None or not (is_workspace(pretraining) or _names_images(pretraining)):
        return {"pretraining": pretraining, "sentence": "overlap: not measured, the images of pretraining are not here"}
    place = Workspace(workspace.root / "eval" / "overlap" / hashed_key(f"{test}/{pretraining}"))
    # The scene counts from a cosine that is calibrated; copies are found by their pixels, so nothing has to be calibrated.
    asked = LeaksOptions.parse({"sources": [test, pretraining], "up_to": "near", "ceiling": 1.0, "device": device})
    find_leaks(asked, place, quiet=True)
    found = LeaksManifest.read(place)
    tested = found.sets[0]
    return {
        "pretraining": pretraining,
        "images": tested.images,
        "shared": tested.remove,
        "kinds": found.kinds,
        "sentence": f"overlap: {tested.remove:,} of the {tested.images:,} images of {test} are copies of images of pretraining",
    }


def _names_images(pretraining: str) -> bool:
    """Whether it is a source, and not a workspace whose images were never embedded."""
    return not (Path(pretraining) / "run.json").exists()
