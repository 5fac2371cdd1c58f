import pytest
import torch
from torch import nn

from miner.errors import MinerError
from miner.learning.networks.heads import mlp_head

MOCO_V2 = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
SWAV = nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))
MOCO_V3 = nn.Sequential(
    nn.Linear(8, 6, bias=False),
    nn.BatchNorm1d(6),
    nn.ReLU(),
    nn.Linear(6, 4, bias=False),
    nn.BatchNorm1d(4, affine=False),
)


@pytest.mark.parametrize("head", [MOCO_V2, SWAV, MOCO_V3], ids=["moco_v2", "swav", "moco_v3"])
def test_a_projector_is_rebuilt_from_its_tensors(head: nn.Sequential) -> None:
    torch.manual_seed(0)
    head.train()(torch.randn(32, 8) * 3 + 1)  # so that running statistics are not those of a fresh layer
    features = torch.randn(5, 8)
    torch.testing.assert_close(mlp_head(head.state_dict(), "it").eval()(features), head.eval()(features))


def test_a_single_linear_layer_is_a_projector() -> None:
    head, features = nn.Linear(8, 4), torch.randn(5, 8)
    torch.testing.assert_close(mlp_head(head.state_dict(), "it")(features), head(features))


@pytest.mark.parametrize("state", [{}, {"0.weight": torch.zeros(4, 3, 3, 3)}, {"prototypes.weight": torch.zeros(3, 3)}])
def test_what_is_no_projector_is_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(MinerError, match=r"holds a projector of an unknown kind|holds no projector"):
        mlp_head(state, "it")
