"""The default configuration: both images of every pair in one row of Parquet, which `datasets` and the Hub's viewer decode."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from miner.artifacts.decisions import verdict_column
from miner.artifacts.embeddings.vectors import Rows
from miner.artifacts.manifests import ShardsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.pairs.table import PAIR_SCHEMA, read_pairs
from miner.artifacts.parquet import read_columns
from miner.artifacts.workspace import Workspace
from miner.engine import Record, Unit
from miner.errors import MinerError
from miner.export.plan import split_by_size
from miner.publish.contents import IMAGE, LABELS, Config, DataFile, table_features
from miner.publish.negatives import NOBODY, hard_negatives
from miner.source.webdataset.tar_members import DamagedTarError, tar_members

NAME = "anchor-positive"
_SHARD_BYTES = 500_000_000
_GROUP_BYTES, _GROUP_ROWS = 32_000_000, 100  # of a row group: what the viewer of the Hub reads for one page
_ROW_BYTES = 200  # of all columns without images, roughly
_MOST_NEGATIVES_BYTES = 5_000_000_000


@dataclass(frozen=True)
class ImageFiles:
    """The exported images by number, and where their bytes are in the shards.

    Attributes:
        table: images.parquet.
        places: shard and offset of each image; None of images that are in no shard.
    """

    folder: Path
    table: pa.Table
    places: Sequence[tuple[str, int] | None]

    @classmethod
    def read(cls, folder: Path, shards: ShardsManifest, pairs: pa.Table) -> Self:
        """Read the table of the images; where it knows no shards (--pairs-only), look into the pair shards.

        Raises:
            MinerError: the table or a shard is missing or damaged.
        """
        columns = (*_CELL, "label", "shard", "offset")
        table = read_columns(folder / "images.parquet", columns, "miner export")
        if shards.image_shards:
            places = list(zip(table["shard"].to_pylist(), table["offset"].to_pylist(), strict=True))
            return cls(folder, table, places)
        keys = dict(zip(pairs["pair_key"].to_pylist(), pairs.select(["key_a", "key_b"]).to_pylist(), strict=True))
        found: dict[str, tuple[str, int]] = {}
        for shard in sorted(shards.samples):
            try:
                with (folder / shard).open("rb") as stream:
                    for member in tar_members(stream):
                        pair, side, *_ = member.name.split(".")
                        if side in ("a", "b"):
                            found[keys[pair][f"key_{side}"]] = (shard, member.offset)
            except (OSError, DamagedTarError, KeyError) as error:
                raise MinerError(f"{folder / shard} is missing or damaged ({error}). {_REMEDY}") from error
        return cls(folder, table, [found.get(key) for key in table["key"].to_pylist()])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each image."""
        return np.asarray(self.table["bytes"].to_numpy(), np.int64)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The label of each image, -1 where unknown."""
        return np.asarray(self.table["label"].fill_null(-1).to_numpy(), np.int64)

    def cell(self, number: int) -> dict[str, Any]:
        """An image as the Image feature of `datasets` stores it.

        Raises:
            MinerError: the shard does not hold the image that the table names.
        """
        key, extension, size, digest = (self.table[name][number].as_py() for name in _CELL)
        shard, offset = self.places[number] or ("", 0)
        try:
            with (self.folder / shard).open("rb", buffering=0) as stream:
                content = os.pread(stream.fileno(), size, offset)
        except OSError as error:
            raise MinerError(f"{self.folder / shard} cannot be read ({error.strerror}). {_REMEDY}") from error
        if sha256(content).hexdigest() != digest:
            raise MinerError(
                f"{self.folder / shard} is damaged at byte {offset:,}: the image {key} is another. {_REMEDY}"
            )
        return {"bytes": content, "path": f"{key}.{extension}"}


_CELL = ("key", "extension", "bytes", "sha256")
_REMEDY = "Run `miner export --force` again."


@dataclass(frozen=True)
class ImagePairs:
    """The rows of the configuration, in the order of the pair shards: shuffled, so that readers may stream them.

    Attributes:
        facts: all columns that hold no image.
        anchors, positives: numbers of the images, int64 (m,).
        negatives_each: how many negatives an anchor has, at most.
        find_negatives: gives them for each image, int64 (n, negatives_each), as of `hard_negatives`.
        classes: names of the labels.
    """

    images: ImageFiles
    facts: pa.Table
    anchors: Rows
    positives: Rows
    negatives_each: int
    find_negatives: Callable[[], Rows]
    classes: Sequence[str] | None

    @cached_property
    def negatives(self) -> Rows:
        """Numbers of the negatives of each image, found when they are first needed."""
        return self.find_negatives()

    def negatives_record(self) -> Record:
        """What `HardNegatives` holds."""
        anchors, labels = np.unique(self.anchors), self.images.labels
        chosen = self.negatives[anchors]
        known = (chosen != NOBODY) & (labels[chosen] >= 0) & (labels[anchors] >= 0)[:, None]
        same = (labels[chosen] == labels[anchors][:, None])[known]
        return {
            "each": self.negatives_each,
            "anchors": len(anchors),
            "anchors_with_fewer": int((chosen == NOBODY).any(axis=1).sum()),
            "same_label": float(same.mean()) if len(same) else None,
        }

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of each row. Negatives count as images of average size, so that the files can be planned without them."""
        bytes_of = self.images.sizes
        negatives = self.negatives_each * int(bytes_of.mean()) if self.negative_images else 0
        return bytes_of[self.anchors] + bytes_of[self.positives] + np.int64(_ROW_BYTES + negatives)

    @property
    def negative_images(self) -> bool:
        """Whether negatives are images; they are keys where the images would take too much space."""
        space = self.negatives_each * len(self.anchors) * float(self.images.sizes.mean())
        return 0 < space <= _MOST_NEGATIVES_BYTES

    @property
    def verdicts(self) -> list[str | None] | None:
        """What reviewers say of each pair, if they say anything."""
        return self.facts["verdict"].to_pylist() if "verdict" in self.facts.column_names else None

    @property
    def schema(self) -> pa.Schema:
        """The columns, with the features of `datasets` in the metadata."""
        fields = [pa.field("anchor", IMAGE), pa.field("positive", IMAGE), pa.field("score", pa.float32())]
        if self.negatives_each:
            fields.append(pa.field("negatives", pa.list_(IMAGE if self.negative_images else pa.string())))
        schema = pa.schema([*fields, *(field for field in self.facts.schema if field.name != "score")])
        features = {feature["name"]: _of_datasets(feature) for feature in table_features(schema, self.classes) or []}
        return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})

    def config(self, folder: Path) -> Config:
        """The configuration with the files that will be written below `folder`; their sizes are estimates."""
        sizes = self.sizes
        parts = split_by_size(sizes, _SHARD_BYTES)
        names = [f"{NAME}/train-{number:05d}-of-{len(parts):05d}.parquet" for number in range(len(parts))]
        files = [
            DataFile(folder / name, name, {"bytes": int(sizes[part.start : part.stop].sum())}, len(part))
            for name, part in zip(names, parts, strict=True)
        ]
        features = table_features(self.schema, self.classes)
        return Config(NAME, NAME, files, f"{NAME}/*.parquet", features, int(sizes.sum()), self.schema)

    def units(self, files: Sequence[DataFile]) -> list[Unit]:
        """A unit of work for each file of `config`."""
        starts = np.cumsum([0, *(file.rows for file in files)])
        return [
            Unit(file.name, (file.path,), partial(self._write, int(start), file.rows))
            for file, start in zip(files, starts, strict=False)
        ]

    def _write(self, start: int, rows: int, path: Path) -> None:
        schema = self.schema
        plain = [field.name for field in schema if field.type != IMAGE and field.name != "negatives"]
        # Images are compressed already, and statistics would repeat the first and the last of them by their bytes.
        settings = {"compression": dict.fromkeys(plain, "zstd"), "use_dictionary": plain, "write_statistics": plain}
        with path.open("wb") as stream, pq.ParquetWriter(stream, schema, write_page_index=True, **settings) as writer:
            for part in split_by_size(self.sizes[start : start + rows], _GROUP_BYTES, _GROUP_ROWS):
                writer.write_table(self._rows(start + part.start, start + part.stop, schema))

    def _rows(self, start: int, stop: int, schema: pa.Schema) -> pa.Table:
        facts = self.facts.slice(start, stop - start)
        columns = {name: facts[name] for name in facts.column_names}
        a, b = self.anchors[start:stop].tolist(), self.positives[start:stop].tolist()
        others = [
            [one for one in self.negatives[anchor].tolist() if one != NOBODY] for anchor in a if self.negatives_each
        ]
        shown = {*a, *b, *(one for row in others for one in row if self.negative_images)}
        cells = {number: self.images.cell(number) for number in sorted(shown)}
        columns["anchor"] = pa.array([cells[number] for number in a], IMAGE)
        columns["positive"] = pa.array([cells[number] for number in b], IMAGE)
        if self.negatives_each:
            shape = schema.field("negatives").type
            keys = self.images.table["key"]
            named: Any = cells.get if self.negative_images else lambda number: keys[number].as_py()
            columns["negatives"] = pa.array([[named(one) for one in row] for row in others], shape)
        return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def read_image_pairs(
    workspace: Workspace, shards: ShardsManifest, mined: PairsManifest, negatives_each: int
) -> ImagePairs:
    """The exported pairs with their images, and with hard negatives if an anchor shall have some.

    Raises:
        MinerError: a table or a shard is missing or damaged, or the decisions of reviewers are.
    """
    path = workspace.shards / "pairs.parquet"
    pairs = read_pairs(path, PAIR_SCHEMA.names[2:], evidence=True, made_by="miner export")
    images = ImageFiles.read(workspace.shards, shards, pairs)
    verdict = verdict_column(workspace.review / "decisions.jsonl", pairs)
    left_out = [name for name in LABELS if name in pairs.column_names and pairs[name].null_count == len(pairs)]
    facts = pairs.drop_columns(left_out).rename_columns({"similarity": "score"})
    if verdict.null_count < len(verdict):
        facts = facts.append_column("verdict", verdict)
    for name in (name for name in LABELS if name in facts.column_names):  # as the type of class names is stored
        facts = facts.set_column(facts.column_names.index(name), name, facts[name].cast(pa.int64()))
    order = np.random.default_rng(shards.asked.get("seed", 0)).permutation(len(pairs))
    facts = facts.take(pa.array(order))
    number_of = {key: number for number, key in enumerate(images.table["key"].to_pylist())}
    anchors, positives = (_numbers(number_of, facts[name].to_pylist()) for name in ("key_a", "key_b"))
    find = partial(hard_negatives, workspace, mined, [*number_of], negatives_each)
    return ImagePairs(images, facts, anchors, positives, negatives_each, find, shards.classes)


def _numbers(number_of: dict[str, int], keys: Iterable[str]) -> Rows:
    return np.fromiter((number_of[key] for key in keys), np.int64)


def _of_datasets(feature: dict[str, Any]) -> dict[str, Any]:
    """A feature of a card in the form in which `datasets` writes it to a schema."""
    if "list" in feature:
        return {"feature": _of_datasets({"dtype": feature["list"]}), "_type": "List"}
    dtype = feature["dtype"]
    if dtype == "image":
        return {"_type": "Image"}
    if isinstance(dtype, dict):
        return {"names": [*dtype["class_label"]["names"].values()], "_type": "ClassLabel"}
    return {"dtype": dtype, "_type": "Value"}
