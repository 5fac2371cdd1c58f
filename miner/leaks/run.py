"""`miner leaks`: images that several sets share, as copies or as the same scene -> `leaks/`."""

import shlex
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from miner.artifacts.leaks import LEAKS_TABLE, LeaksManifest
from miner.artifacts.stage_folder import Stage, request_of
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result, write_bytes
from miner.errors import MinerError, UsageError
from miner.leaks.options import KINDS, LeaksOptions

if TYPE_CHECKING:
    from miner.leaks.sets import OpenedSet

FOUND = 3  # the exit code where sets share images
PAGE, CARD = "index.html", "card.md"
_RESULTS = (PAGE, CARD, LEAKS_TABLE, "leaks.csv", "remove-*.txt")


def find_leaks(options: LeaksOptions, workspace: Workspace, *, force: bool = False, quiet: bool = False) -> Result:
    """Embed what is not embedded, compare all sets, and write `leaks/`. A result of the same sets is replaced without `force`.

    Raises:
        UsageError: a set is named twice, or the vectors of two workspaces cannot be compared.
        MinerError: a set cannot be read; an image has changed since it was embedded; or the workspace holds the leaks of others.
    """
    with workspace.locked():
        started = time.monotonic()
        result = _find(options, workspace, force, quiet)
        workspace.log_stage("leaks", options.plain(), result, time.monotonic() - started)
    return result


def _find(options: LeaksOptions, workspace: Workspace, force: bool, quiet: bool) -> Result:
    from miner.embed.sets import place_of
    from miner.leaks.sets import open_sets, refuse_doubles, split_sets

    options = split_sets(options)
    refuse_doubles(options.sources, [*map(place_of, options.sources)])
    folder = LeaksManifest.path(workspace).parent
    old = None if force else request_of(folder)
    if old is not None and old.get("sets") != options.sources:
        raise MinerError(
            f"{folder} holds the leaks of other sets: {', '.join(map(str, old.get('sets', [])))}. Use --force to replace them, or "
            "choose another workspace with -w."
        )
    sets = open_sets(options, workspace, force, quiet)
    identities = [each.identity for each in sets]
    request = {**options.request(), "sets": options.sources, "embeddings": identities, "method": 1}
    stage = Stage(folder, request, _RESULTS)
    if not force and (manifest := stage.finished()):
        return _result(manifest, workspace, fresh=False)

    from miner.leaks.matches import AllImages, find_matches
    from miner.leaks.page import leaks_page
    from miner.leaks.pictures import Pictures
    from miner.leaks.tables import groups_of, leak_table, sentence, to_remove, write_leaks

    ceiling = _ceiling(options, sets[0])
    images = AllImages(sets)
    pictures = Pictures(sets, images.table, images.number)
    matches = find_matches(images, pictures, ceiling, KINDS.index(options.up_to), options)
    groups = groups_of(matches)
    table = leak_table(images, matches, groups)
    kinds = {kind: table["kind"].to_pylist().count(kind) for kind in KINDS[: KINDS.index(options.up_to) + 1]}
    counts = [len(rows) for rows in to_remove(images, matches)]
    encoder = None if sets[0].store is None else sets[0].store.manifest.encoder.name
    how = "the sha256 of the files" if ceiling is None else f"{encoder}, the same scene from a cosine of {ceiling:g}"
    text = sentence(sets, counts, kinds, how)
    records = [_set_record(each, count) for each, count in zip(sets, counts, strict=True)]
    # Built before an old result is removed: if this fails, the old result stays.
    page = leaks_page(images, pictures, matches, groups, {"sentence": text, "sets": records})
    stage.begin(force=True)
    files = write_leaks(folder, table, images, matches)
    for name, content in ((PAGE, page), (CARD, f"{text}\n")):
        files.append(folder / name)
        write_bytes(files[-1], content.encode("utf-8", "backslashreplace"))
    record = {
        "sets": records,
        "encoder": encoder,
        "ceiling": ceiling,
        "pairs": len(matches),
        "kinds": kinds,
        "groups": int(groups.max(initial=0)),
        "sentence": text,
    }
    return _result(stage.finish(record, files), workspace)


def _ceiling(options: LeaksOptions, first: "OpenedSet") -> float | None:
    """The cosine above which images show the same scene: as given, or as calibrated with images of the first set.

    None where only bytes are compared.
    """
    if first.store is None:
        return None
    if options.ceiling is not None:
        return options.ceiling
    if first.store.manifest.request.encoder is None:
        raise UsageError(f"{first.name} holds vectors of no encoder, so nothing can be calibrated. Give --ceiling.")
    from miner.pairs.calibration.images import ReadImages
    from miner.pairs.calibration.run import ROUNDING
    from miner.pairs.calibration.self_similarity import measure_self_similarity
    from miner.pairs.options import CalibrateOptions

    asked = CalibrateOptions.parse({"device": options.first_device})
    similarity = measure_self_similarity(asked, ReadImages(first.store))
    return round(float(median(similarity)), ROUNDING)


def _set_record(each: "OpenedSet", remove: int) -> Record:
    return {
        "name": each.name,
        "source": each.source.model_dump(exclude_none=True),
        "images": len(each.images),
        "without_vector": 0 if each.store is None else each.images["row"].null_count,
        "unreadable": each.unreadable,
        "remove": remove,
    }


def _result(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    path = LeaksManifest.path(workspace)
    made, folder = LeaksManifest.of(manifest, path), path.parent
    from miner.text import counted

    found = ", ".join(f"{kind} {made.kinds[kind]:,}" for kind in KINDS if kind in made.kinds)
    ceiling = "" if made.ceiling is None else f"; the same scene from a cosine of {made.ceiling:g}"
    lines = [
        f"leaks: {counted(made.pairs, 'pair')} in {counted(made.groups, 'group')} ({found}){ceiling}",
    ]
    for number, each in enumerate(made.sets, 1):
        if each.without_vector or each.unreadable:
            lines.append(
                f"leaks: {each.name}: only the bytes were compared of {counted(each.without_vector, 'image')} that cannot be "
                f"decoded; {counted(each.unreadable, 'file')} could not be read"
            )
        if each.remove and number < len(made.sets):
            lines.append(
                f"leaks: {counted(each.remove, 'image')} to remove from {each.name}: {folder / f'remove-{number}.txt'}"
            )
    lines.append(f"leaks: pictures in {folder / PAGE}, all pairs in {folder / 'leaks.csv'}")
    command = ""
    if made.kinds.get("near") or made.kinds.get("scene"):
        command = f"miner review -w {shlex.quote(str(workspace.root))}  (people judge the pairs: the precision)"
    code = FOUND if made.pairs else 0
    headline, page = [("leaks", f"{made.pairs:,}")], folder / PAGE
    said, result = made.sentence, Result("leaks", manifest, lines, fresh, headline, path=path)
    return replace(result, exit_code=code, page=page, verdict=said, next_command=command)
