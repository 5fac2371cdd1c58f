"""`miner verify`: whether what miner wrote is whole, and says what it says."""

from miner.engine.records import Record
from miner.engine.result import Result
from miner.errors import MinerError, UsageError
from miner.verify.checksums import Folder, Survey, check_files, check_strangers, survey
from miner.verify.location import Place


def verify(where: str) -> Result:
    """Check all finished stages at or below a folder, here or behind a URL. Nothing is written there.

    Args:
        where: a path or any fsspec URL.
    Raises:
        UsageError: nothing there was written by miner.
        MinerError: a file is missing, damaged, extra, or does not fit the others; the message names the first one.
    """
    with Place(str(where)) as place:
        found = survey(place)
        if not found.folders:
            raise UsageError(f"{where} holds no folder that miner finished (no manifest.json with checksums).")
        check_files(place, found)
        check_strangers(place, found)
        counts = _check_content(place, found)
        lines = [
            f"verify: {place.name(path.rstrip('/'))}: begun and not finished, so not checked"
            for path in found.unfinished
        ]
        lines += [f"verify: {note}" for note in found.notes]
        if not place.complete:
            lines.append(f"verify: {where} lists no folders, so extra files and other stages stay unseen")
        lines += [
            f"verify: {_name(place, folder)}: {len(folder.manifest['files'])} files are whole{_said(counts[folder.path])}"
            for folder in found.folders
        ]
        record = {
            "folders": {_name(place, folder): len(folder.manifest["files"]) for folder in found.folders},
            "files": len(found.covered),
            "bytes": found.size_bytes,
            "checked": {_name(place, folder): counts[folder.path] for folder in found.folders if counts[folder.path]},
        }
    return Result("verify", record, lines)


def _check_content(place: Place, found: Survey) -> dict[str, Record]:
    """What each stage holds beyond the right bytes, by its folder; embeddings come first, because the others name them."""
    from miner.verify.shards import check_shards
    from miner.verify.tables import Embeddings, check_embeddings, check_pairs

    counts: dict[str, Record] = {folder.path: {} for folder in found.folders}
    stores: dict[str, Embeddings] = {}
    for folder in sorted(found.folders, key=_order):
        manifest = folder.manifest
        try:
            embeddings = stores.get(str(manifest.get("request", {}).get("embeddings")))
            kind = _order(folder)
            if kind == 0:
                store = check_embeddings(place, folder)
                stores[store.identity] = store
                counts[folder.path] = {"images": len(store.metadata)}
            elif kind == 1:
                checked = check_pairs(place, folder, embeddings)
                counts[folder.path] = {"pairs": manifest["pairs"], "similarities": checked}
            elif kind == 2:
                counts[folder.path] = check_shards(place, folder, embeddings)
        except (KeyError, TypeError, AttributeError) as error:
            raise MinerError(
                f"{place.name(folder.path + 'manifest.json')} does not describe what is there ({type(error).__name__}: {error})."
            ) from error
    return counts


def _order(folder: Folder) -> int:
    """0 for embeddings, 1 for pairs, 2 for shards, 3 for anything else: by what the manifest lists, not by a name."""
    files = folder.manifest["files"]
    if "samples" in folder.manifest:
        return 2
    if "errors.parquet" in files and "blocks" in folder.manifest:
        return 0
    return 1 if "pairs.parquet" in files and "band" in folder.manifest.get("request", {}) else 3


def _said(counts: Record) -> str:
    names = {"images": "images", "pairs": "pairs", "similarities": "similarities computed again"}
    facts = [f"{count:,} {names[name]}" for name, count in counts.items() if count]
    return f"; {', '.join(facts)}" if facts else ""


def _name(place: Place, folder: Folder) -> str:
    return place.name(folder.path.rstrip("/"))
