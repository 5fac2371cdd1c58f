"""What `miner calibrate` prints: the band, the rules side by side, and one recommended command."""

from miner.artifacts.manifests import CalibrationRecord, RuleComparison
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.tables import aligned
from miner.text import counted

_TOO_MANY_ABOVE = 1.0  # pairs per image above the band
_COLUMNS = ("rule", "pairs", "images in a pair", "effective images", "clusters without a pair", "label precision")


def calibration_lines(made: CalibrationRecord, workspace: Workspace) -> list[str]:
    """One line per fact, and a table of the rules."""
    band = made.band
    lines = [
        f"calibrate: proposed band [{band.low:g}, {band.high:g}], about {counted(made.estimated_pairs, 'pair')} of "
        f"{counted(made.images, 'image')} (duplicates begin at {band.high:g}, {_ceiling(made)})"
    ]
    above = made.estimated_pairs_above / made.images
    if above > _TOO_MANY_ABOVE and made.self_similarity.get("images") != 0:
        lines.append(
            f"Warning: about {above:.2g} pairs per image are above the band, as similar as two augmentations of one image. This "
            "encoder hardly tells these images apart. Look at the pairs before you train on them, or use another encoder."
        )
    if made.labels:
        lines.append(
            f"calibrate: label precision in the band about {made.labels['precision']:.1%} (reported, not used)"
        )
    if made.comparison:
        lines += _table(made.comparison, made.images)
        live = f"; live, for any band: miner explore{workspace_flag(workspace)}" if len(made.files) > 1 else ""
        files = ", ".join(str(workspace.root / name) for name in made.files)
        lines.append(f"calibrate: pairs to look at, in {files}{live}")
    return lines


def _ceiling(made: CalibrationRecord) -> str:
    if made.self_similarity.get("images") != 0:
        return "the median cosine of two augmentations of one image"
    return "which is not measured: the encoder of the vectors is not known here. Set --max of `miner pairs` if you know better"


def _table(compared: RuleComparison, images: int) -> list[str]:
    """The rules side by side; without the labels' column where there are none."""
    some = f"all {images:,}" if compared.images == images else f"a random {compared.images:,} of {images:,}"
    labelled = any(rule.label_precision is not None for rule in compared.rules)
    rows = [_COLUMNS] + [
        (
            rule.name,
            f"{rule.pairs:,}",
            f"{rule.image_coverage:.1%}",
            f"{rule.composition.effective_share:.1%}",
            f"{rule.composition.clusters.without_pairs:,} of {rule.composition.clusters.number:,}",
            "" if rule.label_precision is None else f"{rule.label_precision:.1%}",
        )
        for rule in compared.rules
    ]
    columns = len(_COLUMNS) - (not labelled)
    note = " (labels are reported, not used)" if labelled else ""
    lines = [
        f"calibrate: what each rule chooses among {some} images{note}",
        *aligned([row[:columns] for row in rows], numbers=True),
    ]
    if compared.images < images:
        lines.append(
            "calibrate: among all images, `shared` is stricter: a smaller share of the images, and more certain pairs"
        )
    return lines


def recommended(made: CalibrationRecord) -> PairsOptions:
    """The recommended rule: the default one, or the band where that chooses nothing."""
    return PairsOptions(auto=made.comparison is None or not made.comparison.rules[-1].pairs)


def next_command(made: CalibrationRecord, options: CalibrateOptions, workspace: Workspace) -> str:
    """The command that mines by the recommended rule, with this workspace, this device, and --force if there are other pairs."""
    asked = recommended(made)
    band = made.band if asked.auto else Band(-1.0, made.band.high)
    replaces = replacing(asked, band, made.asked["embeddings"], workspace)
    device = "" if options.device == "auto" else f" --device {options.device}"
    command = f"miner pairs{' --auto' if asked.auto else ''}{workspace_flag(workspace)}{device}{replaces}"
    if asked.auto:
        return f"{command}  (the same as --min {band.low:g} --max {band.high:g})"
    return f"{command}  (rule {asked.chosen_rule.name}; with --auto, the band)"


def replacing(asked: PairsOptions, band: Band, embeddings: str, workspace: Workspace) -> str:
    """The flag that `miner pairs` needs if there are pairs of another request; empty otherwise.

    Args:
        embeddings: the identity of the embeddings.
    """
    pairs = PairsManifest.find(workspace)
    request = {**asked.request(), "embeddings": embeddings, "band": band.record()}
    return " --force" if pairs and pairs.pairs and pairs.asked != request else ""
