"""`miner pairs --against`: the table against brute force, the other set in its forms, kills, and what is refused."""

import json
import pickle
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from miner.artifacts.pairs.against import AgainstManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import Unit, write_signed
from miner.errors import MinerError, UsageError
from miner.pairs.engines.exact_cpu import ExactEngine
from miner.pairs.neighbours.search import CandidateSearch
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.embed.small_encoder import small_encoder
from tests.leaks.pictures import as_jpeg, picture, write_pictures
from tests.pairs.vectors import brute_force, clustered

VECTORS = clustered(300, 24).astype(np.float16)
BAND = {"min": 0.6, "max": 0.95}


def options(other: Workspace | Path, **change) -> PairsOptions:
    path = other.root if isinstance(other, Workspace) else other
    return PairsOptions.parse({"against": str(path), **(change or BAND)})


def contents(workspace: Workspace, name: str = "b") -> dict[str, bytes]:
    folder = workspace.against(name)
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def sets(make_embeddings) -> tuple[Workspace, Workspace]:
    """90 images, and 210 others."""
    labels = [row % 3 for row in range(300)]
    here = make_embeddings(VECTORS[:90], labels[:90], "a", blocks=2)
    return here, make_embeddings(VECTORS[90:], labels[90:], "b", blocks=3)


@pytest.mark.parametrize("swapped", [False, True])
def test_band_between_two_workspaces_equals_brute_force(sets, swapped) -> None:
    here, there = sets[::-1] if swapped else sets
    result = pairs(options(there), here, strip_rows=32)
    table = pq.read_table(here.against(there.root.name) / "matches.parquet")
    cosines = brute_force(VECTORS)[:90, 90:]
    cosines = cosines.T if swapped else cosines
    a, b = np.nonzero((cosines >= 0.6) & (cosines <= 0.95))
    assert len(a) > 100
    np.testing.assert_array_equal(table["a"], a)
    np.testing.assert_array_equal(table["b"], b)
    np.testing.assert_array_equal(table["similarity"], cosines[a, b].astype(np.float32))
    first = 90 if swapped else 0
    assert table["key_a"].to_pylist() == [f"k{row:05d}" for row in a]
    assert table["key_b"].to_pylist() == [f"k{row:05d}" for row in b]
    assert table["label_a"].to_pylist() == [(row + first) % 3 for row in a.tolist()]
    assert table["label_b"].to_pylist() == [(row + 90 - first) % 3 for row in b.tolist()]
    assert result.record["pairs"] == len(a) and not pairs(options(there), here).fresh
    made = AgainstManifest.of(result.record, here.root)
    assert (made.here.images_in_pairs, made.there.images_in_pairs) == (len(set(a.tolist())), len(set(b.tolist())))


@pytest.mark.parametrize("swapped", [False, True])
def test_nearest_there_of_each_image_here(sets, swapped) -> None:
    here, there = sets[::-1] if swapped else sets
    pairs(options(there, neighbors=4), here, strip_rows=32)
    table = pq.read_table(here.against(there.root.name) / "matches.parquet")
    cosines = brute_force(VECTORS)[:90, 90:]
    cosines = cosines.T if swapped else cosines
    wanted = np.argsort(-cosines, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(table["a"], np.repeat(np.arange(len(cosines)), 4))
    np.testing.assert_array_equal(table["b"], np.sort(wanted, axis=1).ravel())
    a, b, rank = (table[name].to_numpy() for name in ("a", "b", "rank"))
    np.testing.assert_array_equal(wanted[a, rank - 1], b)
    np.testing.assert_array_equal(table["similarity"], cosines[a, b].astype(np.float32))
    pairs(options(there, neighbors=4, min=0.7, max=0.9), here, force=True)
    rows = pq.read_table(here.against(there.root.name) / "matches.parquet").to_pylist()
    cosines[cosines > 0.9] = -np.inf
    best = np.sort(cosines, axis=1)[:, -4:]
    assert len(rows) == (best >= 0.7).sum() > 20
    assert all(0.7 <= row["similarity"] <= 0.9 for row in rows)


def test_without_options_it_takes_the_ten_nearest(sets) -> None:
    here, there = sets
    made = pairs(PairsOptions(against=str(there.root)), here)
    assert made.record["pairs"] == 900 and "the 10 nearest there of each image here" in made.lines[0]
    assert made.verdict.startswith("100% of the images here")
    with pytest.raises(UsageError, match="b has only 210 images"):
        pairs(options(there, neighbors=211), here, force=True)


@pytest.mark.parametrize(
    "change", [{"engine": "faiss"}, {"memory": "400MB"}, {"device": "cpu", "strip_rows": 7}, {"strip_rows": 64}]
)
@pytest.mark.parametrize("asked", [BAND, {"neighbors": 3}])
def test_engines_memory_and_strips_give_the_same_bytes(sets, change, asked) -> None:
    here, there = sets
    pairs(options(there, **asked), here)
    wanted = contents(here)
    settings = {name: value for name, value in change.items() if name != "strip_rows"}
    if "neighbors" in asked and "engine" in settings:
        with pytest.raises(UsageError, match="--engine faiss belongs to --rule band"):
            options(there, **asked, **settings, rule="knn")
        return
    strip_rows = change.get("strip_rows", 8192)
    pairs(options(there, **asked, **settings), here, force=True, strip_rows=strip_rows)
    assert contents(here) == wanted


@pytest.mark.parametrize(("asked", "search"), [(BAND, ExactEngine), ({"neighbors": 3}, CandidateSearch)])
def test_killed_and_continued_without_searching_again(sets, monkeypatch, asked, search) -> None:
    here, there = sets
    pairs(options(there, **asked), here)
    wanted = contents(here)
    whole, searched = search.candidates, []

    def die_at_the_third(self, start, *rest):
        searched.append(start)
        if len(searched) == 3:
            raise KeyboardInterrupt
        return whole(self, start, *rest)

    monkeypatch.setattr(search, "candidates", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        pairs(options(there, **asked), here, force=True, strip_rows=50)
    pairs(options(there, **asked), here, strip_rows=50)
    assert searched == [0, 50, 100, 100, 150, 200]
    assert contents(here) == wanted


class _Elsewhere:
    """An executor that sends each unit away, as processes of devices and Ray do."""

    def run(self, units: Sequence[Unit]) -> Iterator[Unit]:
        for unit in reversed(units):
            pickle.loads(pickle.dumps(unit)).execute()
            yield unit


@pytest.mark.parametrize("asked", [BAND, {"neighbors": 3}])
def test_units_in_other_processes_give_the_same_bytes(sets, monkeypatch, asked) -> None:
    here, there = sets
    pairs(options(there, **asked), here)
    wanted = contents(here)
    monkeypatch.setattr("miner.pairs.two_sets.run.executor_for", lambda *_: _Elsewhere())
    pairs(options(there, **asked), here, force=True, strip_rows=64)
    assert contents(here) == wanted


def test_file_of_vectors_is_another_set(sets, tmp_path) -> None:
    here, there = sets
    pairs(options(there), here)
    wanted = pq.read_table(here.against("b") / "matches.parquet")
    for dtype in (np.float16, np.float32):
        np.save(tmp_path / "vectors.npy", VECTORS[90:].astype(dtype))
        pairs(options(tmp_path / "vectors.npy"), here, force=True)
        table = pq.read_table(here.against("vectors") / "matches.parquet")
        assert table.select(["a", "b"]).equals(wanted.select(["a", "b"]))
        assert table["key_b"].to_pylist() == [f"{row:09d}" for row in table["b"].to_pylist()]
        assert table["label_b"].null_count == len(table)


def test_flood_between_sets_names_images_and_leaves_nothing(sets) -> None:
    here, there = sets
    with pytest.raises(MinerError, match=r"Raise --min.*most partners there: k\d+ of [ab] \(\d+\)"):
        pairs(options(there, min=-1, max_pairs=100), here)
    assert not here.against("b").exists()


def test_what_cannot_be_compared_is_refused(sets, make_embeddings, tmp_path) -> None:
    here, there = sets
    narrow = make_embeddings(VECTORS[:, :8], name="narrow")
    np.save(tmp_path / "whole.npy", np.ones((3, 24), int))
    np.save(tmp_path / "narrow.npy", VECTORS[:, :8].copy())
    for other, words in (
        (narrow, r"none \(24 dimensions\), and .* by none \(8 dimensions\)"),
        (tmp_path / "narrow.npy", "8 dimensions, those here 24"),
        (tmp_path / "whole.npy", "float16 or float32"),
        (tmp_path / "photos", "no encoder is known for the vectors of"),
    ):
        with pytest.raises(UsageError, match=words):
            pairs(options(other), here)
    for wrong, words in (
        ({"top_k": 3}, "--top-k chooses among the pairs of one set"),
        ({"rule": "shared"}, "--rule shared needs one set"),
        ({"max": 0.9}, "needs --min"),
        ({"rule": "band", "min": 0.8, "neighbors": 3}, "a band has no --neighbors"),
    ):
        with pytest.raises(UsageError, match=words):
            options(there, **wrong)


@pytest.mark.parametrize(
    ("name", "words"), [("other", "by none .*, and .* by other"), ("none", "with other weights or settings")]
)
def test_other_encoder_is_refused(sets, name, words) -> None:
    here, there = sets
    for workspace, encoder in (
        (here, {"name": "none", "weights_sha256": "0"}),
        (there, {"name": name, "weights_sha256": "1"}),
    ):
        path = workspace.embeddings / "manifest.json"
        write_signed(path, {**json.loads(path.read_text()), "encoder": encoder})
    with pytest.raises(UsageError, match=rf"{words}.*Name the images \(made in a test\)"):
        pairs(options(there), here)


@pytest.fixture
def folders(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Photographs of 9 and of 5 seeds, of which 2 are the same; encoded in no time."""
    monkeypatch.setattr("miner.embed.worker.load_encoder", lambda *_: small_encoder())
    return write_pictures(tmp_path / "mine", range(9)), write_pictures(tmp_path / "theirs", range(7, 12))


def embedded(folder: Path, root: Path) -> Workspace:
    workspace = Workspace(root)
    embed(EmbedOptions(source=str(folder), device="cpu"), workspace)
    return workspace


def test_source_is_embedded_as_the_images_here_once(folders, tmp_path, monkeypatch) -> None:
    here, there = embedded(folders[0], tmp_path / "w"), embedded(folders[1], tmp_path / "theirs-embedded")
    pairs(options(there, min=-1), here)
    result = pairs(options(folders[1], min=-1), here)
    assert result.record["pairs"] == 45 and result.lines[0].startswith("embed: 5 images")
    tables = [(here.against(name) / "matches.parquet").read_bytes() for name in ("theirs", "theirs-embedded")]
    assert tables[0] == tables[1]
    shutil.rmtree(here.against("theirs"))
    with monkeypatch.context() as patch:
        patch.setattr("miner.embed.worker.Worker.encode_block", None)
        again = pairs(options(folders[1], min=-1), here)
    assert again.fresh and len(again.lines) == 1


def test_source_that_has_changed_is_embedded_again_with_force(folders, tmp_path) -> None:
    here = embedded(folders[0], tmp_path / "w")
    pairs(options(folders[1], neighbors=1), here)
    picture(0).save(folders[1] / "class0/new.png")
    with pytest.raises(MinerError, match=r"the vectors of --against are others\. Use --force"):
        pairs(options(folders[1], neighbors=1), here)
    (folders[1] / "class0/008.jpg").write_bytes(as_jpeg(picture(0), 92))
    with pytest.raises(MinerError, match="--force"):
        pairs(options(folders[1], neighbors=1), here)
    assert pairs(options(folders[1], neighbors=1), here, force=True).fresh
    rows = pq.read_table(here.against("theirs") / "matches.parquet").to_pylist()
    assert rows[0]["similarity"] == 1 and rows[0]["key_b"].startswith("class0_008")


def test_one_image_and_packed_vectors_are_sets_too(folders, sets, tmp_path) -> None:
    here = embedded(folders[0], tmp_path / "w")
    one = write_pictures(tmp_path / "one", range(4, 5))
    assert pairs(options(one, neighbors=1), here).record["there"]["images"] == 1
    np.savez(tmp_path / "packed.npz", VECTORS[90:])
    pairs(options(sets[1]), sets[0])
    pairs(options(tmp_path / "packed.npz"), sets[0])
    wanted, found = (pq.read_table(sets[0].against(name) / "matches.parquet") for name in ("b", "packed"))
    assert found.select(["a", "b", "similarity"]).equals(wanted.select(["a", "b", "similarity"]))
