import shutil

import pytest
import torch
from torch._inductor import config as inductor

from miner.embed.compiling import compiled, resolve_compile
from miner.embed.options import EmbedOptions
from miner.learning.compiling import compile_problem
from tests.embed.small_encoder import small_encoder

CPU = torch.device("cpu")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_a_compiled_encoder_gives_the_same_directions() -> None:
    assert compile_problem(CPU) is None
    encoder = small_encoder()
    pixels = torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    faster = compiled(encoder, 4, torch.float32, CPU)
    cosines = (faster.encode(pixels, torch.float32) * encoder.encode(pixels, torch.float32)).sum(1)
    assert cosines.min() > 0.99999


def test_without_a_compiler_it_is_left_out_with_one_line(capsys) -> None:
    torch.compiler.reset()
    with inductor.patch({"cpp.cxx": ("/nowhere/g++",)}):
        options = resolve_compile(EmbedOptions(source="x", compile=True, device="cpu"))
    assert not options.compile
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("embed: --compile is left out: ")
