"""What a worker of `miner embed` does with a block of images, in this process or another."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import EmbeddedImage, UnusableImage, error_table, metadata_table
from miner.embed.batch_size import default_batch_size, measured_rates
from miner.embed.compiling import compiled
from miner.embed.decoding import Decoded, decode_into
from miner.embed.encoders import load_encoder
from miner.embed.options import EmbedOptions
from miner.engine.heap import keep_freed_memory
from miner.errors import MinerError
from miner.machine.device import resolve_precision, worker_device
from miner.source import Entry, Source, open_source

_LOOKAHEAD_BATCHES = 3
_MOST_DECODERS, _MOST_THREADS = 8, 32
T = TypeVar("T")
VectorArray = NDArray[np.floating]
Encoded = tuple[list[Decoded], VectorArray]


@dataclass
class Meter:
    """Where the time of a worker went, in seconds, and how many images it saw.

    On a CPU the seconds of all threads add up, and `waiting_s` is what they spent on decoding.
    """

    images: int = 0
    waiting_s: float = 0.0
    encoding_s: float = 0.0
    smallest_batch: int | None = None


@dataclass
class Worker:
    """A source and an encoder in one process, and the threads that work for it.

    On a CPU each thread takes whole batches, decodes them and encodes them by itself: nobody waits for anybody, and vectors do
    not depend on the number of cores. For another device the threads decode, and the caller feeds it.

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
        self.device = worker_device(options.device)
        self.precision = resolve_precision(options.precision, self.device)
        self.on_cpu = self.device.type == "cpu"
        self.cores = torch.get_num_threads()
        cores = self.cores if self.on_cpu else os.cpu_count() or 1
        self.workers = workers = options.workers or min(cores, _MOST_THREADS if self.on_cpu else _MOST_DECODERS)
        self.lookahead = 2 * workers if self.on_cpu else _LOOKAHEAD_BATCHES
        starts = (torch.set_num_threads, (1,)) if self.on_cpu else (None, ())
        self.pool = ThreadPoolExecutor(workers, "embed", *starts)
        self.batch_size = options.batch_size or default_batch_size(self.device)
        if self.on_cpu:
            keep_freed_memory()
        self.encoder = self.in_a_thread(load_encoder, options.encoder, self.device, options.layer, options.pool)
        if options.compile:
            self.encoder = self.in_a_thread(compiled, self.encoder, self.batch_size, self.precision, self.device)

    def in_a_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Call it where encoding happens, so that libraries which count their threads once count those."""
        if not self.on_cpu:
            return function(*arguments)
        try:
            return self.pool.submit(function, *arguments).result()
        finally:
            torch.set_num_threads(self.cores)  # new threads would get the number that the pool's threads have

    def rates_by_batch_size(self) -> dict[int, float]:
        """Images per second for several batch sizes. On a CPU all threads encode at once, because they share caches."""
        batches = self.workers if self.on_cpu else 1

        def encode(pixels: torch.Tensor) -> None:
            self.encoder.encode(pixels.to(self.device), self.precision).cpu()

        def encode_everywhere(pixels: torch.Tensor) -> None:
            list(self.pool.map(encode, [pixels] * batches))

        try:
            rates = measured_rates(encode_everywhere, self.encoder.preprocess.crop, self.device)
        finally:
            torch.set_num_threads(self.cores)
        return {size: batches * rate for size, rate in rates.items()}

    def encode_block(
        self, entries: Sequence[Entry], vectors_file: Path, errors_file: Path, metadata_file: Path
    ) -> None:
        """Encode a block of images into the three files of a unit: vectors, errors, and metadata, row by row."""
        rows: list[EmbeddedImage] = []
        errors: list[UnusableImage] = []
        vectors: list[VectorArray] = []
        for images, encoded in self._encoded(entries):
            finite = np.asarray(np.isfinite(encoded).all(axis=1))
            vectors.append(encoded[finite])
            usable = [image for image in images if isinstance(image, EmbeddedImage)]
            rows += [image for image, good in zip(usable, finite, strict=True) if good]
            errors += [
                UnusableImage(image.key, image.path, "the encoder gave a zero or non-finite vector")
                for image, good in zip(usable, finite, strict=True)
                if not good
            ]
            errors += [image for image in images if isinstance(image, UnusableImage)]
            self.meter.images += len(images)
            if self.on_images is not None:
                self.on_images(len(images), self.meter)
        dim = next((part.shape[1] for part in vectors if len(part)), 0) or self.in_a_thread(lambda: self.encoder.dim)
        parts = [part for part in vectors if len(part)]
        with vectors_file.open("wb") as stream:
            np.save(stream, np.concatenate(parts or [np.empty((0, dim))]).astype(self.options.dtype))
        pq.write_table(error_table(errors), errors_file)
        pq.write_table(metadata_table(rows), metadata_file)

    def vectors(self, pixels: torch.Tensor) -> VectorArray:
        """float32 (n, dim) of images uint8 (n, crop, crop, 3) in host memory."""
        return _fetched(self._launch(pixels))

    def _launch(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Parts of the vectors of a batch, on the device, which may still be computing them.

        Bytes cross the bus, from pinned memory if `pixels` lies there, and become floats on the device. A batch that does not
        fit into memory is cut in halves, and so are all that follow.

        Raises:
            MinerError: a single image does not fit.
        """
        done: list[torch.Tensor] = []
        size = min(self.meter.smallest_batch or len(pixels), len(pixels))
        start = 0
        while start < len(pixels):
            try:
                batch = pixels[start : start + size].to(self.device, non_blocking=True)
                done.append(self._encode(batch))
                start += size
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                if size == 1:
                    raise MinerError(
                        f"One image does not fit into the memory of {self.device}. Use --device cpu."
                    ) from error
                size = self.meter.smallest_batch = size // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        return done

    def _encode(self, batch: torch.Tensor) -> torch.Tensor:
        """A compiled network takes one size, so what is smaller is filled up with black."""
        if not self.options.compile:
            return self.encoder.encode(batch, self.precision)
        missing = min(self.meter.smallest_batch or self.batch_size, self.batch_size) - len(batch)
        filled = torch.cat([batch, batch.new_zeros(max(missing, 0), *batch.shape[1:])])
        return self.encoder.encode(filled, self.precision)[: len(batch)]

    def _encoded(self, entries: Sequence[Entry]) -> Iterator[Encoded]:
        """Batches in order: what is known of each image, and the vectors of the usable ones."""
        batches = (entries[start : start + self.batch_size] for start in range(0, len(entries), self.batch_size))
        try:
            yield from self._by_each_thread(batches) if self.on_cpu else self._by_the_device(batches)
        finally:
            torch.set_num_threads(self.cores)

    def _by_each_thread(self, batches: Iterator[Sequence[Entry]]) -> Iterator[Encoded]:
        def work(entries: Sequence[Entry]) -> tuple[Encoded, float, float]:
            started = time.perf_counter()
            pixels = self._staging(len(entries))
            images = [self._decode(pixels[row], entry) for row, entry in enumerate(entries)]
            decoded = time.perf_counter()
            vectors = self.vectors(_usable(pixels, images))
            return (images, vectors), decoded - started, time.perf_counter() - decoded

        running: deque[Future[tuple[Encoded, float, float]]] = deque()
        try:
            for entries in batches:
                running.append(self.pool.submit(work, entries))
                if len(running) > self.lookahead:
                    yield self._metered(*running.popleft().result())
            while running:
                yield self._metered(*running.popleft().result())
        finally:
            for future in running:
                future.cancel()

    def _by_the_device(self, batches: Iterator[Sequence[Entry]]) -> Iterator[Encoded]:
        """The next batch is on its way before the vectors of the last are waited for."""
        launched: tuple[list[Decoded], list[torch.Tensor]] | None = None
        for images, pixels, waited_s in self._decoded(batches):
            started = time.perf_counter()
            following = (images, self._launch(_usable(pixels, images)))
            before = (launched[0], _fetched(launched[1])) if launched else None
            launched = following
            spent_s = time.perf_counter() - started
            if before:
                yield self._metered(before, waited_s, spent_s)
            else:
                self._metered(following, waited_s, spent_s)
        if launched:
            yield launched[0], _fetched(launched[1])

    def _decoded(self, batches: Iterator[Sequence[Entry]]) -> Iterator[tuple[list[Decoded], torch.Tensor, float]]:
        """Batches in order and how long each was waited for, with a few being decoded ahead."""
        waiting: deque[tuple[torch.Tensor, list[Future[Decoded]]]] = deque()

        def next_one() -> tuple[list[Decoded], torch.Tensor, float]:
            started = time.perf_counter()
            pixels, futures = waiting.popleft()
            return [future.result() for future in futures], pixels, time.perf_counter() - started

        for entries in batches:
            pixels = self._staging(len(entries))
            waiting.append(
                (pixels, [self.pool.submit(self._decode, *item) for item in zip(pixels, entries, strict=True)])
            )
            if len(waiting) > self.lookahead:
                yield next_one()
        while waiting:
            yield next_one()

    def _staging(self, count: int) -> torch.Tensor:
        """Host memory for a batch, which a GPU can read by itself while the processor goes on."""
        side = self.encoder.preprocess.crop
        return torch.empty(count, side, side, 3, dtype=torch.uint8, pin_memory=self.device.type == "cuda")

    def _decode(self, pixels: torch.Tensor, entry: Entry) -> Decoded:
        assert self.source is not None
        # bfloat16 changes vectors more than the faster resize does; fp32 is to agree with the reference.
        fast = self.precision == torch.bfloat16
        return decode_into(pixels.numpy(), self.source, entry, self.encoder.preprocess, self.options.draft, fast)

    def _metered(self, result: T, waited_s: float, encoding_s: float) -> T:
        self.meter.waiting_s += waited_s
        self.meter.encoding_s += encoding_s
        return result


def _usable(pixels: torch.Tensor, images: Sequence[Decoded]) -> torch.Tensor:
    good = [row for row, image in enumerate(images) if isinstance(image, EmbeddedImage)]
    return pixels if len(good) == len(images) else pixels[good]


def _fetched(parts: Sequence[torch.Tensor]) -> VectorArray:
    vectors = [part.cpu().numpy() for part in parts]
    return np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)


def _out_of_memory(error: Exception) -> bool:
    """Whether it says so; torch has no class of its own for the memory of the host."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


_workers: dict[str, Worker] = {}


def worker_of(options: EmbedOptions, source: Source | None = None) -> Worker:
    """This process's worker for these options; the network is loaded once. A source that is given starts a new run."""
    key = options.model_dump_json(exclude={"batch_size"})
    if key not in _workers:
        for old in _workers.values():
            old.pool.shutdown(wait=False)
        _workers.clear()
        _workers[key] = Worker(options, source)
    worker = _workers[key]
    if source is not None:
        worker.source, worker.meter = source, Meter()
    worker.batch_size = options.batch_size or default_batch_size(worker.device)
    return worker


def encode_block(options: EmbedOptions, entries: Sequence[Entry], *files: Path) -> None:
    """The work of a unit, wherever it runs; see `Worker.encode_block`."""
    worker_of(options).encode_block(entries, *files)
