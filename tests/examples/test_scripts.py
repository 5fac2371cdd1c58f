"""Each script of `examples/` runs and learns, on a few pairs of real photographs."""

from collections.abc import Callable
from pathlib import Path

import lightly.loss
import pytest
import torch

from tests.examples.conftest import EXAMPLES, Example

SCRIPTS = {"pytorch_loop", "lightly_simclr", "sentence_transformers_images"}
SMALL = ("--epochs", "8", "--batch-size", "32")


def test_every_script_has_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == SCRIPTS
    page = (EXAMPLES / "README.md").read_text()
    assert all(f"[{name}.py]({name}.py)" in page for name in SCRIPTS)


def test_plain_loop_learns_from_a_published_set(example: Callable[[str], Example], mined: Path) -> None:
    losses = example("pytorch_loop")([str(mined / "set"), *SMALL, "--size", "16", "--device", "cpu"])
    assert len(losses) == 8 and sum(losses[-3:]) / 3 < losses[0]


def test_loss_of_the_plain_loop_is_that_of_lightly(example: Callable[[str], Example]) -> None:
    first, second = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    found = example("pytorch_loop").__globals__["nt_xent"](first, second, temperature=0.3)
    torch.testing.assert_close(found, lightly.loss.NTXentLoss(temperature=0.3)(first, second))


def test_lightly_learns_from_a_workspace(example: Callable[[str], Example], mined: Path) -> None:
    losses = example("lightly_simclr")([str(mined / "w"), *SMALL, "--size", "16", "--device", "cpu"])
    assert len(losses) == 8 and sum(losses[-3:]) / 3 < losses[0]


def test_sentence_transformers_learn_from_columns(
    example: Callable[[str], Example], mined: Path, tmp_path: Path
) -> None:
    for package in ("sentence_transformers", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install sentence-transformers accelerate")
    output = ("--output", str(tmp_path / "model"), "--lr", "1e-3")
    losses = example("sentence_transformers_images")([str(mined / "set"), *SMALL, *output])
    assert sum(losses[-2:]) < sum(losses[:2])
    assert (tmp_path / "model" / "modules.json").is_file()
