"""The paragraphs that explain the table of a study."""

from collections.abc import Sequence
from pathlib import Path

from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.study.plan import StudyPlan
from miner.study.summary import CONTROLS


def study_notes(plan: StudyPlan, arms: Sequence[Record], cells: Sequence[Record]) -> list[str]:
    """Paragraphs that stand below the table.

    Args:
        plan: of the study.
        arms: of `summarise_cells`.
        cells: of the grid.
    """
    known = [arm for arm in arms if "knn" in arm]
    first = next(cell for cell in cells if "error" not in cell)
    return [
        _about_intervals(known),
        *_about_gains(known),
        f"Top-1 accuracy in percent of nearest neighbours on frozen features: gallery {first['n_gallery']:,} images of "
        f"{first['gallery']}, test {first['n_test']:,} of {first['test']}. {_random(known)}",
        *_about_samplers(plan),
        *[f"Failed: {arm['arm']}, seed {cell['seed']}: {cell['error']}" for arm in arms for cell in arm["failed"]],
    ]


def _about_intervals(arms: Sequence[Record]) -> str:
    counts = {len(arm["seeds"]) for arm in arms}
    one = "One seed, no interval." if 1 in counts else ""
    more = "± is half of the 95 % interval over seeds (Student's t)." if counts - {1} else ""
    return " ".join(part for part in (more, one) if part)


def _about_gains(arms: Sequence[Record]) -> list[str]:
    if not any(arm["knn"][0]["gain"] for arm in arms):
        return []
    controls = ", ".join(arm["arm"] for arm in arms if arm["pairs_arm"] in CONTROLS)
    return [
        f"The gain is over the best control ({controls}) of as many steps: the one with the highest mean, compared seed by seed."
    ]


def _random(arms: Sequence[Record]) -> str:
    levels = [arm["knn"][0]["random_weights"] for arm in arms]
    return f"The random weights that runs start from: {sum(levels) / len(levels):.1f} (k = {arms[0]['knn'][0]['k']})."


def _about_samplers(plan: StudyPlan) -> list[str]:
    """The encoder that chose the pairs of each workspace, and the labels that it has seen."""
    lines = []
    for name in plan.workspaces:
        pairs = PairsManifest.find(Workspace(plan.root / name))
        if pairs is not None and pairs.encoder is not None:
            band, encoder = pairs.request.band, pairs.encoder.name
            lines.append(
                f"Pairs of `{name}`: {pairs.pairs:,} with cosine in [{band.low:g}, {band.high:g}] by "
                f"{Path(encoder).name if ':' in encoder else encoder}; labels that it has seen: {pairs.encoder.labels_seen}."
            )
    return lines
