from dataclasses import replace

import pytest
import torch
from torch import nn

from miner.embed.runtimes import graphs
from miner.embed.runtimes.networks import check_agreement, computed_by, is_installed
from miner.errors import MinerError
from miner.images.preprocess import Preprocess
from miner.learning.networks.small_conv import SmallInputConv2d
from tests.embed.small_encoder import small_encoder


def noise(count: int, side: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MINER_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("count", [1, 5])
def test_vectors_are_those_of_torch_for_any_batch(runtime: str, count: int) -> None:
    pytest.importorskip(runtime)
    encoder = small_encoder()
    found, record = computed_by(runtime, encoder, 2)
    pixels = noise(count)
    torch.testing.assert_close(
        found.encode(pixels, torch.float32), encoder.encode(pixels, torch.float32), atol=1e-5, rtol=1e-4
    )
    assert record["name"] == runtime


def test_a_run_on_small_images_takes_any_batch() -> None:
    convolutions = [SmallInputConv2d(3, 8, 3, padding=1), nn.ReLU(), SmallInputConv2d(8, 8, 3, stride=2, padding=1)]
    encoder = replace(
        small_encoder(),
        network=nn.Sequential(*convolutions, nn.Flatten()).eval(),
        preprocess=Preprocess(2, 2, "bilinear", (0.5,) * 3, (0.5,) * 3),
    )
    for runtime in filter(is_installed, ("onnxruntime", "openvino")):
        found, _ = computed_by(runtime, encoder, 1)
        for count in (1, 7):
            check_agreement(found, encoder, noise(count, side=2))
        assert getattr(found.network, "fixed_batch", None) is None


def test_a_network_of_one_batch_size_is_refused() -> None:
    class Fixed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)).view(len(images), 3)

    with pytest.raises(MinerError, match=r"small cannot be exported as a graph \(its code fixes the number of images"):
        graphs.exported(replace(small_encoder(), network=Fixed()))


def test_a_graph_is_exported_once_and_again_if_damaged(monkeypatch, capsys) -> None:
    first, exports = graphs.exported(small_encoder()), []
    assert not capsys.readouterr().out  # it is for the record of a command
    export = graphs._export
    monkeypatch.setattr(graphs, "_export", lambda *given: exports.append(given) or export(*given))
    assert graphs.exported(small_encoder()) == first and not exports
    first.path.write_bytes(b"damaged")
    assert graphs.exported(small_encoder()) == first and len(exports) == 1


def test_another_network_does_not_agree() -> None:
    encoder, other = small_encoder(), small_encoder()
    check_agreement(encoder, other, noise(3))
    with torch.no_grad():
        next(other.network.parameters()).mul_(1.2)[0].add_(0.1)
    with pytest.raises(MinerError, match="its vectors differ"):
        check_agreement(encoder, other, noise(3))
