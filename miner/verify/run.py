"""`miner verify`: whether what miner wrote is whole, and says what it says."""

from pathlib import Path
from tempfile import TemporaryDirectory

from miner.artifacts.overview.parts import workspace_parts
from miner.artifacts.pairs.against import MATCHES
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Result
from miner.errors import UsageError
from miner.text import counted
from miner.verify.location import Location
from miner.verify.survey import Survey, check_files, check_unlisted, survey


def verify(where: str) -> Result:
    """Check all finished stages at or below a path or any fsspec URL. Nothing is written there.

    Raises:
        UsageError: nothing there was written by miner.
        MinerError: a file is missing, damaged, extra, or does not fit the others; the message names the first one.
    """
    with TemporaryDirectory(prefix="miner-verify-") as scratch:
        location = Location(where, Path(scratch))
        found = survey(location)
        if not found.folders:
            raise UsageError(f"{where} holds no folder that miner finished (no manifest.json with checksums).")
        check_files(location, found)
        check_unlisted(location, found)
        counts = _check_content(found)
    lines = [
        f"verify: {location.full_path(path.rstrip('/'))}: begun and not finished, so not checked"
        for path in found.unfinished
    ]
    lines += [f"verify: {note}" for note in found.notes]
    if not location.complete:
        lines.append(f"verify: {where} lists no folders, so extra files and other stages stay unseen")
    files = {folder.full_path(): len(folder.manifest["files"]) for folder in found.folders}
    lines += [
        f"verify: {name}: {counted(count, 'file is', 'files are')} whole{_in_words(counts[name])}"
        for name, count in files.items()
    ]
    misfits = _misfits(where)
    record = {
        "folders": files,
        "files": len(found.covered),
        "bytes": found.size_bytes,
        "checked": {name: count for name, count in counts.items() if count},
    }
    verdict = f"{counted(len(found.covered), 'file')} checked, all whole" + (", but a part is stale" if misfits else "")
    return Result("verify", record, [*lines, *misfits], verdict=verdict)


def _misfits(where: str) -> list[str]:
    """What belongs to other pairs or embeddings than those of the workspace, if this is a workspace on this machine."""
    workspace = Workspace(Path(where))
    if not (workspace.embeddings / "manifest.json").exists():
        return []
    stale = [part for part in workspace_parts(workspace) if part.state == "stale"]
    return [f"Warning: {part.path} is whole, but stale: {part.note}" for part in stale]


def _check_content(found: Survey) -> dict[str, Record]:
    """What each folder holds beyond the right bytes; embeddings come first, because other stages name them.

    The manifest tells what a folder holds, because a folder may have been renamed.
    """
    from miner.verify.embeddings import VerifiedEmbeddings, check_embeddings
    from miner.verify.pairs import check_matches, check_pairs
    from miner.verify.published import check_published
    from miner.verify.shards import check_shards

    counts: dict[str, Record] = {folder.full_path(): {} for folder in found.folders}
    stores: dict[str, VerifiedEmbeddings] = {}
    for folder in sorted(found.folders, key=lambda folder: "blocks" not in folder.manifest):
        manifest, where = folder.manifest, folder.full_path()
        with folder.described():
            request, files = manifest.get("request", {}), manifest["files"]
            embeddings = stores.get(str(request.get("embeddings")))
            if request.get("stage") == "publish":
                counts[where] = check_published(folder)
            elif "samples" in manifest:
                counts[where] = check_shards(folder, embeddings)
            elif "blocks" in manifest and "errors.parquet" in files:
                store = check_embeddings(folder)
                stores[store.identity] = store
                counts[where] = {"images": len(store.metadata)}
            elif "band" in request and "pairs.parquet" in files:
                counts[where] = {"pairs": manifest["pairs"], "similarities": check_pairs(folder, embeddings)}
            elif MATCHES in files:
                other = stores.get(str(request.get("against")))
                counts[where] = {"pairs": manifest["pairs"], "similarities": check_matches(folder, embeddings, other)}
    return counts


def _in_words(counts: Record) -> str:
    names = {
        "images": ("image", "images"),
        "pairs": ("pair", "pairs"),
        "similarities": ("similarity computed again", "similarities computed again"),
    }
    facts = [counted(count, *names[name]) for name, count in counts.items() if count]
    return f"; {', '.join(facts)}" if facts else ""
