"""Published tables of pairs with their images: every row is a pair of the table of pairs, and every image is the one of its key."""

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from miner.engine import Progress, Record
from miner.errors import MinerError
from miner.verify.reading import check_count, read_table
from miner.verify.survey import Folder

_FOLDER = "anchor-positive/"
_ROWS = 100


def check_published(folder: Folder) -> Record:
    """Check the files of the configuration with images; the shards beside it are a folder of their own.

    Returns:
        How many pairs were checked; none if the data set has no such configuration.
    Raises:
        MinerError: a row is not a pair of the table of pairs, or an image not the one that its key names.
    """
    names = sorted(name for name in folder.manifest["files"] if name.startswith(_FOLDER))
    if not names:
        return {}
    table = read_table(folder, "data/images.parquet", ("key", "sha256"))
    digests = dict(zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True))
    columns = ("pair_key", "key_a", "key_b", "similarity")
    table = read_table(folder, "data/pairs.parquet", columns)
    pairs = {key: tuple(rest) for key, *rest in zip(*(table[name].to_pylist() for name in columns), strict=True)}
    with Progress("verify", len(pairs), "pairs") as progress:
        for name in names:
            where = folder.full_path(name)
            for number, row in enumerate(_rows(folder, name)):
                _check_row(f"{where}: row {number}", row, pairs, digests)
                progress.advance()
            folder.location.drop(folder.path + name)
    check_count(folder.full_path(_FOLDER), "pairs", len(table) - len(pairs), len(table))
    return {"pairs": len(table)}


def _rows(folder: Folder, name: str) -> Any:
    try:
        with folder.fetch(name).open("rb") as stream, pq.ParquetFile(stream) as parquet:
            for batch in parquet.iter_batches(_ROWS):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{folder.full_path(name)} is no readable Parquet file ({reason}).") from error


def _check_row(where: str, row: Record, pairs: dict[str, tuple[Any, ...]], digests: dict[str, str]) -> None:
    if pairs.pop(row["pair_key"], None) != (row["key_a"], row["key_b"], row["score"]):
        raise MinerError(f"{where} is not a pair of data/pairs.parquet, or stands there twice.")
    for side, key in (("anchor", row["key_a"]), ("positive", row["key_b"])):
        _check_image(f"{where}, {side}", row[side], key, digests)
    for negative in row.get("negatives") or []:
        key = negative if isinstance(negative, str) else negative["path"].partition(".")[0]
        if key not in digests or key in (row["key_a"], row["key_b"]):
            raise MinerError(f"{where}: {key} is no negative of this pair.")
        if not isinstance(negative, str):
            _check_image(f"{where}, a negative", negative, key, digests)


def _check_image(where: str, image: Record, key: str, digests: dict[str, str]) -> None:
    if hashlib.sha256(image["bytes"]).hexdigest() != digests.get(key):
        raise MinerError(f"{where}: the image is not {key} of data/images.parquet.")
