"""`miner pairs` with --differ, --same and --apart, under every rule."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from tests.pairs.mined import row_pairs, tables

RULES = [{"min": 0.3, "max": 0.95}, {"rule": "mutual", "max": 0.95}, {"rule": "shared", "shared": 8, "max": 0.95}]


def vectors(count: int = 60) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 6)).astype(np.float32)


def write_metadata(path: Path, count: int = 60) -> Path:
    """Recordings of three images, of which some are unknown; the day is the row."""
    rows = [f"k{row:05d},{'' if row % 7 == 3 else row // 3},{row}" for row in range(count)]
    path.write_text("key,recording,day\n" + "\n".join(rows) + "\n")
    return path


def similarities(workspace: Workspace) -> list[float]:
    return pq.read_table(workspace.pairs / "pairs.parquet")["similarity"].to_pylist()


def expected(found: list[tuple[int, int]], differ: bool) -> list[tuple[int, int]]:
    known = [pair for pair in found if not {row % 7 for row in pair} & {3}]
    return [(a, b) for a, b in known if (a // 3 != b // 3) == differ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("rule", "band"))
@pytest.mark.parametrize("option", ["differ", "same"])
def test_pairs_of_a_rule_are_filtered(make_embeddings, tmp_path, rule, option) -> None:
    plain, filtered = make_embeddings(vectors(), name="plain"), make_embeddings(vectors(), name="filtered")
    pairs(PairsOptions(**rule), plain)
    table = write_metadata(tmp_path / "m.csv")
    result = pairs(PairsOptions(**rule, **{option: ["recording"]}, metadata=table), filtered)
    found = row_pairs(plain)
    kept = expected(found, option == "differ")
    assert row_pairs(filtered) == kept and 0 < len(kept) < len(found)
    assert result.record["constraints"] == [
        {"constraint": f"--{option} recording", "left_out": len(found) - len(kept), "unknown": 9}
    ]
    line = f"pairs: --{option} recording leaves out {len(found) - len(kept)} pairs; 9 images have no value and no pair"
    assert line in result.lines


@pytest.mark.parametrize("rule", RULES[:2], ids=lambda rule: rule.get("rule", "band"))
def test_filters_that_leave_nothing_are_named(make_embeddings, tmp_path, rule) -> None:
    options = PairsOptions(**rule, apart=["day:1000"], metadata=write_metadata(tmp_path / "m.csv"))
    last = pairs(options, make_embeddings(vectors())).lines[-1]
    assert last.startswith("Warning: no pair is left after --apart day:1000. ")


def test_caps_count_what_is_kept(make_embeddings, tmp_path) -> None:
    table = write_metadata(tmp_path / "m.csv")
    whole, capped = make_embeddings(vectors(), name="whole"), make_embeddings(vectors(), name="capped")
    options = {**RULES[0], "differ": ["recording"], "apart": ["day:10"], "metadata": table}
    pairs(PairsOptions(**options), whole)
    pairs(PairsOptions(**options, top_k=1), capped)
    best = {}
    for pair, similarity in zip(row_pairs(whole), similarities(whole), strict=True):
        for row in pair:
            best[row] = max(best.get(row, -1), similarity)
    kept = dict(zip(row_pairs(capped), similarities(capped), strict=True))
    top = max(best.values())
    assert max(kept.values()) == top and len({row for pair in kept for row in pair}) == 2 * len(kept)
    assert all(abs(a - b) >= 10 for a, b in kept) and len(kept) > 20


def test_other_values_are_another_request(make_embeddings, tmp_path) -> None:
    workspace, table = make_embeddings(vectors()), write_metadata(tmp_path / "m.csv")
    options = PairsOptions(**RULES[0], differ=["recording"], metadata=table)
    pairs(options, workspace)
    moved = table.rename(tmp_path / "moved.csv")
    assert not pairs(options.model_copy(update={"metadata": moved}), workspace).fresh
    moved.write_text(moved.read_text().replace("k00000,0,", "k00000,1,"))
    with pytest.raises(MinerError, match="the metadata are others"):
        pairs(options.model_copy(update={"metadata": moved}), workspace)


def test_appended_images_bring_new_metadata(make_embeddings, tmp_path) -> None:
    table = write_metadata(tmp_path / "m.csv")
    options = PairsOptions(**RULES[0], differ=["recording"], metadata=table)
    once = make_embeddings(vectors(), name="once", blocks=[40, 20])
    pairs(options, once)
    make_embeddings(vectors()[:40], name="grown")
    pairs(options, Workspace(once.root.parent / "grown"))
    grown = make_embeddings(vectors(), name="grown", blocks=[40, 20], keep_pairs=True)
    pairs(options.model_copy(update={"append": True}), grown)
    assert tables(grown) == tables(once)


def test_metadata_without_a_filter_is_refused() -> None:
    with pytest.raises(MinerError, match="--metadata is read for --differ, --same and --apart"):
        PairsOptions.parse({"metadata": "m.csv"})


@pytest.mark.parametrize("text", ["date", "date:", ":3", "date:x", "date:0", "date:-1", "date:inf"])
def test_distances_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(MinerError, match=r"--apart: .* is not COLUMN:DISTANCE"):
        PairsOptions.parse({"apart": text})
