"""State dicts in each publisher's layout, as their download pages and loaders describe it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision import models

from miner.embed.encoders import load_encoder
from miner.embed.encoders.base import weights_sha256
from miner.embed.encoders.published import PUBLISHED
from miner.errors import MinerError, UsageError

CPU = torch.device("cpu")
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    network = models.resnet50()
    network.fc = nn.Identity()
    return network.eval()


def swav_head() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2048, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 128)).eval()


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, Callable[[State], object]] = {
    "dino_resnet50": lambda state: state,
    "vicreg_resnet50": lambda state: state,
    "barlow_resnet50": lambda state: state,
    "swav_resnet50": lambda state: {
        **under("module.", state),
        **under("module.projection_head.", swav_head().state_dict()),
        "module.prototypes.weight": torch.zeros(3000, 128),
    },
}


@pytest.fixture
def publish(network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Serve each URL's layout instead of the network, and note what was asked for."""
    asked: list[str] = []
    names = {about.url: name for name, about in PUBLISHED.items()}

    def download(url: str, destination: str, progress: bool = True) -> None:
        asked.append(url)
        torch.save(LAYOUTS[names[url]](network.state_dict()), destination)

    monkeypatch.setenv("MINER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    return asked


PIXELS = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_layout_gives_the_backbone(name: str, publish: list[str], network: nn.Module, tmp_path: Path) -> None:
    encoder = load_encoder(name, CPU)
    assert publish == [PUBLISHED[name].url]
    assert [path.name for path in (tmp_path / "cache/encoders").glob("[!.]*")] == [f"{name}.pth"]
    assert encoder.weights_sha256 == weights_sha256(network)
    assert encoder.record()["labels_seen"].startswith("none")
    assert (encoder.preprocess.resize, encoder.preprocess.crop) == (256, 224)


def test_the_cached_file_gives_the_reference_without_fetching(publish: list[str], network: nn.Module) -> None:
    first, second = load_encoder("dino_resnet50", CPU), load_encoder("dino_resnet50", CPU)
    assert len(publish) == 1 and first.record() == second.record()
    with torch.inference_mode():
        expected = nn.functional.normalize(network(second.preprocess.normalise(PIXELS)))
    torch.testing.assert_close(second.encode(PIXELS, torch.float32), expected, atol=1e-5, rtol=1e-4)


def test_two_at_once_fetch_a_file_once(publish: list[str]) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: load_encoder(name, CPU), ["dino_resnet50"] * 2))
    assert len(publish) == 1


def test_swav_has_a_projector(publish: list[str], network: nn.Module) -> None:
    encoder = load_encoder("swav_resnet50", CPU, layer="projector")
    with torch.inference_mode():
        expected = nn.functional.normalize(swav_head()(network(encoder.preprocess.normalise(PIXELS))))
    torch.testing.assert_close(encoder.encode(PIXELS, torch.float32), expected, atol=1e-5, rtol=1e-4)
    assert encoder.dim == 128 and encoder.record()["layer"] == "projector"


def test_the_others_have_none(publish: list[str]) -> None:
    with pytest.raises(UsageError, match="publish the backbone alone"):
        load_encoder("dino_resnet50", CPU, layer="projector")
    assert publish == []


def test_a_file_fetched_elsewhere(network: nn.Module, tmp_path: Path) -> None:
    torch.save({"epoch": 9, "model": under("module.backbone.", network.state_dict())}, tmp_path / "checkpoint.pth")
    encoder = load_encoder(f"barlow_resnet50@{tmp_path / 'checkpoint.pth'}", CPU)
    assert encoder.weights_sha256 == weights_sha256(network)


def test_offline_the_way_out_is_named_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("MINER_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(MinerError, match="elsewhere and name vicreg_resnet50@FILE"):
        load_encoder("vicreg_resnet50", CPU)
    assert [path.name for path in (tmp_path / "encoders").iterdir()] == [".lock"]


@pytest.mark.parametrize("content", [b"<html>log in to the network</html>", b"", b"\x80\x02cos\nsystem\n."])
def test_what_is_no_checkpoint_is_not_kept(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINER_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda url, path, **_: Path(path).write_bytes(content))
    with pytest.raises(MinerError, match="no checkpoint of plain tensors"):
        load_encoder("vicreg_resnet50", CPU)
    assert [path.name for path in (tmp_path / "encoders").iterdir()] == [".lock"]


def test_a_missing_weight_is_an_error(network: nn.Module, tmp_path: Path) -> None:
    state = {name: value for name, value in network.state_dict().items() if name != "layer4.2.bn3.running_var"}
    torch.save(state, tmp_path / "damaged.pth")
    with pytest.raises(MinerError, match=r"lacks layer4\.2\.bn3\.running_var and 0 more"):
        load_encoder(f"dino_resnet50@{tmp_path / 'damaged.pth'}", CPU)
