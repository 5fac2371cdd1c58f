"""`miner export`: the images and the pairs as WebDataset shards whose bytes depend on nothing but their content."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.engine import Progress, Unit, committed, finished_items, run, write_json
from miner.engine.tar import write_tar
from miner.errors import MinerError
from miner.export.options import ExportOptions
from miner.source import Entry, Source, open_source
from miner.workspace import Record, Result, Stage, Workspace, fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

_MEGABYTE = 1_000_000


def export(options: ExportOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Write `shards/`; finished shards of an interrupted run are kept.

    Raises:
        MinerError: embeddings or pairs are missing, an image has changed since it was embedded, the disk is full, or the
            workspace holds the shards of another request.
    """
    embeddings = workspace.manifest(workspace.embeddings)
    pairs = workspace.manifest(workspace.pairs)
    if pairs["request"]["embeddings"] != fingerprint(embeddings["files"]):
        raise MinerError("The pairs belong to other embeddings. Run `miner pairs --force` first.")
    request = {
        "embeddings": fingerprint(embeddings["files"]),
        "pairs": fingerprint(pairs["files"]),
        **options.plain(),
    }
    stage = Stage(workspace.shards, request)
    if not force and (manifest := stage.finished()):
        return Result("export", manifest, _lines(manifest, workspace), fresh=False)
    if not force:
        stage.refuse_another()
    return _write(options, workspace, stage, embeddings, pairs, force)


def _write(
    options: ExportOptions, workspace: Workspace, stage: Stage, embeddings: Record, pairs: Record, force: bool
) -> Result:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from miner.embeddings import read_metadata
    from miner.export.plan import image_sample_sizes, pair_sample_sizes, split_by_size

    images = read_metadata(workspace.embeddings, embeddings)
    pair_table = _read_pairs(workspace.pairs / "pairs.parquet")
    pair_table = pair_table.append_column("pair_key", pa.array([f"pair-{n:09d}" for n in range(len(pair_table))]))
    # Neighbours of one image stand together in the table; apart in the shards they do not meet in one batch.
    shuffled = pair_table.take(np.random.default_rng(options.seed).permutation(len(pair_table)))
    sizes = image_sample_sizes(images["bytes"].to_pylist())
    pair_sizes = pair_sample_sizes(sizes, shuffled["a"].to_numpy(), shuffled["b"].to_numpy())
    reader = _ImageReader.open(embeddings["request"]["source"], images)
    # What can be refused has been by now; only then do old shards go.
    stage.begin(force)
    folder, largest = stage.folder, options.shard_size * _MEGABYTE
    units = [
        _unit(folder / f"{kind}-{number:06d}.tar", rows, write)
        for kind, all_sizes, write in (
            ("images", sizes, partial(_write_images, reader)),
            ("pairs", pair_sizes, partial(_write_pairs, reader, shuffled)),
        )
        for number, rows in enumerate(split_by_size(all_sizes, largest))
    ]
    with Progress("export", sum(unit.items for unit in units), "samples", finished_items(units)) as progress:
        run(units, progress=progress)
    with committed(folder / "pairs.parquet") as partial_file:
        columns = ["pair_key", "key_a", "key_b", "similarity", "mutual", "label_a", "label_b"]
        pq.write_table(pair_table.select(columns), partial_file, compression="zstd")
    _write_index(folder, units)
    record = {
        "source": Path(embeddings["request"]["source"]).name,
        "classes": embeddings["source"]["classes"],
        "encoder": embeddings["encoder"],
        "band": pairs["request"]["band"],
        "images": len(images),
        "pairs": len(pair_table),
        "images_in_pairs": pairs["images_in_pairs"],
        "labels": pairs["labels"],
        "samples": {unit.id: unit.items for unit in units},
    }
    files = [unit.outputs[0] for unit in units]
    manifest = stage.finish(record, [*files, folder / "pairs.parquet", folder / "index.json"])
    return Result("export", manifest, _lines(manifest, workspace))


def _read_pairs(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:160]
        raise MinerError(f"{path} is missing or damaged ({reason}). Run `miner pairs --force` again.") from error


def _unit(path: Path, rows: range, write: Any) -> Unit:
    return Unit(id=path.name, outputs=(path,), work=partial(write, rows), items=len(rows))


@dataclass(frozen=True)
class _ImageReader:
    """The original bytes of embedded images, by row, checked against the checksum taken when they were embedded."""

    source: Source
    entries: dict[str, Entry]
    images: list[dict[str, Any]]

    @classmethod
    def open(cls, spec: str, images: "pa.Table") -> "_ImageReader":
        source = open_source(spec)
        entries, rows = {entry.key: entry for entry in source.entries}, images.to_pylist()
        for image in rows:
            if image["key"] not in entries:
                raise MinerError(f"The image {image['path']} of {spec} is gone since it was embedded.")
        return cls(source, entries, rows)

    def read(self, row: int) -> bytes:
        image = self.images[row]
        try:
            data = self.source.read(self.entries[image["key"]])
        except OSError as error:
            raise MinerError(
                f"The image {image['path']} of {self.source.spec} is gone since it was embedded."
            ) from error
        if hashlib.sha256(data).hexdigest() != image["sha256"]:
            raise MinerError(
                f"The image {image['path']} of {self.source.spec} has changed since it was embedded. "
                "Run `miner embed --force` and `miner pairs --force` again."
            )
        return data


def _write_images(reader: _ImageReader, rows: range, path: Path) -> None:
    def members() -> Iterator[tuple[str, bytes]]:
        for row in rows:
            image = reader.images[row]
            yield f"{image['key']}.{image['extension']}", reader.read(row)
            yield (
                f"{image['key']}.json",
                _json({name: image[name] for name in ("key", "label", "width", "height", "sha256")}),
            )

    with path.open("wb") as stream:
        write_tar(stream, members())


def _write_pairs(reader: _ImageReader, pairs: "pa.Table", rows: range, path: Path) -> None:
    def members() -> Iterator[tuple[str, bytes]]:
        for pair in pairs.slice(rows.start, len(rows)).to_pylist():
            key = pair["pair_key"]
            for side in ("a", "b"):
                yield f"{key}.{side}.{reader.images[pair[side]]['extension']}", reader.read(pair[side])
            yield (
                f"{key}.json",
                _json({name: pair[name] for name in ("key_a", "key_b", "similarity", "label_a", "label_b")}),
            )

    with path.open("wb") as stream:
        write_tar(stream, members())


def _json(record: Record) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _write_index(folder: Path, units: list[Unit]) -> None:
    """index.json as the `wids` package reads it: shards with their sample counts."""

    def shards(kind: str) -> list[Record]:
        return [
            {"url": unit.id, "nsamples": unit.items, "filesize": unit.outputs[0].stat().st_size}
            for unit in units
            if unit.id.startswith(kind)
        ]

    datasets = [{"name": kind, "shardlist": shards(kind)} for kind in ("images", "pairs")]
    write_json(
        folder / "index.json",
        {"wids_version": 1, "name": "semantic-pairs", "shardlist": shards("pairs"), "datasets": datasets},
    )


def _lines(manifest: Record, workspace: Workspace) -> list[str]:
    total = sum(file["bytes"] for file in manifest["files"].values())
    return [
        f"export: {manifest['images']:,} images and {manifest['pairs']:,} pairs in {len(manifest['samples'])} shards, "
        f"{total / _MEGABYTE:,.0f} MB, in {workspace.shards}"
    ]
