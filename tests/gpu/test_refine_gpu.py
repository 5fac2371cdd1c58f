"""Graph networks on a GPU against the same on the processor."""

import numpy as np
import pytest
import torch

from miner.refine.network.fit import fit
from miner.refine.network.network import GraphNetwork, encode, make_network
from tests.refine.graphs import CONVS, CPU, options, random_nodes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

GPU = torch.device("cuda")


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("batch_size", [40, 20])
def test_training_and_features_agree_with_the_processor(tmp_path, conv: str, batch_size: int) -> None:
    nodes, chosen = random_nodes(), options(conv=conv, fanout=40, epochs=2)
    features = []
    for device in (CPU, GPU):
        network: GraphNetwork = make_network(chosen, 6)
        checkpoint = tmp_path / device.type
        fit(network, nodes, nodes, chosen, batch_size=batch_size, device=device, checkpoint=checkpoint)
        features.append(encode(network, nodes, batch_size=batch_size, device=device))
    np.testing.assert_allclose(features[1], features[0], atol=2e-2)
