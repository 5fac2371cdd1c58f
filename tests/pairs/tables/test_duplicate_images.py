"""Which image of a group of near-identical images is kept, and what the table says about the others."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from miner.artifacts.embeddings.images import METADATA_SCHEMA
from miner.artifacts.embeddings.store import EmbeddingStore, metadata_path
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.pairs.tables.duplicate_images import write_duplicate_images
from miner.pairs.tables.found import FoundPairs
from miner.source import open_source
from tests.pairs.vectors import fan

CHAIN = fan(0, 5, 10, 60, 63, 90)  # with --max 0.99: 0, 1, 2 in a chain; 3 and 4; 5 alone
BAND = {"min": 0.5, "max": 0.99}


def listed(workspace: Workspace) -> list[tuple[int, int, str, str]]:
    table = pq.read_table(workspace.pairs / "duplicate_images.parquet").to_pylist()
    assert all(image["key"] == f"k{image['row']:05d}" for image in table)
    return [(image["row"], image["group"], image["kept"], image["reason"]) for image in table]


def set_sizes(workspace: Workspace, sizes: list[int]) -> None:
    path = metadata_path(workspace.embeddings, 0)
    table = pq.read_table(path)
    column = METADATA_SCHEMA.names.index("width")
    pq.write_table(table.set_column(column, METADATA_SCHEMA.field("width"), pa.array(sizes, pa.int32())), path)


def test_first_image_of_a_chain_is_kept(make_embeddings) -> None:
    workspace = make_embeddings(CHAIN, hashes=["x", "x", "a", "b", "c", "d"])
    result = pairs(PairsOptions(**BAND, keep="first"), workspace)
    assert listed(workspace) == [
        (1, 0, "k00000", "same file"),
        (2, 0, "k00000", "through others"),
        (4, 1, "k00003", "near-identical"),
    ]
    assert result.record["duplicate_images"] == {"keep": "first", "groups": 2, "images": 3, "mixed": None}
    assert "2 groups of near-identical images: without the first of each, 3 images" in "\n".join(result.lines)


def test_largest_image_is_kept_by_default(make_embeddings) -> None:
    workspace = make_embeddings(CHAIN)
    set_sizes(workspace, [8, 9, 9, 8, 12, 8])
    pairs(PairsOptions(**BAND), workspace)
    assert [image[:3] for image in listed(workspace)] == [(0, 0, "k00001"), (2, 0, "k00001"), (3, 1, "k00004")]


def test_labelled_image_is_kept(make_embeddings) -> None:
    workspace = make_embeddings(CHAIN, labels=[None, None, 1, 0, 1, 1])
    result = pairs(PairsOptions(**BAND, keep="labelled"), workspace)
    assert [image[:3] for image in listed(workspace)] == [(0, 0, "k00002"), (1, 0, "k00002"), (4, 1, "k00003")]
    assert result.record["duplicate_images"]["mixed"] == 1


def test_another_keep_is_another_request(make_embeddings) -> None:
    workspace = make_embeddings(CHAIN)
    pairs(PairsOptions(**BAND), workspace)
    assert not pairs(PairsOptions(**BAND, keep="largest"), workspace).fresh
    with pytest.raises(MinerError, match="--keep was not given and is now first"):
        pairs(PairsOptions(**BAND, keep="first"), workspace)


@pytest.fixture
def scenes(tmp_path) -> Workspace:
    """Two photographs as they are, blurred, and half as large."""
    sample = open_source("sample")
    (tmp_path / "scenes").mkdir()
    for scene, number in enumerate((0, 40)):
        image = Image.open(io.BytesIO(sample.read(sample.entries[number]))).convert("RGB")
        versions = [image.filter(ImageFilter.GaussianBlur(2)), image, image.resize((14, 14))]
        for version, picture in enumerate(versions):
            picture.save(tmp_path / "scenes" / f"{scene}{version}.png")
    workspace = Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(tmp_path / "scenes")), workspace)
    return workspace


def test_sharpest_image_is_kept(scenes) -> None:
    one, other = [0, 1, 3, 4], [1, 2, 4, 5]
    found = FoundPairs(np.array(one), np.array(other), np.ones(4))
    path = scenes.root / "listed.parquet"
    write_duplicate_images(path, found, EmbeddingStore(scenes), "sharpest", np.arange(6))
    assert pq.read_table(path)["row"].to_pylist() == [0, 2, 3, 5]
    (scenes.root.parent / "scenes" / "12.png").unlink()
    with pytest.raises(MinerError, match=r"--keep sharpest: the image 12.png of .* is gone"):
        write_duplicate_images(path, found, EmbeddingStore(scenes), "sharpest", np.arange(6))


@pytest.fixture(scope="module")
def thirty(tmp_path_factory) -> EmbeddingStore:
    """A store of 30 images without pixels."""
    from tests.pairs.conftest import make_embeddings

    make = make_embeddings.__wrapped__(tmp_path_factory.mktemp("thirty"))
    return EmbeddingStore(make(np.eye(30, dtype=np.float32)))


@settings(max_examples=80, deadline=None)
@given(edges=st.sets(st.tuples(st.integers(0, 29), st.integers(0, 29)).filter(lambda edge: edge[0] < edge[1])))
def test_groups_equal_scipy_components(thirty, tmp_path_factory, edges) -> None:
    a, b = np.array(sorted(edges), np.int64).reshape(-1, 2).T
    path = tmp_path_factory.mktemp("t") / "listed.parquet"
    record = write_duplicate_images(path, FoundPairs(a, b, np.ones(len(a))), thirty, "first", np.arange(30))
    components = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(30, 30)), directed=False)[1]
    first = {}
    for row, component in enumerate(components.tolist()):
        first.setdefault(component, row)
    expected = {row: f"k{first[component]:05d}" for row, component in enumerate(components) if first[component] != row}
    table = pq.read_table(path)
    assert dict(zip(table["row"].to_pylist(), table["kept"].to_pylist(), strict=True)) == expected
    assert record["images"] == len(expected) and record["groups"] == len(set(table["kept"].to_pylist()))
