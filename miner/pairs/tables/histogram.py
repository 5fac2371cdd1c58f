"""The histogram of the similarities of all pairs, estimated from some anchors against all images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from miner.artifacts.embeddings.vectors import Vectors, blocks
from miner.artifacts.pairs.band import Band
from miner.engine import Progress
from miner.pairs.arithmetic.cosine import unit_rows
from miner.pairs.arithmetic.threads import Threads

BINS = 2000
_ANCHORS = 4096
_STEP_ROWS = 1024


@dataclass(frozen=True)
class SimilarityHistogram:
    """Counts of similarities in `BINS` equal bins over [-1, 1].

    Attributes:
        counts: the counts of sampled pairs, int64 (BINS,).
        same_label: counts of the sampled pairs whose labels agree; None without labels.
        scale: pairs of the data set per sampled pair.
    """

    counts: NDArray[np.int64]
    same_label: NDArray[np.int64] | None
    scale: float

    def band_of(self, pairs: float, high: float) -> Band | None:
        """The narrowest band below `high` that holds about so many pairs; None if no band does."""
        above = np.cumsum(self.counts[::-1])[::-1] * self.scale  # pairs at or above the lower edge of each bin
        top = min(bin_of(high), BINS - 1)
        enough = np.flatnonzero(above[:top] - above[top] >= pairs)
        return Band(edge(int(enough[-1])), high) if len(enough) else None

    def pairs_in(self, band: Band) -> float:
        """Estimated number of pairs in a band, to the width of a bin."""
        return float(self.counts[_bins_in(band)].sum() * self.scale)

    def precision_in(self, band: Band) -> float | None:
        """Share of the sampled pairs in a band whose labels agree; None without labels or pairs."""
        pairs = int(self.counts[_bins_in(band)].sum())
        return None if self.same_label is None or not pairs else float(self.same_label[_bins_in(band)].sum() / pairs)

    def highest(self) -> float:
        """The upper edge of the highest bin that holds a pair."""
        return edge(int(np.flatnonzero(self.counts)[-1]) + 1)

    def record(self) -> dict[str, Any]:
        """The histogram as JSON values, in 200 bins."""
        same = {} if self.same_label is None else {"same_label": _coarse(self.same_label)}
        return {"low": -1.0, "high": 1.0, "counts": _coarse(self.counts), "pairs_per_count": self.scale, **same}


def sample_histogram(
    vectors: Vectors, labels: NDArray[np.int64] | None, seed: int, anchors: int = _ANCHORS
) -> SimilarityHistogram:
    """Similarities of random anchors to all other images; exact if there are at most `anchors` images.

    Args:
        vectors: the vectors as stored, (n, d).
        labels: int64 (n,), -1 where unknown, or None.
    """
    images = len(vectors)
    chosen = np.sort(np.random.default_rng(seed).permutation(images)[:anchors])
    anchor_units = torch.from_numpy(unit_rows(vectors.take(chosen)))
    counts = np.zeros(BINS, np.int64)
    same = np.zeros(BINS, np.int64) if labels is not None else None

    def bins_of(block: tuple[int, int]) -> NDArray[np.int64]:
        rows = torch.from_numpy(vectors.read(*block)).float()
        bins: NDArray[np.int64] = bin_of(((anchor_units @ rows.T) / rows.norm(dim=1)).numpy())
        bins[chosen[:, None] == np.arange(*block)] = BINS  # the image itself
        return bins

    parts = blocks(images, _STEP_ROWS)
    with Progress("similarities", images, "rows") as progress:
        for block, bins in zip(parts, Threads().map(bins_of, parts), strict=True):
            counts += np.bincount(bins.ravel(), minlength=BINS + 1)[:BINS]
            if same is not None and labels is not None:
                agree = (labels[chosen, None] == labels[slice(*block)]) & (labels[chosen, None] >= 0)
                same += np.bincount(bins[agree], minlength=BINS + 1)[:BINS]
            progress.advance(block[1] - block[0])
    # A pair of two anchors is counted twice, a pair of an anchor and another image once: n/2 pairs per anchor on average.
    return SimilarityHistogram(counts, same, scale=images / 2 / len(chosen))


def bin_of(similarity: Any) -> Any:
    """Bin numbers of similarities."""
    return np.clip(((np.asarray(similarity) + 1) * (BINS / 2) + 1e-6).astype(np.int64), 0, BINS - 1)


def _bins_in(band: Band) -> slice:
    return slice(int(bin_of(band.low)), int(bin_of(band.high)))


def edge(number: int) -> float:
    """Lower edge of a bin."""
    return round(number / (BINS / 2) - 1, 6)


def _coarse(counts: NDArray[np.int64]) -> list[int]:
    return [int(value) for value in counts.reshape(200, -1).sum(axis=1)]
