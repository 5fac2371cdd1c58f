"""A worker of `miner embed`: it reads, decodes and encodes blocks of images, in this process or another."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from miner.artifacts.embeddings.images import EmbeddedImage, UnusableImage
from miner.embed.batch_size import default_batch_size, measured_rates
from miner.embed.compiling import compiled
from miner.embed.decoding import Decoded, decode_into
from miner.embed.encoders import Encoder, load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.parts import BlockParts, EncodedImages
from miner.embed.runtimes.networks import computed_by
from miner.engine import Record
from miner.engine.heap import keep_freed_memory
from miner.errors import MinerError
from miner.machine.device import resolve_precision, worker_device
from miner.machine.environment import processor_name
from miner.source import Entry, Source, open_source

_LOOKAHEAD_BATCHES = 3
_MOST_DECODERS, _MOST_THREADS = 8, 32
T = TypeVar("T")
VectorArray = NDArray[np.floating]
Encoded = tuple[list[Decoded], VectorArray]


@dataclass
class Meter:
    """How a worker spent its time.

    Attributes:
        images: read so far, usable or not.
        waiting_s: seconds that encoding waited for decoded images; on a CPU the seconds of decoding, of all threads together.
        encoding_s: seconds of encoding; on a CPU of all threads together.
        smallest_batch: size of the batches since memory ran out; None if it never did.
    """

    images: int = 0
    waiting_s: float = 0.0
    encoding_s: float = 0.0
    smallest_batch: int | None = None


@dataclass
class Worker:
    """A source, an encoder and a pool of threads in one process.

    On a CPU each thread decodes and encodes whole batches by itself. No thread waits for another one, and the vectors do not
    depend on the number of cores. For any other device the threads decode, and the calling thread feeds the device.

    Args:
        options: the options of the stage; its `source` must open in this process.
        source: an open source; None opens the one in `options`.
        on_images: is called with the number of images of each batch and the meter.
    """

    options: EmbedOptions
    source: Source | None = None
    meter: Meter = field(default_factory=Meter)
    on_images: Callable[[int, Meter], None] | None = None

    def __post_init__(self) -> None:
        options = self.options
        self.source = self.source or open_source(options.source or "", options.image_column, options.label_column)
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
        self.by_torch = self.in_a_thread(load_encoder, options.encoder, self.device, options.layer, options.pool)
        if options.compile:
            self.by_torch = self.in_a_thread(compiled, self.by_torch, self.batch_size, self.precision, self.device)
        self.runtimes: dict[str, tuple[Encoder, Record, torch.dtype]] = {
            "torch": (self.by_torch, {"name": "torch", "version": torch.__version__}, self.precision)
        }
        self.take("torch")

    @property
    def machine(self) -> str:
        """The name of the processor or of the GPU that encodes."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else processor_name()

    def take(self, runtime: str) -> None:
        """Encode by a runtime from now on: torch, onnxruntime or openvino.

        Raises:
            MinerError: the runtime cannot compute the encoder here.
        """
        if runtime not in self.runtimes:
            made = self.in_a_thread(computed_by, runtime, self.by_torch, self.workers)
            self.runtimes[runtime] = (*made, torch.float32)
        self.encoder, self.library, self.precision = self.runtimes[runtime]

    def in_a_thread(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in the thread that encodes. Some libraries set their number of threads at the first call."""
        if not self.on_cpu:
            return function(*arguments)
        try:
            return self.pool.submit(function, *arguments).result()
        finally:
            torch.set_num_threads(self.cores)  # new threads would get the number that the pool's threads have

    def rates_by_batch_size(self, sizes: Sequence[int] | None = None) -> dict[int, float]:
        """Images per second for these batch sizes, or for several. On a CPU all threads encode at once: they share caches."""
        batches = self.workers if self.on_cpu else 1
        encode = partial(self.encode_everywhere, self.encoder, self.precision)
        rates = measured_rates(encode, self.encoder.preprocess.crop, self.device, sizes)
        return {size: batches * rate for size, rate in rates.items()}

    def encode_everywhere(self, encoder: Encoder, precision: torch.dtype, pixels: torch.Tensor) -> None:
        """Encode images of the host's memory on the device; on a CPU as often as there are threads, at the same time."""

        def encode(pixels: torch.Tensor) -> None:
            encoder.encode(pixels.to(self.device), precision).cpu()

        try:
            list(self.pool.map(encode, [pixels] * (self.workers if self.on_cpu else 1)))
        finally:
            torch.set_num_threads(self.cores)

    def some_pixels(self, entries: Sequence[Entry]) -> torch.Tensor:
        """The usable ones of a few images, uint8 (n, crop, crop, 3)."""
        pixels = self._staging(len(entries))
        return _usable(pixels, [self._decode(pixels[row], entry) for row, entry in enumerate(entries)])

    def encode_block(self, entries: Sequence[Entry], parts: BlockParts, *files: Path) -> None:
        """Encode the images of a block that are in no part yet, and write the three files of the block."""
        try:
            for images, encoded in self._encoded(entries[len(parts.encoded) :]):
                parts.add(_sorted_out(images, encoded))
                self.meter.images += len(images)
                if self.on_images is not None:
                    self.on_images(len(images), self.meter)
        except BaseException:
            with suppress(Exception):  # such as a full disk, which may be the reason for the first error
                parts.save()
            raise
        dim = next((part.shape[1] for part in parts.encoded.vectors if len(part)), 0)
        parts.encoded.write(dim or self.in_a_thread(lambda: self.encoder.dim), self.options.dtype, *files)

    def vectors(self, pixels: torch.Tensor) -> VectorArray:
        """Unit vectors float32 (n, dim) of images uint8 (n, crop, crop, 3) in host memory."""
        return _fetched(self._launch(pixels))

    def _launch(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Parts of the vectors of a batch, on the device. The device may still be computing them.

        Pixels are copied as bytes and become floats on the device. If a batch does not fit into memory, this batch and all
        later ones are cut in halves.

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
        """Unit vectors of a batch. A compiled network takes one size, so a smaller batch is filled up with black images."""
        if not self.options.compile:
            return self.encoder.encode(batch, self.precision)
        missing = min(self.meter.smallest_batch or self.batch_size, self.batch_size) - len(batch)
        filled = torch.cat([batch, batch.new_zeros(max(missing, 0), *batch.shape[1:])])
        return self.encoder.encode(filled, self.precision)[: len(batch)]

    def _encoded(self, entries: Sequence[Entry]) -> Iterator[Encoded]:
        """Batches in order: the row of each image, and the vectors of the usable images."""
        batches = (entries[start : start + self.batch_size] for start in range(0, len(entries), self.batch_size))
        try:
            yield from self._by_each_thread(batches) if self.on_cpu else self._by_the_device(batches)
        finally:
            torch.set_num_threads(self.cores)

    def _by_each_thread(self, batches: Iterator[Sequence[Entry]]) -> Iterator[Encoded]:
        """Every thread of the pool decodes and encodes a batch; see the class."""

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
        """The threads decode. The next batch is sent to the device before the vectors of the last batch are fetched."""
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
        """Batches in order, and the seconds that each was waited for. A few batches are decoded ahead."""
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
        """Host memory for a batch; pinned for a GPU, which then copies it while the processor continues."""
        side = self.encoder.preprocess.crop
        return torch.empty(count, side, side, 3, dtype=torch.uint8, pin_memory=self.device.type == "cuda")

    def _decode(self, pixels: torch.Tensor, entry: Entry) -> Decoded:
        assert self.source is not None
        # bfloat16 changes the vectors more than the faster resize does. fp32 must agree with the reference.
        fast = self.precision == torch.bfloat16
        return decode_into(pixels.numpy(), self.source, entry, self.encoder.preprocess, self.options.draft, fast)

    def _metered(self, result: T, waited_s: float, encoding_s: float) -> T:
        self.meter.waiting_s += waited_s
        self.meter.encoding_s += encoding_s
        return result


def _sorted_out(images: Sequence[Decoded], encoded: VectorArray) -> EncodedImages:
    """A batch without the images whose vectors are not finite."""
    finite = np.asarray(np.isfinite(encoded).all(axis=1))
    usable = [image for image in images if isinstance(image, EmbeddedImage)]
    errors = [
        UnusableImage(image.key, image.path, "the encoder gave a zero or non-finite vector")
        for image, good in zip(usable, finite, strict=True)
        if not good
    ]
    errors += [image for image in images if isinstance(image, UnusableImage)]
    rows = [image for image, good in zip(usable, finite, strict=True) if good]
    return EncodedImages(rows, errors, [encoded[finite]])


def _usable(pixels: torch.Tensor, images: Sequence[Decoded]) -> torch.Tensor:
    good = [row for row, image in enumerate(images) if isinstance(image, EmbeddedImage)]
    return pixels if len(good) == len(images) else pixels[good]


def _fetched(parts: Sequence[torch.Tensor]) -> VectorArray:
    vectors = [part.cpu().numpy() for part in parts]
    return np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. torch has no exception of its own for the memory of the host."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


_workers: dict[str, Worker] = {}


def worker_of(options: EmbedOptions, source: Source | None = None) -> Worker:
    """The worker of this process for these options; its encoder is loaded once. Giving a source starts a new run."""
    key = repr(options.model_copy(update={"batch_size": None, "runtime": "auto"}))
    if key not in _workers:
        for old in _workers.values():
            old.pool.shutdown(wait=False)
        _workers.clear()
        _workers[key] = Worker(options, source)
    worker = _workers[key]
    if source is not None:
        worker.source, worker.meter = source, Meter()
    worker.batch_size = options.batch_size or default_batch_size(worker.device)
    try:
        worker.take("torch" if options.runtime == "auto" else options.runtime)
    except MinerError as error:
        raise MinerError(
            f"{options.runtime} was chosen for these vectors and must go on with them: {str(error).rstrip('.')}. Vectors by "
            "torch differ slightly; `--force --runtime torch` encodes all images by it."
        ) from error
    return worker


def encode_block(options: EmbedOptions, entries: Sequence[Entry], folder: Path, block: int, *files: Path) -> None:
    """The work of a unit, in this process or another: a block of `entries` in a folder of embeddings; see `Worker.encode_block`."""
    worker_of(options).encode_block(entries, BlockParts(folder, block, options.dtype), *files)
