"""`--append`: the images have grown, the pairs among the old images are known, and only the new images are searched."""

import shutil
from pathlib import Path

import numpy as np

from miner.artifacts.differences import differences
from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import LISTS, PairsManifest
from miner.artifacts.stage_folder import KNOWN_LISTS, KNOWN_PAIRS, GrowingStage, request_of
from miner.engine import Record, committed
from miner.errors import MinerError
from miner.pairs.arithmetic.cosine import rescore
from miner.pairs.arithmetic.threads import Threads
from miner.pairs.band_join import BandJoin
from miner.pairs.tables.found import FoundPairs, put_together, read_rows, write_rows
from miner.pairs.tables.write import DROPPED
from miner.text import counted

_GROWN = {"embeddings": None, "metadata": None}  # filters apply to the old pairs once more
_TABLES = ("pairs.parquet", "duplicates.parquet", DROPPED)


def vectors_seen(embeddings: EmbeddingsManifest) -> Record:
    """The number and the files of the vectors, for the manifest of the pairs: a later run tells growth from change by them."""
    files = {name: record for name, record in embeddings.files.items() if name.startswith("img_emb/")}
    return {"count": embeddings.count, "files": files}


def continued(stage: GrowingStage, embeddings: EmbeddingsManifest) -> PairsManifest | None:
    """The finished pairs that this request continues, made by the same request for fewer images; None if there are no pairs.

    Raises:
        MinerError: the pairs are those of another request, or the vectors of the old images have changed.
    """
    base = stage.earlier(PairsManifest)
    if base is None:
        stage.refuse_another()
        return None
    if changed := differences(*({**asked, **_GROWN} for asked in (base.asked, stage.request))):
        raise MinerError(
            f"--append continues the pairs of the same request, but in {stage.folder} {changed}. Give the options of the first "
            "run, or mine again with --force."
        )
    if base.vectors is None or any(embeddings.files.get(name) != file for name, file in base.vectors["files"].items()):
        raise MinerError(
            "--append needs the old vectors of the old images, but these images were embedded again. Mine again with --force."
        )
    if base.request.rule != "band" and LISTS not in base.files:
        raise MinerError(
            f"--append needs the neighbour lists of the old images, which version {base.miner_version} of miner did not keep. "
            "Mine again with --force."
        )
    return base


def refuse_grown(stage: GrowingStage, embeddings: EmbeddingsManifest) -> None:
    """Refuse pairs of fewer images, if `--append` would continue them.

    Raises:
        MinerError: it would.
    """
    try:
        base = None if request_of(stage.folder) == stage.request else continued(stage, embeddings)
    except MinerError:
        return
    if base is not None and base.vectors is not None and base.vectors["count"] < embeddings.count:
        raise MinerError(
            f"{stage.folder} holds the pairs of {counted(base.vectors['count'], 'image')}, and "
            f"{embeddings.count - base.vectors['count']:,} more have been embedded since. Add --append to search only the new "
            "images, or use --force to mine all again."
        )


def known_lists(folder: Path, earlier: PairsManifest) -> Path | None:
    """The neighbour lists of the old images, in a file of their own as `with_known` keeps pairs; None if they have none.

    Raises:
        MinerError: their file is missing or damaged.
    """
    known, name = folder / KNOWN_LISTS, next((name for name in (LISTS, "knn_ids.npy") if name in earlier.files), None)
    if name is not None and not known.exists():
        with committed(known) as partial:
            shutil.copyfile(earlier.checked(folder, name), partial)
    return None if name is None else known


def with_known(folder: Path, join: BandJoin, new: FoundPairs) -> FoundPairs:
    """The new pairs, and the pairs of the join in the tables among the old images, whose cosines are measured again.

    Their rows are kept in a file of their own first, for a run that goes on after some tables have been written anew.
    """
    known = folder / KNOWN_PAIRS
    if not known.exists():
        tables = [np.stack(read_rows(folder / name)) for name in _TABLES if (folder / name).exists()]
        a, b = np.concatenate([*tables, np.empty((2, 0), np.int64)], axis=1)
        among_old = (a < b) & (b < join.min_b)  # a table may list both orders
        with committed(known) as partial:
            write_rows(partial, a[among_old], b[among_old])
    a, b = read_rows(known)
    old = FoundPairs(a, b, rescore(join.vectors, a, b, Threads()))
    found = put_together([old.select(old.similarity >= join.band.low), new])
    return found.select(np.lexsort((found.b, found.a)))
