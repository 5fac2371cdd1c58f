"""What test labels may not choose."""

import numpy as np
import torch

from miner.refine.comparison.scores import score
from tests.refine.graphs import clusters


def labelled(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    features = clusters(count, seed)
    return features, features[:, :4].argmax(axis=1)


def test_test_labels_choose_nothing() -> None:
    (train, labels), (test, truth) = labelled(120, 0), labelled(40, 1)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(160, 12)).astype(np.float32)
    whole = np.concatenate([train, test])
    candidates = {0.5: noise / np.linalg.norm(noise, axis=1, keepdims=True), 0.75: whole}
    right, wrong = (score(candidates, labels, known, 0, torch.device("cpu")) for known in (truth, (truth + 1) % 4))
    for name in ("linear", "knn"):
        assert right[name]["own"] == 0.75  # chosen over noise, whatever comes first
        assert right[name]["test"] > 90 and wrong[name]["test"] < 10
        assert {**right[name], "test": 0} == {**wrong[name], "test": 0}
