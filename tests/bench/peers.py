"""Ways to find all pairs at or above a cosine: ours, and what people use instead.

Each takes the folder of stored vectors and ends with a Parquet table of a, b and similarity. All of them pay for reading,
normalising and writing; importing is left out of all.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

Method = Callable[[Path, float, Path], None]

NEIGHBOURS = 64


def ours(workspace: Path, low: float, result: Path) -> None:
    from miner.artifacts.embeddings.store import EmbeddingStore
    from miner.artifacts.pairs.band import Band
    from miner.artifacts.workspace import Workspace
    from miner.pairs.band_join import BandJoin
    from miner.pairs.engines.exact_cpu import ExactEngine

    vectors = EmbeddingStore(Workspace(workspace)).stored.mapped()
    with tempfile.TemporaryDirectory() as parts:
        found = BandJoin(lambda: ExactEngine(vectors, low), vectors, Band(low, 1.0), 10**8).run(Path(parts))
    write(result, found.a, found.b, found.similarity.astype(np.float32))


def our_stage(workspace: Path, low: float, result: Path) -> None:
    """All of `miner pairs`: also metadata, duplicates, keys, labels, statistics and the histogram."""
    from miner.artifacts.workspace import Workspace
    from miner.pairs.options import PairsOptions
    from miner.pairs.run import pairs

    root = result.with_suffix("")
    root.mkdir()
    (root / "embeddings").symlink_to((workspace / "embeddings").resolve())
    pairs(PairsOptions(min=low, max=1.0), Workspace(root))
    tables = [pq.read_table(root / "pairs" / name) for name in ("pairs.parquet", "duplicates.parquet")]
    pq.write_table(pa.concat_tables(tables).select(["a", "b", "similarity"]), result)


def faiss_range_search(workspace: Path, low: float, result: Path) -> None:
    """As FAISS documents it: one range search of all vectors, then a < b."""
    import faiss

    units = unit_vectors(workspace)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    limits, similarity, neighbours = index.range_search(units, low)
    a = np.repeat(np.arange(len(units)), np.diff(limits.astype(np.int64)))
    keep = neighbours > a
    write(result, a[keep], neighbours[keep], similarity[keep])


def faiss_neighbours(workspace: Path, low: float, result: Path) -> None:
    """The k nearest of each, then the threshold: what most pipelines do. Pairs beyond k are lost."""
    import faiss

    units = unit_vectors(workspace)
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    similarity, neighbours = index.search(units, NEIGHBOURS + 1)
    rows, places = np.nonzero(similarity >= low)
    other = neighbours[rows, places]
    a, b = np.minimum(rows, other), np.maximum(rows, other)
    keep = a < b
    ends, first = np.unique(np.stack([a[keep], b[keep]], axis=1), axis=0, return_index=True)
    write(result, ends[:, 0], ends[:, 1], similarity[rows, places][keep][first])


def torch_tiles(workspace: Path, low: float, result: Path, tile: int = 2048) -> None:
    """Plain float32 products, tile by tile above the diagonal."""
    units = torch.from_numpy(unit_vectors(workspace))
    found = []
    for top in range(0, len(units), tile):
        for left in range(top, len(units), tile):
            scores = units[top : top + tile] @ units[left : left + tile].T
            rows, columns = (scores >= low).nonzero(as_tuple=True)
            keep = columns + left > rows + top
            rows, columns = rows[keep], columns[keep]
            found.append((rows + top, columns + left, scores[rows, columns]))
    a, b, similarity = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
    write(result, a, b, similarity)


def sklearn_radius_neighbours(workspace: Path, low: float, result: Path) -> None:
    from sklearn.neighbors import NearestNeighbors

    units = unit_vectors(workspace)
    # |x - y|**2 = 2 - 2 cos for unit rows.
    radius = float(np.sqrt(2 - 2 * low))
    graph = NearestNeighbors(radius=radius, algorithm="brute", n_jobs=torch.get_num_threads()).fit(units)
    ends = graph.radius_neighbors_graph(units, mode="distance").tocoo()
    keep = ends.row < ends.col
    write(result, ends.row[keep], ends.col[keep], (1 - ends.data[keep] ** 2 / 2).astype(np.float32))


def sentence_transformers(workspace: Path, low: float, result: Path) -> None:
    """`paraphrase_mining_embeddings` has no threshold: it is asked for more pairs than there are, k of each at most."""
    from sentence_transformers.util import paraphrase_mining_embeddings

    units = torch.from_numpy(unit_vectors(workspace))
    mined = paraphrase_mining_embeddings(units, max_pairs=20_000_000, top_k=NEIGHBOURS)
    kept = sorted((min(a, b), max(a, b), score) for score, a, b in mined if score >= low)
    a, b, similarity = (np.asarray(column) for column in zip(*kept, strict=True))
    write(result, a, b, similarity)


METHODS: dict[str, Method] = {
    "miner, the join": ours,
    "miner pairs, the whole stage": our_stage,
    "faiss range_search": faiss_range_search,
    f"faiss {NEIGHBOURS} neighbours": faiss_neighbours,
    "torch tiles": torch_tiles,
    "scikit-learn radius_neighbors": sklearn_radius_neighbours,
    "sentence-transformers paraphrase_mining": sentence_transformers,
}


def unit_vectors(workspace: Path) -> np.ndarray:
    """As a user of FAISS reads them: float32 (n, d), normalised by FAISS."""
    import faiss

    files = sorted((workspace / "embeddings" / "img_emb").glob("*.npy"))
    units = np.concatenate([np.load(path) for path in files]).astype(np.float32)
    faiss.normalize_L2(units)
    return units


def write(path: Path, a: np.ndarray, b: np.ndarray, similarity: np.ndarray) -> None:
    columns = {"a": a.astype(np.int64), "b": b.astype(np.int64), "similarity": similarity}
    pq.write_table(pa.table(columns), path)
