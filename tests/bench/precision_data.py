"""What `precision.py` measures on: vectors of several encoders, all pairs just below the duplicate ceiling, strong views."""

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import torch
from estimators import Rows, Slices, Units
from PIL import Image
from torch import nn

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.embeddings.vectors import MemoryVectors
from miner.artifacts.workspace import Workspace
from miner.embed.encoders import Encoder, load_encoder
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.images.augment.settings import AUGMENTATIONS
from miner.images.augment.views import Augmentation
from miner.images.decode import decode_image
from miner.images.preprocess import Preprocess
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.band_join import BandJoin
from miner.pairs.calibration.self_similarity import self_similarity
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.tables.histogram import SimilarityHistogram, sample_histogram
from miner.source import open_source

CPU = torch.device("cpu")
BATCH = 64
SELF_IMAGES = 256
PER_IMAGE = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)  # slices: so many pairs per image, from the most similar below the ceiling
VIEWED_PAIRS = 60  # per slice, whose images are encoded again as strong augmentations


class Pixels(nn.Module):
    """The pixels of a small picture less its own mean: cosine is then normalised cross-correlation."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - images.mean((2, 3), keepdim=True)).flatten(1)


class RandomResnet(nn.Module):
    """ResNet-18 as it is initialised, seed 0, without the classifier."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18

        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = resnet18(weights=None)
        self.network.fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)


_UNTRAINED = {"pixels": (Pixels, 16), "random_resnet18": (RandomResnet, 64)}


@dataclass
class Case:
    """One encoder on one set of images.

    Attributes:
        name: SET-ENCODER.
        units: unit rows, (n, d).
        labels: int64 (n,); only ever compared with.
        ceiling: the duplicate ceiling of `miner calibrate`.
        histogram: of all pairs.
        similarity: of `pairs`, descending.
        pairs: the 10 n most similar pairs below the ceiling.
        viewed: one strong view per image in `rows` (unit rows), and some pairs of each slice among those.
    """

    name: str
    units: Units
    labels: Rows
    ceiling: float
    histogram: SimilarityHistogram
    similarity: np.ndarray
    pairs: tuple[Rows, Rows]
    viewed: tuple[np.ndarray, Rows, Slices]

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        steps = [round(per_image * len(self.units)) for per_image in PER_IMAGE]
        return list(pairwise(steps))

    @property
    def slices(self) -> Slices:
        a, b = self.pairs
        return [(a[start:stop], b[start:stop]) for start, stop in self.bounds]

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """Lowest and highest similarity of each slice."""
        return [(self.similarity[stop - 1], self.similarity[start]) for start, stop in self.bounds]


def load_case(source: str, name: str, limit: int, cache: Path) -> Case:
    """Encode, find the ceiling, join, and encode strong views; what `cache` holds is not done again."""
    title = f"{short(source)}-{short(name)}"
    ready = cache / title / "case.pickle"
    if not ready.exists():
        case = _measured(source, name, limit, cache, title)
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.write_bytes(pickle.dumps(case))
    return pickle.loads(ready.read_bytes())


def _measured(source: str, name: str, limit: int, cache: Path, title: str) -> Case:
    encoder, precision = _encoder(name), torch.float32 if name in _UNTRAINED else torch.bfloat16
    vectors, labels = _vectors(source, name, encoder, limit, cache / title)
    units, stored = unit_rows(vectors), MemoryVectors(vectors)
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(units))[:SELF_IMAGES])
    ceiling = round(float(np.median(self_similarity(encoder, _images(source, some), rng, precision=precision))), 3)
    histogram = sample_histogram(stored, None, seed=0, anchors=len(units))
    band = histogram.band_of(PER_IMAGE[-1] * len(units), ceiling)
    assert band is not None
    with tempfile.TemporaryDirectory() as folder:
        found = BandJoin(lambda: ExactEngine(stored, band.low), stored, band, 10**8).run(Path(folder))
    a, b, similarity = found.a, found.b, found.similarity
    below = np.flatnonzero(similarity <= ceiling)
    order = below[np.argsort(-similarity[below], kind="stable")][: round(PER_IMAGE[-1] * len(units))]
    case = Case(
        title, units, labels, ceiling, histogram, similarity[order], (a[order], b[order]), (units[:0], order[:0], [])
    )
    return replace(case, viewed=_viewed(case, source, encoder, precision))


def nearest(units: Units, k: int) -> Rows:
    """Row numbers of the k most similar other images, (n, k)."""
    import faiss

    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    similarity, ids = index.search(units, k + 1)
    similarity[ids == np.arange(len(units))[:, None]] = -2  # the image itself, wherever it stands among its equals
    return np.asarray(np.take_along_axis(ids, np.argsort(-similarity, axis=1, kind="stable")[:, :k], axis=1))


def short(name: str) -> str:
    return name.removeprefix("run:").rpartition("/")[2].replace("efficientnet_", "")


def _encoder(name: str) -> Encoder:
    if name not in _UNTRAINED:
        return load_encoder(name, CPU)
    network, side = _UNTRAINED[name]
    steps = Preprocess(side, side, "bilinear", (0.5,) * 3, (0.25,) * 3, mode="square")
    return Encoder(name, network().eval().requires_grad_(False), steps, licence="none", labels_seen="none")


def _vectors(source: str, name: str, encoder: Encoder, limit: int, folder: Path) -> tuple[np.ndarray, Rows]:
    if name not in _UNTRAINED:
        workspace = Workspace(folder)
        if not (workspace.embeddings / "manifest.json").exists():
            embed(EmbedOptions(source=source, encoder=name, limit=limit, device="cpu"), workspace)
        store = EmbeddingStore(workspace)
        assert store.labels is not None
        return store.vectors[:limit], store.labels[:limit]
    entries = open_source(source).entries[:limit]
    labels = np.array([entry.label for entry in entries], np.int64)
    images, vectors = _images(source, np.arange(len(entries))), []
    for _ in range(0, len(entries), BATCH):
        batch = [encoder.preprocess.pixels(image) for image in islice(images, BATCH)]
        vectors.append(encoder.encode(torch.from_numpy(np.stack(batch)), torch.float32).numpy())
    return np.concatenate(vectors), labels


def _images(source: str, rows: np.ndarray) -> Iterator[Image.Image]:
    opened = open_source(source)
    return (decode_image(opened.read(opened.entries[row])) for row in rows)


def _viewed(case: Case, source: str, encoder: Encoder, precision: torch.dtype) -> tuple[np.ndarray, Rows, Slices]:
    rng = np.random.default_rng(1)
    chosen = [rng.permutation(len(a))[:VIEWED_PAIRS] for a, _ in case.slices]
    slices = [(a[some], b[some]) for (a, b), some in zip(case.slices, chosen, strict=True)]
    rows = np.unique(np.concatenate([side for pair in slices for side in pair]))
    steps, draw, views = encoder.preprocess, torch.Generator().manual_seed(0), []
    augmentation = Augmentation(steps.crop, steps.mean, steps.std, AUGMENTATIONS["moco"])
    pixels = [steps.pixels(image) for image in _images(source, rows)]
    for start in range(0, len(rows), BATCH):
        batch = torch.from_numpy(np.stack(pixels[start : start + BATCH])).permute(0, 3, 1, 2).contiguous()
        augmented = augmentation(batch, draw)
        with torch.inference_mode(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
            views.append(encoder.network(augmented).flatten(1).float())
    return torch.nn.functional.normalize(torch.cat(views)).numpy(), rows, slices
