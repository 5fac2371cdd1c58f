"""What is published: one configuration per kind of file that the export wrote."""

import json
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from miner.errors import MinerError
from miner.publish.features import Feature, sample_features, table_features
from miner.workspace import Record, Workspace

_TARS = {"images": "images", "pairs": "pairs-inline"}
_ABOUT = {
    "pairs": "one row per pair: the keys of both images, their cosine, and labels where they are known",
    "images": "every image once, with its original bytes",
    "pairs-inline": "both images and the record of every pair in one sample, for streaming",
    "duplicates": "near-identical pairs above the band and pairs of equal files, which are not among the pairs",
}


@dataclass(frozen=True)
class DataFile:
    """A file as the workspace has it, and its name in the repository.

    Attributes:
        path: in the workspace.
        name: in the repository, with `/`.
        rows: samples or rows that it holds.
        record: {"bytes", "sha256"} as the manifest of its stage says.
    """

    path: Path
    name: str
    rows: int
    record: Record

    @property
    def bytes(self) -> int:
        return int(self.record["bytes"])

    @property
    def sha256(self) -> str:
        return str(self.record["sha256"])


@dataclass(frozen=True)
class Config:
    """A configuration of the data set, as `load_dataset(NAME, config.name)` takes it.

    Attributes:
        name: such as `pairs`.
        files: in order, at least one.
        features: in the form of a card; None where the files say it themselves.
        num_bytes: of the rows in memory.
    """

    name: str
    files: Sequence[DataFile]
    features: list[Feature] | None
    num_bytes: int

    @property
    def pattern(self) -> str:
        """A glob of its files, relative to the repository."""
        return f"{self.name}/*{Path(self.files[0].name).suffix}"

    @property
    def is_table(self) -> bool:
        return self.files[0].name.endswith(".parquet")

    @property
    def about(self) -> str:
        return _ABOUT.get(self.name, "a table that belongs to the pairs")

    @cached_property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @cached_property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def read_contents(
    workspace: Workspace, shards: Record, pairs: Record, extensions: Iterable[str], inline: bool
) -> list[Config]:
    """The configurations, `pairs` first.

    Args:
        shards, pairs: manifests.
        extensions: of the images, such as {"jpg", "png"}.
        inline: whether the pair shards are wanted.
    Raises:
        MinerError: there is no pair, or a file is missing or damaged.
    """
    classes = shards.get("classes")
    tables = {Path(name).stem: workspace.shards / name for name in sorted(shards["files"]) if name.endswith(".parquet")}
    if "pairs" not in tables:
        raise MinerError(f"{workspace.shards} holds no table of pairs. Run `miner export --force` again.")
    if not shards["pairs"]:
        raise MinerError(
            "The band holds no pair, so there is nothing to publish. Mine another band with `miner pairs`."
        )
    if pairs.get("duplicates"):
        tables["duplicates"] = workspace.pairs / "duplicates.parquet"
    listed = {workspace.shards: shards["files"], workspace.pairs: pairs["files"]}
    configs = [_table(name, path, listed[path.parent][path.name], classes) for name, path in tables.items()]
    for kind, name in _TARS.items():
        tars = sorted(file for file in shards["files"] if re.fullmatch(rf"{kind}-\d+\.tar", file))
        if tars and (inline or kind != "pairs"):
            configs.append(_shards(name, workspace.shards, tars, shards, sorted(set(extensions)), classes))
    order = ["pairs", "images", "pairs-inline"]
    return sorted(configs, key=lambda config: order.index(config.name) if config.name in order else len(order))


def _table(name: str, path: Path, record: Record, classes: list[str] | None) -> Config:
    try:
        parquet = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise MinerError(
            f"{path} is missing or damaged ({' '.join(str(error).split())[:160]}). Make it again."
        ) from error
    groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
    file = DataFile(path, f"{name}/train-00000-of-00001.parquet", parquet.metadata.num_rows, record)
    return Config(
        name, [file], table_features(parquet.schema_arrow, classes), sum(group.total_byte_size for group in groups)
    )


def _shards(
    name: str, folder: Path, tars: list[str], shards: Record, extensions: Sequence[str], classes: list[str] | None
) -> Config:
    files = [DataFile(folder / tar, f"{name}/{tar}", shards["samples"][tar], shards["files"][tar]) for tar in tars]
    features = sample_features(_first_sample(files[0].path), extensions, classes)
    return Config(name, files, features, sum(file.bytes for file in files))


def _first_sample(path: Path) -> dict[str, Any]:
    """Field -> content of the first sample of a shard; the content of `json` is read."""
    sample: dict[str, Any] = {}
    key = None
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                stem, _, field = member.name.partition(".")
                if key not in (None, stem):
                    break
                content = tar.extractfile(member)
                key, data = stem, content.read() if content else b""
                sample[field] = json.loads(data) if field == "json" else data
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise MinerError(f"{path} is missing or damaged ({error}). Run `miner export --force` again.") from error
    return sample
