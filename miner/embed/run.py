"""`miner embed`: every image of a source once through a frozen encoder."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miner.embed.naming import encoder_request
from miner.embed.options import EmbedOptions
from miner.engine import Progress, Unit, finished_items, run
from miner.errors import MinerError
from miner.source import Entry, Source, open_source
from miner.source.base import source_fingerprint
from miner.workspace import Record, Result, Stage, Workspace

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from miner.embed.encoders import Encoder

_LOOKAHEAD_BATCHES = 3
_LARGEST_FILE_BYTES = 1 << 30


def embed(options: EmbedOptions, workspace: Workspace, *, force: bool = False) -> Result:
    """Encode a source into `embeddings/`; what an earlier run finished is kept.

    Raises:
        MinerError: the source has fewer than two images, none is readable, the weights cannot be had, the disk is full, or
            the workspace holds the embeddings of another request.
    """
    source = open_source(options.source)
    entries = list(source.entries[: options.limit])
    if len(entries) < 2:
        raise MinerError(f"{options.source} holds one image; a pair needs two. Name a folder with more images.")
    stage = Stage(workspace.embeddings, _request(options, source, entries))
    if not force and (manifest := stage.finished()):
        return _result(manifest, workspace, fresh=False)
    stage.begin(force)
    return _encode(options, source, entries, workspace, stage)


def _request(options: EmbedOptions, source: Source, entries: Sequence[Entry]) -> Record:
    spec = str(Path(options.source).resolve()) if Path(options.source).exists() else options.source
    return {
        "source": spec,
        "source_fingerprint": source_fingerprint(entries),
        **options.model_dump(mode="json", include={"encoder", "precision", "dtype", "block_size", "limit"}),
        **encoder_request(options),
    }


def _encode(
    options: EmbedOptions, source: Source, entries: Sequence[Entry], workspace: Workspace, stage: Stage
) -> Result:
    from miner import embeddings as store
    from miner.device import resolve_device, resolve_precision
    from miner.embed.encoders import load_encoder

    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    encoder = load_encoder(options.encoder, device, options.layer, options.pool)
    folder = workspace.embeddings
    starts = range(0, len(entries), options.block_size)
    blocks = [entries[start : start + options.block_size] for start in starts]
    workers = options.workers or min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        job = _BlockJob(source, encoder, device, precision, options, pool)
        units = [
            Unit(
                id=f"{number:05d}",
                outputs=(
                    store.vectors_path(folder, number),
                    store.error_part_path(folder, number),
                    store.metadata_path(folder, number),
                ),
                work=partial(job.encode_block, block),
                items=len(block),
            )
            for number, block in enumerate(blocks)
        ]
        with Progress("embed", len(entries), "images", finished_items(units)) as progress:
            job.progress = progress
            run(units)
    record = {
        "source": {"spec": stage.request["source"], "images": len(entries), "classes": source.classes},
        "encoder": encoder.record(),
        "precision": str(precision).removeprefix("torch."),
        "dtype": options.dtype,
        "blocks": len(blocks),
    }
    return _finish(record, workspace, stage)


def _finish(record: Record, workspace: Workspace, stage: Stage) -> Result:
    """Merge the error parts, check that something could be read, and write the manifest."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from miner import embeddings as store
    from miner.engine import committed

    folder = workspace.embeddings
    parts = [store.error_part_path(folder, block) for block in range(record["blocks"])]
    errors = pa.concat_tables([pq.read_table(part) for part in parts])
    reasons = Counter(errors["reason"].to_pylist())
    vectors = [store.vectors_path(folder, block) for block in range(record["blocks"])]
    shapes = [np.load(path, mmap_mode="r").shape for path in vectors]
    count = sum(shape[0] for shape in shapes)
    if count < 2:
        stage.discard()
        common = ", ".join(f"{number} x {reason}" for reason, number in reasons.most_common(3))
        raise MinerError(
            f"Only {count} of the {record['source']['images']} images of {record['source']['spec']} could be read ({common}). "
            "A pair needs two. Check that the files are images; nothing was kept."
        )
    with committed(folder / "errors.parquet") as partial_file:
        pq.write_table(errors, partial_file)
    manifest = stage.finish(
        {**record, "dim": shapes[0][1], "count": count, "errors": dict(reasons.most_common())},
        [
            folder / "errors.parquet",
            *vectors,
            *(store.metadata_path(folder, block) for block in range(record["blocks"])),
        ],
    )
    shutil.rmtree(parts[0].parent)
    return _result(manifest, workspace)


def _result(manifest: Record, workspace: Workspace, fresh: bool = True) -> Result:
    failed = sum(manifest["errors"].values())
    lines = [
        f"embed: {manifest['count']:,} images as {manifest['dim']}-d vectors by {manifest['encoder']['name']} "
        f"({manifest['precision']}) in {workspace.embeddings}"
    ]
    if failed:
        lines.append(f"embed: {failed:,} images could not be used; see {workspace.embeddings / 'errors.parquet'}")
    return Result("embed", manifest, lines, fresh, [("images", f"{manifest['count']:,}")])


@dataclass(frozen=True)
class _Decoded:
    """One image after decoding, or the reason why not."""

    entry: Entry
    pixels: "NDArray[np.uint8] | None" = None
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    sha256: str = ""
    reason: str = ""


@dataclass
class _BlockJob:
    """Encodes one block of entries into the three files of a unit."""

    source: Source
    encoder: "Encoder"
    device: "torch.device"
    precision: "torch.dtype"
    options: EmbedOptions
    pool: ThreadPoolExecutor
    progress: Progress | None = None

    def encode_block(
        self, entries: Sequence[Entry], vectors_file: Path, errors_file: Path, metadata_file: Path
    ) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        from miner.embeddings import ERROR_SCHEMA, METADATA_SCHEMA

        rows: list[dict[str, Any]] = []
        errors: list[dict[str, str]] = []
        vectors: list[NDArray[np.floating]] = []
        for batch in self._decoded_batches(entries):
            usable = [image for image in batch if image.pixels is not None]
            encoded = self._vectors([image.pixels for image in usable if image.pixels is not None])
            for image, vector in zip(usable, encoded, strict=True):
                if np.isfinite(vector).all():
                    vectors.append(vector)
                    rows.append(_row(image))
                else:
                    errors.append(_error(image.entry, "the encoder gave a zero or non-finite vector"))
            errors += [_error(image.entry, image.reason) for image in batch if image.pixels is None]
            if self.progress is not None:
                self.progress.advance(len(batch))
        dim = len(vectors[0]) if vectors else self.encoder.dim
        with vectors_file.open("wb") as stream:
            np.save(stream, np.asarray(vectors, self.options.dtype).reshape(-1, dim))
        pq.write_table(pa.Table.from_pylist(errors, schema=ERROR_SCHEMA), errors_file)
        pq.write_table(pa.Table.from_pylist(rows, schema=METADATA_SCHEMA), metadata_file)

    def _decoded_batches(self, entries: Sequence[Entry]) -> Iterator[list[_Decoded]]:
        """Batches in order, with a few of them being decoded ahead of the encoder."""
        size = self.options.batch_size
        waiting: list[list[Future[_Decoded]]] = []
        for start in range(0, len(entries), size):
            waiting.append([self.pool.submit(self._decode, entry) for entry in entries[start : start + size]])
            if len(waiting) > _LOOKAHEAD_BATCHES:
                yield [future.result() for future in waiting.pop(0)]
        for batch in waiting:
            yield [future.result() for future in batch]

    def _decode(self, entry: Entry) -> _Decoded:
        from miner.source.decode import UnreadableImageError, decode_image

        if entry.size_bytes > _LARGEST_FILE_BYTES:
            return _Decoded(entry, reason=f"file larger than {_LARGEST_FILE_BYTES >> 20} MiB")
        try:
            data = self.source.read(entry)
            image = decode_image(data)
        except OSError as error:
            return _Decoded(entry, reason=f"not readable: {error.strerror or error}")
        except UnreadableImageError as error:
            return _Decoded(entry, reason=str(error))
        pixels = self.encoder.preprocess.pixels(image)
        digest = hashlib.sha256(data).hexdigest()
        return _Decoded(entry, pixels, image.width, image.height, len(data), digest)

    def _vectors(self, pixels: "list[NDArray[np.uint8]]") -> "NDArray[np.floating]":
        """float32 (n, dim) of uint8 images, each (crop, crop, 3)."""
        import numpy as np
        import torch

        if not pixels:
            return np.empty((0, 0), np.float32)
        batch = torch.from_numpy(np.stack(pixels)).to(self.device)
        encoded: NDArray[np.floating] = self.encoder.encode(batch, self.precision).cpu().numpy()
        return encoded


def _row(image: _Decoded) -> dict[str, Any]:
    entry = image.entry
    return {
        "key": entry.key,
        "path": entry.path,
        "label": entry.label,
        "width": image.width,
        "height": image.height,
        "extension": entry.extension,
        "bytes": image.size_bytes,
        "sha256": image.sha256,
    }


def _error(entry: Entry, reason: str) -> dict[str, str]:
    return {"key": entry.key, "path": entry.path, "reason": reason}
