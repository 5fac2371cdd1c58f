"""New images: only they are searched, and every file has the bytes that mining all images at once gives."""

import json

import numpy as np
import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.engine import write_signed
from miner.errors import MinerError
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.engines.tile_search import TileSearch
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import contents


def options(**change) -> PairsOptions:
    return PairsOptions(**{"min": None if "rule" in change else 0.6, "max": 0.95, "append": True, **change})


def with_copies(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, 12))
    vectors = centres[rng.integers(0, 9, count)] + 0.4 * rng.normal(size=(count, 12))
    vectors[rng.integers(0, count, 6)] = vectors[0]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize(
    "change",
    [
        {"min": 0.6, "neighbors": 3, "mutual": True},
        {"min": 0.6, "top_k": 2},
        {"min": 0.6, "most_similar": 40},
        {"min": 0.6, "groups": True, "both_orders": True},
        {"min": 0.6, "engine": "faiss"},
        {"rule": "knn", "neighbors": 3, "both_orders": True},
        {"rule": "mutual", "neighbors": 5, "min": 0.6},
        {"rule": "local", "neighbors": 4, "most_similar": 40},
        {"rule": "shared", "neighbors": 9, "shared": 1, "top_k": 3},
    ],
)
def test_growth_ends_with_the_bytes_of_mining_at_once(make_embeddings, change) -> None:
    vectors, sizes = with_copies(150), [10, 90, 50]
    hashes = [f"{row if row % 9 else row // 18 * 18:064x}" for row in range(150)]  # old files are equal to new ones
    for count in range(1, len(sizes) + 1):
        grown = make_embeddings(
            vectors[: sum(sizes[:count])], hashes=hashes, blocks=sizes[:count], keep_pairs=count > 1, name="grown"
        )
        pairs(options(**change), grown, strip_rows=64)
    at_once = make_embeddings(vectors, hashes=hashes, blocks=sizes, name="at once")
    pairs(options(append=False, **change), at_once, strip_rows=64)
    assert contents(grown) == contents(at_once)
    assert PairsManifest.read(grown).pairs > 10


def test_only_new_images_are_searched(make_embeddings, monkeypatch) -> None:
    vectors = with_copies(300)
    pairs(options(), make_embeddings(vectors[:200], blocks=[200]))
    searched = []
    whole = ExactEngine.candidates
    monkeypatch.setattr(ExactEngine, "candidates", lambda self, *rest: (searched.append(rest), whole(self, *rest))[1])
    pairs(options(), make_embeddings(vectors, blocks=[200, 100], keep_pairs=True))
    assert {min_b for *_, min_b in searched} == {200}


def test_only_tiles_with_new_images_are_multiplied(make_embeddings, monkeypatch) -> None:
    vectors, multiplied = with_copies(300), []
    whole = TileSearch.reached
    monkeypatch.setattr(TileSearch, "reached", lambda self, tile: (multiplied.append(tile), whole(self, tile))[1])
    pairs(options(rule="mutual"), make_embeddings(vectors[:200], blocks=[200]))
    assert (
        sum(len(tile.rows) * (tile.right - tile.left) for tile in multiplied) == 2 * 200 * 200
    )  # duplicates and lists
    multiplied.clear()
    pairs(options(rule="mutual"), make_embeddings(vectors, blocks=[200, 100], keep_pairs=True))
    assert {tile.left for tile in multiplied} == {200}
    assert sum(len(tile.rows) * (tile.right - tile.left) for tile in multiplied) == 2 * 300 * 100


@pytest.mark.parametrize("rule", [{}, {"rule": "knn"}])
@pytest.mark.parametrize("place", ["artifacts.stage_folder.Stage.finish", "pairs.tables.write.write_rows"])
def test_killed_while_tables_are_written_and_continued(make_embeddings, monkeypatch, place: str, rule) -> None:
    """All tables have been replaced by then, or all but the one that holds pairs which the new ones have driven out."""
    vectors, most = with_copies(250, 3), {"most_similar": 40, **rule}
    pairs(options(**most), make_embeddings(vectors[:150], blocks=[150]))
    workspace = make_embeddings(vectors, blocks=[150, 100], keep_pairs=True)

    def die(*args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"miner.{place}", die)
    with pytest.raises(KeyboardInterrupt):
        pairs(options(**most), workspace)
    monkeypatch.undo()
    with pytest.raises(MinerError, match=r"floods|count as duplicates"):
        pairs(options(**most, max_pairs=10), workspace, strip_rows=7)  # searches anew
    with pytest.raises(MinerError, match="has not finished"):
        PairsManifest.read(workspace)
    pairs(options(**most, append=False), workspace)  # goes on, as every stage does
    at_once = make_embeddings(vectors, name="at once", blocks=[150, 100])
    pairs(options(**most, append=False), at_once)
    assert contents(workspace) == contents(at_once)


def test_flood_leaves_the_old_pairs(make_embeddings) -> None:
    vectors = with_copies(200)
    workspace = make_embeddings(vectors[:100], blocks=[100])
    pairs(options(), workspace)
    before = contents(workspace)
    workspace = make_embeddings(vectors, blocks=[100, 100], keep_pairs=True)
    with pytest.raises(MinerError, match="floods"):
        pairs(options(max_pairs=10), workspace)
    assert contents(workspace) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min": 0.5}, r"--min was 0\.6 and is now 0\.5"),
        ({"mutual": True}, "--mutual was not given and is now given"),
        ({"top_k": 3, "max": 0.9}, r"--max was 0\.95 and is now 0\.9, --top-k was not given and is now 3\. Give"),
    ],
)
def test_another_request_is_refused(make_embeddings, change, message) -> None:
    vectors = with_copies(100)
    pairs(options(), make_embeddings(vectors[:60], blocks=[60]))
    workspace = make_embeddings(vectors, blocks=[60, 40], keep_pairs=True)
    with pytest.raises(MinerError, match=message):
        pairs(options(**change), workspace)


def test_old_images_that_were_embedded_again_are_refused(make_embeddings) -> None:
    vectors = with_copies(100)
    pairs(options(), make_embeddings(vectors[:60], blocks=[60]))
    workspace = make_embeddings(-vectors, blocks=[60, 40], keep_pairs=True)
    with pytest.raises(MinerError, match="embedded again"):
        pairs(options(), workspace)


def test_without_old_pairs_everything_is_searched(make_embeddings) -> None:
    vectors = with_copies(80)
    workspace, whole = (make_embeddings(vectors, name=name) for name in ("a", "b"))
    pairs(options(), workspace)
    pairs(options(append=False), whole)
    assert contents(workspace) == contents(whole)


def test_sample_of_grown_images_is_refused() -> None:
    with pytest.raises(ValueError, match="--append continues with all images"):
        options(sample=0.5)


def test_growth_names_append(make_embeddings) -> None:
    vectors = with_copies(60)
    pairs(options(append=False), make_embeddings(vectors[:40], blocks=[40]))
    workspace = make_embeddings(vectors, blocks=[40, 20], keep_pairs=True)
    with pytest.raises(MinerError, match=r"the pairs of 40 images, and 20 more .*--append.*--force"):
        pairs(options(append=False), workspace)
    with pytest.raises(MinerError, match=r"belongs to other embeddings.*`miner pairs --append`"):
        PairsManifest.read(workspace, of=EmbeddingsManifest.read(workspace))
    # Where --append would be refused, the difference is named instead.
    for change in ({"min": 0.5}, {"sample": 0.5}, {"engine": "ivf"}):
        with pytest.raises(MinerError, match=r"was made by another request: .*the embeddings are others") as caught:
            pairs(options(append=False, **change), workspace)
        assert "--append" not in str(caught.value)
    other = make_embeddings(with_copies(60, 7), blocks=[40, 20], keep_pairs=True)
    with pytest.raises(MinerError, match="another request: the embeddings are others"):
        pairs(options(append=False), other)


def test_growth_without_a_given_ceiling_keeps_the_calibrated_one(make_embeddings) -> None:
    """No calibration of the grown images is needed, and none is made before a refusal."""
    vectors, default = with_copies(60), {"rule": "shared", "neighbors": 4, "shared": 1}
    pairs(options(**default, max=0.9), make_embeddings(vectors[:40], blocks=[40]))
    grown = make_embeddings(vectors, blocks=[40, 20], keep_pairs=True)
    with pytest.raises(MinerError, match=r"the pairs of 40 images, and 20 more .*--append"):
        pairs(options(**default, max=None, append=False), grown)
    made = pairs(options(**default, max=None), grown)
    assert made.record["request"]["band"] == {"min": -1.0, "max": 0.9}
    assert not grown.calibration.exists()


def test_lists_that_are_missing_or_damaged_are_refused(make_embeddings) -> None:
    vectors = with_copies(60)
    grown = make_embeddings(vectors[:40], blocks=[40])
    pairs(options(rule="mutual"), grown)
    np.save(grown.pairs / "lists.npy", np.zeros((40, 10), np.int64))
    grown = make_embeddings(vectors, blocks=[40, 20], keep_pairs=True)
    with pytest.raises(MinerError, match=r"lists\.npy is missing or damaged"):
        pairs(options(rule="mutual"), grown)
    path = grown.pairs / "manifest.json"
    record = json.loads(path.read_text())
    del record["files"]["lists.npy"]
    write_signed(path, record)
    with pytest.raises(MinerError, match=r"version .* did not keep\. Mine again with --force"):
        pairs(options(rule="mutual"), grown)
