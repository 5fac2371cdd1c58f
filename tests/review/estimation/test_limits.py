"""Narrower rules from answers about made-up pairs, of which each has a known verdict."""

import numpy as np
import pyarrow as pa
import pytest

from miner.artifacts.pairs.manifest import PairsManifest, PairsRequest
from miner.review.estimation.limits import narrower_lines, narrower_rules
from miner.review.estimation.sampling import Sampler, slice_edges, slice_numbers
from miner.review.pair_set import PairSet

PAIRS = 3000


def pair_set(rule: str = "shared", **asked: object) -> PairSet:
    """Pairs of similarities from 0.6 to 0.95, most of them low, that share 6 to 20 neighbours, whatever their similarity."""
    rng = np.random.default_rng(0)
    similarity = (0.6 + 0.35 * rng.beta(1, 3, PAIRS)).astype(np.float32)
    shared = rng.integers(6, 21, PAIRS).astype(np.int32)
    evidence = {"similarity": similarity, "mutual": rng.random(PAIRS) < 0.5, "shared": shared}
    edges = slice_edges(float(similarity.min()), float(similarity.max()), 10)
    request = {"embeddings": "e", "band": {"min": -1.0, "max": 0.95}, "rule": rule, "neighbors": 10, **asked}
    mined = PairsManifest.model_construct(request=PairsRequest.model_validate(request), record={"request": request})
    rows = np.arange(PAIRS)
    numbers = slice_numbers(similarity, edges)
    return PairSet(
        rows, rows + 1, similarity, "similarity", edges, numbers, None, None, None, "", pa.table(evidence), mined
    )


def answers(pairs: PairSet, truth: np.ndarray, labels: int, seed: int = 0) -> dict[int, str | None]:
    """The verdicts of a reviewer who is always right, on the first pairs that the page shows."""
    order = Sampler(pairs.numbers, 10, labels, 1.0, seed).common[:labels]
    return {pair: str(truth[pair]) for pair in order.tolist()}


def known(right: np.ndarray, seed: int = 0) -> np.ndarray:
    """`same` with the given probability, else `different`."""
    return np.where(np.random.default_rng(seed).random(len(right)) < right, "same", "different")


def test_a_higher_similarity_is_proposed_with_its_pairs_and_command() -> None:
    pairs = pair_set(sample=None, mutual=False, differ=["patient id"])
    truth = known(np.where(pairs.similarity > 0.68, 0.99, 0.5))
    found = narrower_rules(pairs, answers(pairs, truth, 300))
    (name, limit), proposed = *found["proposed"]["options"].items(), found["proposed"]
    assert name == "min" and 0.65 < limit < 0.72
    kept = pairs.similarity >= limit
    interval = proposed["precision"]
    assert proposed["pairs"] == kept.sum() and interval["low"] <= (truth[kept] == "same").mean() <= interval["high"]
    assert found["command"] == (
        f"miner pairs --rule shared --neighbors 10 --differ 'patient id' --min {limit:g} --max 0.95"
    )
    lines = narrower_lines({"narrower": found}, " -w w")
    assert f"Raising --min to {limit:g} would give" in lines[0] and lines[1].endswith(" --force -w w")


def test_another_rule_is_proposed_where_the_answers_show_it() -> None:
    pairs = pair_set()
    truth = known(np.where(pairs.evidence["shared"].to_numpy() >= 12, 0.99, 0.4))
    proposed = narrower_rules(pairs, answers(pairs, truth, 400))["proposed"]
    assert proposed["options"].keys() == {"shared"} and 11 <= proposed["options"]["shared"] <= 14


@pytest.mark.parametrize("right", [0.8, 0.97])
def test_nothing_is_proposed_where_no_limit_helps(right: float) -> None:
    pairs = pair_set()
    found = narrower_rules(pairs, answers(pairs, known(np.full(PAIRS, right)), 300))
    assert found["proposed"] is None and found["command"] is None
    assert any("no narrower rule" in sentence for sentence in found["sentences"]) == (right < 0.95)


def test_many_near_duplicates_lower_the_upper_limit() -> None:
    pairs = pair_set(metadata={"differ": "sha"})
    truth = np.where(pairs.similarity > 0.75, "near-duplicate", "same")
    found = narrower_rules(pairs, answers(pairs, truth, 200))
    lower = found["lower_max"]
    assert 0.73 < lower["max"] <= 0.76 and lower["pairs"] == (pairs.similarity > lower["max"]).sum()
    assert (
        lower["others"] <= 1 < lower["near_duplicates"] and "near-duplicates. Lowering --max" in found["sentences"][0]
    )
    assert found["command"] is None  # the request does not hold the path of --metadata
