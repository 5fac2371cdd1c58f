"""`miner pairs`: every pair of different images in a similarity band, and what is printed about the pairs."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.band import Band
from miner.artifacts.pairs.manifest import RESULTS, SCRATCH, Composition, PairsManifest
from miner.artifacts.review import pairs_verdict
from miner.artifacts.stage_folder import GrowingStage
from miner.artifacts.workspace import Workspace, workspace_flag
from miner.engine import Record, Result, file_record, read_json
from miner.errors import MinerError, UsageError
from miner.pairs.calibration.run import calibrate
from miner.pairs.constraints import read_constraints
from miner.pairs.engines.base import STRIP_ROWS
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.text import counted

if TYPE_CHECKING:
    from miner.pairs.agreement import OtherEmbedding


def pairs(options: PairsOptions, workspace: Workspace, *, force: bool = False, strip_rows: int = STRIP_ROWS) -> Result:
    """Mine the band into `pairs/`. Finished strips of an interrupted run are kept.

    Args:
        strip_rows: rows of a unit of work; changes no file.
    Raises:
        MinerError: there are no embeddings, or no calibration for --auto, or more pairs than --max-pairs; or the disk is
            full; or the workspace holds the pairs of another request.
    """
    if options.against is not None:
        from miner.pairs.two_sets.run import pairs_between

        return pairs_between(options, workspace, force, strip_rows)
    embeddings = EmbeddingsManifest.read(workspace)
    continued = None if force else _band_of_earlier(options, workspace, embeddings)
    band, calibration = (continued, []) if continued else _band(options, workspace, embeddings)
    constraints = read_constraints(options, workspace)
    request = {**options.request(), "embeddings": embeddings.identity, "band": band.record()}
    others = _others(options, embeddings) if options.agree else []
    if others:
        request["agree"] = {str(place): other.record() for place, other in enumerate(others, 2)}
    if options.table is not None:
        request["table"] = _sha256(options.table)
    if constraints:
        request["metadata"] = {constraint.option: constraint.sha256 for constraint in constraints}
    stage = GrowingStage(workspace.pairs, request, RESULTS, SCRATCH)
    if not force and (manifest := stage.finished()):
        return _result_of(manifest, workspace, fresh=False)
    if not force and not options.append and (read_json(stage.folder / "manifest.json") or {}).get("pairs") == 0:
        force = True  # nothing is lost with an empty result
    if not force and not options.append:
        if options.can_grow:
            from miner.pairs.append import refuse_grown

            refuse_grown(stage, embeddings)
        stage.refuse_another()
    from miner.pairs.mine import mine

    made = _result_of(mine(options, workspace, stage, band, constraints, others, force, strip_rows), workspace)
    return replace(made, lines=[*calibration, *made.lines])


def _band_of_earlier(options: PairsOptions, workspace: Workspace, embeddings: EmbeddingsManifest) -> Band | None:
    """The band in place of a calibrated one, if fewer images have been mined and --append would continue that."""
    low, high = options.limits
    if (high is not None and not options.auto) or not options.can_grow:
        return None
    earlier = GrowingStage(workspace.pairs, {}).earlier(PairsManifest)
    fewer = earlier and earlier.pairs and earlier.vectors and earlier.vectors["count"] < embeddings.count
    if earlier is None or not (options.append or fewer):
        return None
    asked = earlier.request.band
    return Band(asked.low if options.auto else low, asked.high)


def _sha256(table: Path) -> str:
    try:
        return str(file_record(table)["sha256"])
    except OSError as error:
        raise UsageError(f"--table {table} cannot be read: {error.strerror}.") from error


def _others(options: PairsOptions, embeddings: EmbeddingsManifest) -> "list[OtherEmbedding]":
    """The embeddings of --agree.

    Raises:
        UsageError: one of them has the same vectors as another.
        MinerError: one of them is missing, or has not been calibrated where the rule needs it.
    """
    from miner.pairs.agreement import OtherEmbedding

    found, known = [], {embeddings.identity}
    for path in options.agree:
        workspace = Workspace(Path(path))
        manifest = EmbeddingsManifest.read(workspace)
        if manifest.identity in known:
            raise UsageError(
                f"--agree {path}: its embeddings are counted already. Name other embeddings of the same images."
            )
        known.add(manifest.identity)
        found.append(OtherEmbedding(workspace, manifest, _band(options, workspace, manifest, calibrates=False)[0]))
    return found


def _band(
    options: PairsOptions, workspace: Workspace, embeddings: EmbeddingsManifest, calibrates: bool = True
) -> tuple[Band, list[str]]:
    """The band of the options, or that of the calibration, or its upper end; and what a calibration had to say.

    A rule without --max needs to know where duplicates begin, so it calibrates if nobody has.
    """
    low, high = options.limits
    if high is not None and not options.auto:
        return Band(low, high), []
    if options.auto and not workspace.calibration.exists():
        raise MinerError(f"--auto needs {workspace.calibration}. Run `miner calibrate` first, or give --min and --max.")
    found, lines = CalibrationRecord.find(workspace, of=embeddings), []
    if not options.auto and found is None and calibrates:
        device = options.device.split(",")[0]
        lines = calibrate(CalibrateOptions(device=device), workspace, force=True, compare=False).lines[:1]
    calibrated = CalibrationRecord.read(workspace, of=embeddings).band
    return calibrated if options.auto else Band(low, calibrated.high), lines


def _result_of(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    """The result of the stage, with one line per fact."""
    made = PairsManifest.of(manifest, PairsManifest.path(workspace))
    asked = made.request
    cosine = f" {asked.described}" if asked.rule == "band" else ""
    facts = [
        f"{counted(made.pairs, 'pair')} of {counted(made.images_in_pairs, 'different image')}{cosine} among "
        f"{counted(made.images, 'image')}, "
        f"{made.completeness}, in {workspace.pairs}"
    ]
    if asked.rule != "band":
        facts.append(f"rule {asked.rule}: {asked.condition}")
    facts += [str(some) for some in (made.table, made.agreement) if some]
    facts += map(str, made.constraints)
    if made.duplicates:
        facts.append(
            f"{counted(made.duplicates, 'near-identical pair')} (above {made.request.band.high:g}, or equal files) "
            "in duplicates.parquet"
        )
    if made.duplicate_images and made.duplicate_images["images"]:
        facts.append(_duplicates_line(made.duplicate_images))
    headline = [("pairs", f"{made.pairs:,} {asked.described}")]
    labels = made.labels
    if labels and labels.precision is not None:
        headline.append(("label precision of the pairs", f"{labels.precision:.1%} (random pairs {labels.chance:.1%})"))
    if made.composition and made.pairs:
        facts.append(_composition_line(made.composition))
    if made.neighbours:
        facts.append(_hub_line(made.neighbours))
    if made.groups:
        facts.append(_group_line(made.groups))
    lines = [f"pairs: {fact}" for fact in facts]
    if made.composition and made.is_uneven:
        lines.append(
            f"Warning: a tenth of the images holds {made.composition.tenth_share:.0%} of all pair ends. Such pairs say little of "
            "the other images. "
            + ("Take pairs from nearest neighbours (--rule shared), or limit" if asked.rule == "band" else "Limit")
            + " the partners of an image with --top-k."
        )
    if made.proposal or not made.pairs:
        lines.append(_warning(made, workspace_flag(workspace)))
    path = PairsManifest.path(workspace)
    return Result("pairs", manifest, lines, fresh, headline, path=path, verdict=pairs_verdict(workspace, made))


def _warning(made: PairsManifest, flag: str) -> str:
    """About a band that is empty or floods, with a better band if there is one; or about a rule that chooses nothing."""
    if made.table:
        return "Warning: no pair of the table is left. Check --min, --max and the other filters."
    filters = [one.constraint for one in made.constraints if one.left_out]
    if filters and not made.pairs:
        return f"Warning: no pair is left after {' and '.join(filters)}. Change this filter, or leave it out."
    if made.request.rule != "band":
        return "Warning: no two images are such a pair. Try --rule mutual, more --neighbors, or a higher --max."
    band = f"[{made.request.band.low:g}, {made.request.band.high:g}]"
    state = f"floods ({made.pairs / made.images:.0f} pairs per image)" if made.pairs else "is empty"
    warning = f"Warning: the band {band} {state}."
    if made.proposal is None:
        return warning
    again = " --force" if made.pairs else ""
    return (
        f"{warning} A band that suits one encoder means little for another. To mine about one pair per image: miner pairs "
        f"--min {made.proposal.low:g} --max {made.proposal.high:g}{flag}{again} (or run `miner calibrate{flag}`, then "
        f"`miner pairs --auto{flag}{again}`)."
    )


def _composition_line(made: Composition) -> str:
    parts = [f"{made.clusters.without_pairs:,} of {counted(made.clusters.number, 'cluster')}"]
    if made.classes:
        parts.append(f"{made.classes.without_pairs:,} of {counted(made.classes.number, 'class')}")
    return (
        f"the pairs use as many images as {made.effective_images:,.0f} that occur equally often ({made.effective_share:.1%}); "
        f"the most frequent image has {made.largest_share:.2%} of all pair ends; without a pair: {', '.join(parts)}"
    )


def _hub_line(record: Record) -> str:
    """About a record of `hubness`."""
    most = ", ".join(f"{hub['key']} ({hub['in_degree']:,})" for hub in record["hubs"][:3])
    return (
        f"{counted(record['k'], 'nearest neighbour')} of each image: in-degree skewness {record['skewness']:.2f}, "
        f"{record['antihubs']:.1%} of "
        f"the images in no list; in most lists: {most}"
    )


def _duplicates_line(record: Record) -> str:
    """About a record of `write_duplicate_images`."""
    mixed = f", {record['mixed']:,} with labels that disagree" if record["mixed"] else ""
    return (
        f"{counted(record['groups'], 'group')} of near-identical images{mixed}: without the {record['keep']} of each, "
        f"{counted(record['images'], 'image')} in duplicate_images.parquet, which `miner export --without-duplicates` leaves out"
    )


def _group_line(record: Record) -> str:
    """About a record of `group_statistics`."""

    def described(part: Record, *names: str) -> str:
        pure = "" if part["purity"] is None else f", {part['purity']:.1%} pure"
        return f"{counted(part['number'], *names)} (largest {part['largest']:,}{pure})"

    return (
        f"{described(record['complete_link'], 'group by complete linkage', 'groups by complete linkage')} in "
        f"{described(record['components'], 'component')} of {counted(record['components']['images'], 'image')}"
    )
