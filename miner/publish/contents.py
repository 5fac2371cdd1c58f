"""The files of a data set, the configurations that they form, and the types of columns in a card's `dataset_info`."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import Record
from miner.errors import MinerError

Feature = dict[str, Any]

DATA = "data"
_MINED = "mined"
_TABLES = {"pairs.parquet": "pairs", "images.parquet": "image-table"}
_MINED_TABLES = {"duplicates.parquet": "duplicates", "groups.parquet": "groups"}
_ABOUT = {
    "anchor-positive": "both images of every pair, their cosine (`score`), keys, and what is known of the pair",
    "pairs": "one row per pair: the keys of both images, their cosine, and labels where they are known",
    "images": "every image once, with its original bytes",
    "pairs-inline": "both images and the record of every pair in one sample, for streaming",
    "image-table": "one row per image: where its bytes are in the shards, size, label, and sha256",
    "duplicates": "near-identical pairs above the band and pairs of equal files, which are not among the pairs",
    "groups": "which images belong together, by connected components and by complete linkage",
}
LABELS = ("label_a", "label_b")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as the Image feature of `datasets` is stored
_NARROW = {"similarity": "float32", **dict.fromkeys(("width", "height", "label", *LABELS), "int32")}
_DTYPES = {name: name for name in ("string", "bool", "int8", "int16", "int32", "int64")}
_DTYPES |= {"large_string": "string", "float": "float32", "double": "float64", str(IMAGE): "image"}
_BY_TYPE = ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"))


@dataclass(frozen=True)
class DataFile:
    """A file of the data set.

    Attributes:
        path: the file in the workspace; of a file that publish makes, its place in the target.
        name: in the repository.
        record: as in the manifest of its stage; before publish has made the file, an estimate of its `bytes`.
        rows: rows or samples.
    """

    path: Path
    name: str
    record: Record
    rows: int = 0

    @property
    def bytes(self) -> int:
        return int(self.record["bytes"])

    @property
    def sha256(self) -> str:
        """Of a file that has not been made, as many zeros."""
        return str(self.record.get("sha256", "0" * 64))


@dataclass(frozen=True)
class Config:
    """A configuration of the data set, as `load_dataset(NAME, config.name)` takes it.

    Attributes:
        kind: the name without the image formats that `images-jpg` or `pairs-inline-jpg-png` add.
        files: in order, at least one.
        pattern: a glob of their names.
        features: in the form of a card; None if readers take the types from the files.
        num_bytes: the size of the rows in memory.
        schema: of a table.
    """

    name: str
    kind: str
    files: Sequence[DataFile]
    pattern: str
    features: list[Feature] | None
    num_bytes: int
    schema: pa.Schema | None = None

    @property
    def is_table(self) -> bool:
        return self.schema is not None

    @property
    def about(self) -> str:
        formats = self.name.removeprefix(self.kind).strip("-").replace("-", " and ")
        return _ABOUT[self.kind] + (f" ({formats})" if formats else "")

    @property
    def image_columns(self) -> list[str]:
        """Columns of a WebDataset that hold images."""
        return [str(feature["name"]) for feature in self.features or [] if feature.get("dtype") == "image"]

    @cached_property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @cached_property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Contents:
    """All data files, and the configurations that they form, the default first."""

    files: Sequence[DataFile]
    configs: Sequence[Config]

    @property
    def tables(self) -> list[Config]:
        """The configurations in Parquet."""
        return [config for config in self.configs if config.is_table]

    @property
    def shard_sets(self) -> list[Config]:
        """The configurations in WebDataset."""
        return [config for config in self.configs if not config.is_table]

    def with_default(self, config: Config) -> "Contents":
        """With a further configuration, which becomes the default."""
        return Contents([*config.files, *self.files], [config, *self.configs])

    def with_records(self, records: Mapping[str, Record]) -> "Contents":
        """With the records of files that have been made, by name."""

        def known(files: Sequence[DataFile]) -> list[DataFile]:
            return [replace(file, record=records.get(file.name, file.record)) for file in files]

        return Contents(known(self.files), [replace(config, files=known(config.files)) for config in self.configs])

    def of_kind(self, kind: str) -> list[Config]:
        return [config for config in self.configs if config.kind == kind]


def read_contents(workspace: Workspace, shards: ShardsManifest, pairs: PairsManifest) -> Contents:
    """The files that the export wrote, and the tables of `miner pairs` that belong to them.

    Raises:
        MinerError: there is no pair, or a file is missing or damaged.
    """
    if not shards.pairs:
        raise MinerError(
            "No pair was exported, so there is nothing to publish. Mine another band with `miner pairs`, then export again."
        )
    classes = shards.classes
    files = {
        name: DataFile(workspace.shards / name, f"{DATA}/{name}", record, shards.samples.get(name, 0))
        for name, record in sorted(shards.files.items())
    }
    tables = [_table(kind, files[name], classes) for name, kind in _TABLES.items() if name in files]
    sets = [
        _shard_set(name, shard_set.fields, list(files.values()), classes)
        for name, shard_set in (shards.sets or {}).items()
    ]
    mined = [
        _table(kind, DataFile(workspace.pairs / name, f"{_MINED}/{name}", pairs.files[name]), None)
        for name, kind in _MINED_TABLES.items()
        if name in pairs.files
    ]
    configs = [config for config in [*tables[:1], *sets, *tables[1:], *mined] if config and config.rows]
    everything = {file.name: file for file in files.values()}
    everything |= {file.name: file for config in configs for file in config.files}
    return Contents(list(everything.values()), configs)


def _table(kind: str, file: DataFile, classes: list[str] | None) -> Config:
    try:
        with file.path.open("rb") as stream, pq.ParquetFile(stream) as parquet:
            footer, schema = parquet.metadata, parquet.schema_arrow
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{file.path} is missing or damaged ({reason}). Run its stage again with --force.") from error
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    counted = DataFile(file.path, file.name, file.record, footer.num_rows)
    # Only the default table repeats its types in the card, to name the classes.
    features = table_features(schema, classes) if kind == "pairs" else None
    size = sum(group.total_byte_size for group in groups)
    return Config(kind, kind, [counted], file.name, features, size, schema)


def _shard_set(name: str, fields: list[str], files: Sequence[DataFile], classes: list[str] | None) -> Config | None:
    """A set of image or pair shards; None for pairs by reference, because the table of pairs holds the same facts."""
    if fields == ["json"]:
        return None
    stem, _, formats = name.partition("-")
    kind = "images" if stem == "images" else "pairs-inline"
    shards = [file for file in files if Path(file.name).stem.rpartition("-")[0] == name and file.name.endswith(".tar")]
    features = sample_features(fields, _first_record(shards[0].path), classes)
    config_name = f"{kind}-{formats}" if formats else kind
    return Config(config_name, kind, shards, f"{DATA}/{name}-[0-9]*.tar", features, sum(file.bytes for file in shards))


def _first_record(path: Path) -> dict[str, Any]:
    """The JSON of the first sample of a shard."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".json") and (content := tar.extractfile(member)):
                    return dict(json.load(content))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise MinerError(f"{path} is missing or damaged ({error}). Run `miner export --force` again.") from error
    raise MinerError(f"{path} holds no sample. Run `miner export --force` again.")


def table_features(schema: pa.Schema, classes: Sequence[str] | None) -> list[Feature] | None:
    """Features of a table; None if a column has a type that a card cannot state."""
    lists = [pa.types.is_list(field.type) for field in schema]
    types = [
        _DTYPES.get(str(field.type.value_type if many else field.type))
        for field, many in zip(schema, lists, strict=True)
    ]
    named = [
        {"name": name, "list": dtype} if many else _feature(name, dtype, classes)
        for name, dtype, many in zip(schema.names, types, lists, strict=True)
        if dtype
    ]
    return named if len(named) == len(schema) else None


def sample_features(fields: Sequence[str], record: Mapping[str, Any], classes: Sequence[str] | None) -> list[Feature]:
    """Features of a WebDataset with fields such as ("a.jpg", "b.jpg", "json"), from the JSON of one sample."""
    images = [{"name": field, "dtype": "image"} for field in fields if field != "json"]
    struct = [_feature(name, _dtype(name, value), classes) for name, value in record.items()]
    own = [{"name": name, "dtype": "string"} for name in ("__key__", "__url__")]
    return [*images, {"name": "json", "struct": struct}, *own]


def _feature(name: str, dtype: str, classes: Sequence[str] | None) -> Feature:
    if name in ("label", *LABELS) and classes:
        return {"name": name, "dtype": {"class_label": {"names": {str(n): label for n, label in enumerate(classes)}}}}
    return {"name": name, "dtype": dtype}


def _dtype(name: str, value: Any) -> str:
    narrow = _NARROW.get(name)
    return narrow or next((dtype for kind, dtype in _BY_TYPE if isinstance(value, kind)), "string")
