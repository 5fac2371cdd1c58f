import copy
import shutil

import pytest
import torch

from miner.errors import MinerError
from miner.learning.randomness import generator_for
from miner.train.methods.compiling import compile_networks
from tests.train.methods.tiny import batch, make, views

CPU = torch.device("cpu")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_it_learns_the_same_under_the_same_names() -> None:
    plain = make("moco").to(memory_format=torch.channels_last)
    compiled = copy.deepcopy(plain)
    compile_networks(compiled, CPU)
    for method in (plain, compiled):
        method(batch(*views(0), generator_for(0)))["loss"].backward()
    assert compiled.backbone._compiled_call_impl is not None and compiled.key_encoder[0]._compiled_call_impl is not None
    assert plain.backbone._compiled_call_impl is None
    for (name, value), (other, parameter) in zip(plain.named_parameters(), compiled.named_parameters(), strict=True):
        assert name == other
        if value.grad is not None:
            torch.testing.assert_close(parameter.grad, value.grad, atol=1e-5, rtol=1e-3, msg=name)
    for (name, value), (other, twin) in zip(plain.state_dict().items(), compiled.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(twin, value, atol=1e-5, rtol=1e-3, msg=name)


def test_where_it_does_not_work_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.train.methods.compiling.compile_problem", lambda _: "no compiler")
    with pytest.raises(MinerError, match=r"--compile does not work here \(no compiler\)"):
        compile_networks(make("simclr"), CPU)
