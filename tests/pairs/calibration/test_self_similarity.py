import numpy as np
import torch

from miner.embed.encoders import load_encoder
from miner.pairs.calibration.self_similarity import self_similarity
from tests.pairs.calibration.photos import sample_photos


def test_self_similarity_does_not_depend_on_the_batch() -> None:
    encoder = load_encoder("efficientnet_lite0", torch.device("cpu"))
    photos = sample_photos(7)
    small, large = (self_similarity(encoder, photos, np.random.default_rng(1), size) for size in (3, 64))
    np.testing.assert_allclose(small, large, atol=1e-5)
    assert len(small) == 7 and np.all(np.diff(small) >= 0)
