"""What a worker of `miner embed` does with a block of images, in this process or another."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from miner.device import resolve_device, resolve_devices, resolve_precision
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.embeddings import ERROR_SCHEMA, METADATA_SCHEMA
from miner.engine.units import seat
from miner.errors import MinerError
from miner.source import Entry, Source, open_source
from miner.source.base import MAX_FILE_BYTES
from miner.source.decode import UnreadableImageError, decode_image

_LOOKAHEAD_BATCHES = 3
_BATCH_ON_GPU, _BATCH_ON_CPU = 512, 64


@dataclass
class Meter:
    """Where the time of a worker went, in seconds, and how many images it saw."""

    images: int = 0
    waiting_s: float = 0.0
    encoding_s: float = 0.0
    smallest_batch: int | None = None


@dataclass(frozen=True)
class Decoded:
    """One image after decoding, or the reason why not."""

    entry: Entry
    pixels: NDArray[np.uint8] | None = None
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    sha256: str = ""
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """Of the metadata table."""
        entry = self.entry
        return {
            "key": entry.key,
            "path": entry.path,
            "label": entry.label,
            "width": self.width,
            "height": self.height,
            "extension": entry.extension,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
        }


@dataclass
class Worker:
    """A source and an encoder in one process, and the threads that decode for it.

    Args:
        options: of the stage; its `source` must open in this process.
        source: already open, or None to open it.
    """

    options: EmbedOptions
    source: Source | None = None
    meter: Meter = field(default_factory=Meter)
    on_images: Callable[[int, Meter], None] | None = None

    def __post_init__(self) -> None:
        options = self.options
        self.source = self.source or open_source(options.source)
        self.device = resolve_device(seat() or resolve_devices(options.device)[0])
        self.precision = resolve_precision(options.precision, self.device)
        self.encoder = load_encoder(options.encoder, self.device, options.layer, options.pool)
        self.batch_size = options.batch_size or (_BATCH_ON_CPU if self.device.type == "cpu" else _BATCH_ON_GPU)
        self.pool = ThreadPoolExecutor(options.workers or min(os.cpu_count() or 1, 8), thread_name_prefix="decode")

    def encode_block(
        self, entries: Sequence[Entry], vectors_file: Path, errors_file: Path, metadata_file: Path
    ) -> None:
        """Encode a block of images into the three files of a unit: vectors, errors, and metadata, row by row."""
        rows: list[dict[str, Any]] = []
        errors: list[dict[str, str]] = []
        vectors: list[NDArray[np.floating]] = []
        for batch in self._decoded_batches(entries):
            pixels = [(image, image.pixels) for image in batch if image.pixels is not None]
            started = time.perf_counter()
            encoded = self.vectors([array for _, array in pixels])
            self.meter.encoding_s += time.perf_counter() - started
            for (image, _), vector in zip(pixels, encoded, strict=True):
                if np.isfinite(vector).all():
                    vectors.append(vector)
                    rows.append(image.row())
                else:
                    errors.append(_error(image.entry, "the encoder gave a zero or non-finite vector"))
            errors += [_error(image.entry, image.reason) for image in batch if image.pixels is None]
            self.meter.images += len(batch)
            if self.on_images is not None:
                self.on_images(len(batch), self.meter)
        dim = len(vectors[0]) if vectors else self.encoder.dim
        with vectors_file.open("wb") as stream:
            np.save(stream, np.asarray(vectors, self.options.dtype).reshape(-1, dim))
        pq.write_table(pa.Table.from_pylist(errors, schema=ERROR_SCHEMA), errors_file)
        pq.write_table(pa.Table.from_pylist(rows, schema=METADATA_SCHEMA), metadata_file)

    def vectors(self, pixels: list[NDArray[np.uint8]]) -> NDArray[np.floating]:
        """float32 (n, dim) of uint8 images, each (crop, crop, 3).

        A batch that does not fit into memory is cut in halves, and so are all that follow.

        Raises:
            MinerError: a single image does not fit.
        """
        done: list[NDArray[np.floating]] = []
        size = min(self.meter.smallest_batch or len(pixels), len(pixels))
        start = 0
        while start < len(pixels):
            try:
                batch = torch.from_numpy(np.stack(pixels[start : start + size])).to(self.device)
                done.append(self.encoder.encode(batch, self.precision).cpu().numpy())
                start += size
            except (torch.OutOfMemoryError, MemoryError) as error:
                if size == 1:
                    raise MinerError(
                        f"One image does not fit into the memory of {self.device}. Use --device cpu."
                    ) from error
                size = self.meter.smallest_batch = size // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        return np.concatenate(done) if done else np.empty((0, 0), np.float32)

    def _decoded_batches(self, entries: Sequence[Entry]) -> Iterator[list[Decoded]]:
        """Batches in order, with a few of them being decoded ahead of the encoder."""
        size = self.batch_size
        waiting: list[list[Future[Decoded]]] = []
        for start in range(0, len(entries), size):
            waiting.append([self.pool.submit(self._decode, entry) for entry in entries[start : start + size]])
            if len(waiting) > _LOOKAHEAD_BATCHES:
                yield self._collect(waiting.pop(0))
        for batch in waiting:
            yield self._collect(batch)

    def _collect(self, batch: list[Future[Decoded]]) -> list[Decoded]:
        started = time.perf_counter()
        images = [future.result() for future in batch]
        self.meter.waiting_s += time.perf_counter() - started
        return images

    def _decode(self, entry: Entry) -> Decoded:
        assert self.source is not None
        if entry.size_bytes > MAX_FILE_BYTES:
            return Decoded(entry, reason=f"file larger than {MAX_FILE_BYTES >> 20} MiB")
        try:
            data = self.source.read(entry)
            image = decode_image(data)
            pixels = self.encoder.preprocess.pixels(image)
        except OSError as error:
            return Decoded(entry, reason=f"not readable: {error.strerror or error}")
        except UnreadableImageError as error:
            return Decoded(entry, reason=str(error))
        digest = hashlib.sha256(data).hexdigest()
        return Decoded(entry, pixels, image.width, image.height, len(data), digest)


_workers: dict[str, Worker] = {}


def worker_of(options: EmbedOptions, source: Source | None = None) -> Worker:
    """This process's worker for these options; the network is loaded once. A source that is given starts a new run."""
    key = options.model_dump_json()
    if key not in _workers:
        for old in _workers.values():
            old.pool.shutdown(wait=False)
        _workers.clear()
        _workers[key] = Worker(options, source)
    worker = _workers[key]
    if source is not None:
        worker.source, worker.meter = source, Meter()
    return worker


def encode_block(options: EmbedOptions, entries: Sequence[Entry], *files: Path) -> None:
    """The work of a unit, wherever it runs; see `Worker.encode_block`."""
    worker_of(options).encode_block(entries, *files)


def _error(entry: Entry, reason: str) -> dict[str, str]:
    return {"key": entry.key, "path": entry.path, "reason": reason}
