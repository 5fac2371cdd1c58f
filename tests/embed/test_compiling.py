import shutil

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from miner.embed import resolve as settle
from miner.embed.compiling import compiled
from miner.embed.encoders import Encoder
from miner.embed.options import EmbedOptions
from miner.errors import UsageError
from miner.images.preprocess import Preprocess
from miner.learning.compiling import why_not

CPU = torch.device("cpu")


def small_encoder() -> Encoder:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    return Encoder("small", network, Preprocess(16, 16, "bilinear", (0.5,) * 3, (0.5,) * 3), "", "")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_encoder_gives_the_same_directions() -> None:
    assert why_not(CPU) is None
    encoder = small_encoder()
    pixels = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    faster = compiled(encoder, 4, torch.float32, CPU)
    cosines = (faster.encode(pixels, torch.float32) * encoder.encode(pixels, torch.float32)).sum(1)
    assert cosines.min() > 0.99999


def test_without_a_compiler_it_is_left_out_with_one_line(capsys) -> None:
    torch.compiler.reset()
    with inductor.patch({"cpp.cxx": ("/nowhere/g++",)}):
        options = settle.without_impossible(EmbedOptions(source="x", compile=True, device="cpu"))
    assert not options.compile
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("embed: --compile is left out: ")


def test_one_program_is_for_one_batch_size() -> None:
    with pytest.raises(UsageError, match="--batch-size 0"):
        settle.without_impossible(EmbedOptions(source="x", compile=True, batch_size=0))
