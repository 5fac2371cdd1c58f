"""`miner pairs --agree`: votes of several embeddings, against the pairs that the rule chooses in each workspace alone."""

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.embeddings.store import metadata_path, vectors_path
from miner.artifacts.manifests import CalibrationRecord
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.training_data import pair_rows, pair_scores
from miner.artifacts.workspace import Workspace
from miner.engine import write_json
from miner.errors import MinerError
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.verify.run import verify
from tests.pairs.mined import contents, row_pairs
from tests.pairs.vectors import brute_force

COUNT = 70
RULES = [
    {"min": 0.35, "max": 0.9},
    {"min": 0.35, "max": 0.9, "mutual": True, "neighbors": 3},
    {"rule": "mutual", "neighbors": 6, "max": 0.9},
    {"rule": "mutual", "neighbors": 6, "max": 0.9, "min": 0.5},
    {"rule": "local", "neighbors": 6, "max": 0.9},
    {"rule": "shared", "neighbors": 6, "shared": 4, "max": 0.9},
]


def vectors(seed: int) -> np.ndarray:
    """The same images as other encoders see them; the first two are near-identical."""
    common = np.random.default_rng(0).normal(size=(COUNT, 5))
    found = common + 0.5 * np.random.default_rng(seed).normal(size=(COUNT, 5))
    found[1] = found[0] + 0.02 * found[2]
    return found.astype(np.float32)


@pytest.fixture
def three(make_embeddings) -> list[Workspace]:
    """Three embeddings. The rows of the second are in another order, and its vectors have another dtype."""
    made = [make_embeddings(vectors(seed), name=f"w{seed}") for seed in (1, 2, 3)]
    order = np.random.default_rng(9).permutation(COUNT)
    files = metadata_path(made[1].embeddings, 0), vectors_path(made[1].embeddings, 0)
    pq.write_table(pq.read_table(files[0]).take(order), files[0])
    np.save(files[1], np.load(files[1])[order])
    return made


def key_pairs(workspace: Workspace, name: str = "pairs") -> set[tuple[str, str]]:
    table = pq.read_table(workspace.pairs / f"{name}.parquet")
    keys = zip(table["key_a"].to_pylist(), table["key_b"].to_pylist(), strict=True)
    return {(min(pair), max(pair)) for pair in keys}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_votes_and_scores_of_every_rule_weigh_pairs_in_training(three, rule) -> None:
    workspace, *others = three
    pairs(PairsOptions(**rule, agree=[str(other.root) for other in others], at_least=1), workspace)
    path = workspace.pairs / "pairs.parquet"
    table, inputs = pq.read_table(path), Inputs("source", "", "", "", pairs=path)
    keys = sorted({key for pair in key_pairs(workspace) for key in pair})[::-1]
    rows = pair_rows(inputs, keys).flip(0)
    for by, column in (("votes", "votes"), ("similarity", "similarity"), ("score", rule.get("rule", ""))):
        expected = table[column if column in ("votes", "local", "shared") else "similarity"].to_pylist()
        assert pair_scores(inputs, keys, rows, by).tolist() == expected[::-1]
        assert len(set(expected)) > 1
    pairs(PairsOptions(**rule), workspace, force=True)
    with pytest.raises(MinerError, match=r"has no votes: `miner pairs --agree` gives them"):
        pair_scores(inputs, keys, pair_rows(inputs, keys), "votes")


def test_what_is_said_of_the_pairs_names_the_votes(three) -> None:
    workspace, *others = three
    asked = {"rule": "mutual", "neighbors": 6, "max": 0.9}
    agree = [str(other.root) for other in others]
    for options, told in (({}, ""), ({"agree": agree}, ", in each of 3"), ({"agree": agree, "at_least": 2}, " 2 of 3")):
        pairs(PairsOptions(**asked, **options), workspace, force=True)
        said = PairsManifest.read(workspace).described
        assert said.startswith("by the rule mutual (") and said.endswith(f"{told} embeddings" if told else ")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_votes_are_those_of_each_workspace_alone(three, rule) -> None:
    alone = []
    for workspace in three:
        pairs(PairsOptions(**rule), workspace)
        alone.append(key_pairs(workspace))
    votes = Counter(pair for found in alone for pair in found)
    duplicates = key_pairs(three[0], "duplicates")
    cosines = [brute_force(vectors(seed)) for seed in (1, 2, 3)]
    others = [str(workspace.root) for workspace in three[1:]]
    for at_least in (1, 2, 3, None):
        options = PairsOptions(**rule, agree=others, at_least=at_least)
        result = pairs(options, three[0], force=True)
        least = at_least or 3
        expected = {pair: count for pair, count in votes.items() if count >= least and pair not in duplicates}
        table = pq.read_table(three[0].pairs / "pairs.parquet")
        rows = row_pairs(three[0])
        assert rows == sorted(rows)
        named = zip(table["key_a"].to_pylist(), table["key_b"].to_pylist(), strict=True)
        assert dict(zip(named, table["votes"].to_pylist(), strict=True)) == expected and len(expected) > 1
        a, b = np.array(rows).T
        for name, one in zip(("similarity", "similarity_2", "similarity_3"), cosines, strict=True):
            np.testing.assert_allclose(table[name].to_numpy(), one[a, b], rtol=0, atol=1e-6)
        agreement = result.record["agreement"]
        assert [voter["chosen"] for voter in agreement["embeddings"]] == [len(found) for found in alone]
        assert Counter({votes: pairs for votes, pairs in agreement["votes"]}) == Counter(expected.values())
        in_words = ", ".join(f"{pairs:,} in {votes}" for votes, pairs in agreement["votes"])
        assert f"pairs: chosen in at least {least} of 3 embeddings: {in_words}; in each: " in "\n".join(result.lines)
        assert key_pairs(three[0], "duplicates") == duplicates
        verify(str(three[0].pairs))


def test_ranks_are_known_of_pairs_that_others_chose(three) -> None:
    rule = {"rule": "shared", "neighbors": 6, "shared": 4, "max": 1.0}
    pairs(PairsOptions(**rule, agree=[str(three[1].root)], at_least=1), three[0])
    table = pq.read_table(three[0].pairs / "pairs.parquet").to_pydict()
    cosines = brute_force(vectors(1))
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")
    lists = [row.tolist() for row in order]
    assert 0 in table["rank_a"] and min(table["shared"]) < 4  # the rule did not choose these here
    for a, b, rank_a, rank_b, shared in zip(
        *(table[name] for name in ("a", "b", "rank_a", "rank_b", "shared")), strict=True
    ):
        ranks = [place + 1 if place < 6 else 0 for place in (lists[b].index(a), lists[a].index(b))]
        assert [rank_a, rank_b] == ranks and shared == len({*lists[a][:12]} & {*lists[b][:12]})


def test_caps_and_both_orders_apply_to_agreed_pairs(three) -> None:
    others = [str(workspace.root) for workspace in three[1:]]
    options = PairsOptions(**RULES[2], agree=others, at_least=2, top_k=1, both_orders=True)
    result = pairs(options, three[0])
    table = pq.read_table(three[0].pairs / "pairs.parquet").to_pydict()
    assert len(set(table["a"])) == len(table["a"]) == 2 * result.record["pairs"] > 20
    turned = {
        (b, a): similarity for a, b, similarity in zip(table["a"], table["b"], table["similarity_2"], strict=True)
    }
    assert turned == dict(zip(zip(table["a"], table["b"], strict=True), table["similarity_2"], strict=True))


def test_strips_and_a_killed_run_change_no_byte(three, monkeypatch) -> None:
    options = PairsOptions(**RULES[2], agree=[str(three[1].root)])
    pairs(options, three[0])
    before = contents(three[0])
    assert not (three[0].pairs / "parts").exists()
    from miner.pairs import mine as module

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_tables", killed)
    with pytest.raises(KeyboardInterrupt):
        pairs(options, three[0], force=True, strip_rows=16)
    assert list((three[0].pairs / "parts" / "agree-2").glob("strip-*"))
    monkeypatch.undo()
    pairs(options, three[0], strip_rows=16)
    assert contents(three[0]) == before
    assert not pairs(options, three[0]).fresh


def test_another_embedding_is_another_request(three, make_embeddings) -> None:
    options = PairsOptions(**RULES[0], agree=[str(three[1].root)])
    pairs(options, three[0])
    moved = three[1].root.rename(three[1].root.with_name("moved"))
    assert not pairs(PairsOptions(**RULES[0], agree=[str(moved)]), three[0]).fresh
    with pytest.raises(MinerError, match="the embeddings of --agree, or their bands, are others"):
        pairs(PairsOptions(**RULES[0], agree=[str(three[2].root)]), three[0])


def test_band_of_each_workspace_is_its_own(three) -> None:
    for workspace, low in zip(three, (0.3, 0.4, 0.5), strict=True):
        identity = EmbeddingsManifest.read(workspace).identity
        record = {
            "request": {"embeddings": identity},
            "band": {"min": low, "max": 0.9},
            "images": 8,
            "estimated_pairs": 1,
        }
        write_json(workspace.calibration, record)
        assert CalibrationRecord.read(workspace).band.low == low
        pairs(PairsOptions(auto=True), workspace)
    alone = [key_pairs(workspace) for workspace in three]
    pairs(PairsOptions(auto=True, agree=[str(workspace.root) for workspace in three[1:]]), three[0], force=True)
    assert key_pairs(three[0]) == set.intersection(*alone) != set()
    three[2].calibration.unlink()
    with pytest.raises(MinerError, match=r"--auto needs .*w3/calibration.json"):
        pairs(PairsOptions(auto=True, agree=[str(three[2].root)]), three[0], force=True)
    with pytest.raises(
        MinerError, match=r"calibration.json is missing. Run `miner calibrate` first \(workspace .*w3\)"
    ):
        pairs(PairsOptions(rule="mutual", agree=[str(three[2].root)]), three[0], force=True)


def test_other_images_are_refused_by_name(three, make_embeddings) -> None:
    def refused(other: Workspace, message: str) -> None:
        with pytest.raises(MinerError, match=message):
            pairs(PairsOptions(**RULES[0], agree=[str(other.root)]), three[0])
        assert not three[0].pairs.exists()

    less = make_embeddings(vectors(4)[:68], name="less")
    refused(less, r"less/embeddings lacks 2 images of .*w1/embeddings \(k00068, k00069\)\. Embed the same source")
    more = make_embeddings(np.vstack([vectors(4), vectors(5)[:1]]), name="more")
    refused(more, r"w1/embeddings lacks 1 image of .*more/embeddings \(k00070\)")
    hashes = [f"{row:064x}" for row in range(COUNT)]
    changed = make_embeddings(vectors(4), name="changed", hashes=[*hashes[:5], "f" * 64, *hashes[6:]])
    refused(changed, r"changed/embeddings has other bytes of 1 image of .*w1/embeddings, such as k00005.png")
    refused(three[0], "its embeddings are counted already")
    refused(Workspace(three[0].root.with_name("none")), "embeddings is missing")


def test_flood_in_another_embedding_names_it(three) -> None:
    options = PairsOptions(min=0.35, max=0.9, max_pairs=900, agree=[str(three[1].root)])
    np.save(vectors_path(three[1].embeddings, 0), np.ones((COUNT, 5), np.float32))
    with pytest.raises(
        MinerError, match=r"w2/embeddings: More than 900 pairs.* The images with most partners there: k0"
    ):
        pairs(options, three[0])
    assert not three[0].pairs.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at_least": 2}, "--at-least counts the workspaces of --agree"),
        ({"agree": ["w"], "at_least": 3}, "there are only 2 embeddings"),
        ({"agree": ["w"], "append": True}, "--append and --agree exclude each other"),
        ({"agree": ["w"], "groups": True}, "--groups and --agree exclude each other"),
        ({"agree": ["w"], "engine": "hnsw"}, "--engine and --agree exclude each other"),
    ],
)
def test_options_that_agreement_excludes(given, message) -> None:
    with pytest.raises(MinerError, match=message):
        PairsOptions.parse(given)
