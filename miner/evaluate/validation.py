"""The training images on which a setting of the classifier is chosen. Test images choose nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from miner.artifacts.runs.labelled import LabelledImages, is_held_out
from miner.engine import Record
from miner.errors import MinerError
from miner.learning.selection import Candidate, best_candidate

RULE = "training images held out by sha256 of 'validation KEY'; the highest accuracy on them, the first of equal ones"


def validation_mask(images: LabelledImages, fraction: float) -> Tensor:
    """The training images on which a setting is chosen: bool (n,), by key alone, independent of the choice of test images.

    Raises:
        MinerError: too few are left on one side.
    """
    mask = torch.tensor([is_held_out(f"validation {entry.key}", fraction) for entry in images.entries])
    rest = {entry.label for entry, held_out in zip(images.entries, mask.tolist(), strict=True) if not held_out}
    if not mask.any() or len(rest) < 2:
        raise MinerError(
            f"{len(mask):,} training images are too few to hold some out, on which the classifier's setting is chosen "
            f"({int(mask.sum()):,} were; {len(rest)} classes are left). Change --validation-fraction or --limit, or name a "
            "larger --gallery."
        )
    return mask


def choice_record(setting: str, candidates: Sequence[Candidate], test: float) -> Record:
    """What was tried, what was chosen, and its accuracy in percent on the test images."""
    chosen = best_candidate(candidates)
    return {
        "candidates": [{setting: candidate.value, "validation": candidate.validation} for candidate in candidates],
        "chosen": chosen.value,
        "validation": chosen.validation,
        "test": test,
    }
