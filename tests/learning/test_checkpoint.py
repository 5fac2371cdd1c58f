from pathlib import Path

import pytest
import torch
from torch import nn

from miner.errors import MinerError
from miner.learning.checkpoint import load_checkpoint, save_checkpoint


def training() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def advance(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def test_training_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    model, optimizer = training()
    advance(model, optimizer)
    save_checkpoint(tmp_path / "last.pt", 1, model, optimizer)
    advance(model, optimizer)
    other, other_optimizer = training()
    assert load_checkpoint(tmp_path / "last.pt", other, other_optimizer) == 1
    advance(other, other_optimizer)
    assert torch.equal(other.weight, model.weight)


def test_without_a_checkpoint_training_starts_at_zero(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last.pt", *training()) == 0


@pytest.mark.parametrize("damage", [b"", b"no zip", None])
def test_a_damaged_checkpoint_is_an_error(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, 1, *training())
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    with pytest.raises(MinerError, match=r"last\.pt is damaged.*--force"):
        load_checkpoint(path, *training())


@pytest.mark.parametrize("damage", [b"", b"no zip", None, "gone"])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes | str | None
) -> None:
    path = tmp_path / "last.pt"
    model, optimizer = training()
    for step in (1, 2):
        advance(model, optimizer)
        save_checkpoint(path, step, model, optimizer)
        if step == 1:
            after_one = model.weight.detach().clone()
    if isinstance(damage, str):  # killed between the two renames
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    other, other_optimizer = training()
    assert load_checkpoint(path, other, other_optimizer) == 1
    assert torch.equal(other.weight, after_one)
    assert ("continuing from last.previous.pt" in capsys.readouterr().err) == (damage != "gone")


def test_trainings_in_one_folder_have_their_own_checkpoints(tmp_path: Path) -> None:
    model, optimizer = training()
    for step in (1, 2):
        save_checkpoint(tmp_path / "one.pt", step, model, optimizer)
    assert load_checkpoint(tmp_path / "other.pt", *training()) == 0


def test_what_cannot_be_read_back_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, 1, *training())
    written, save = path.read_bytes(), torch.save

    def failing_disk(state: object, target: Path) -> None:
        save(state, target)
        content = bytearray(target.read_bytes())
        content[content.index(b"data/0") + 200] ^= 1
        target.write_bytes(content)

    monkeypatch.setattr("torch.save", failing_disk)
    with pytest.raises(MinerError, match="could not be read back"):
        save_checkpoint(path, 2, *training())
    assert path.read_bytes() == written and [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_of_another_model_is_an_error(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.pt", 1, *training())
    model = nn.Linear(4, 2)
    with pytest.raises(MinerError, match="size mismatch"):
        load_checkpoint(tmp_path / "last.pt", model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"step": 1, "method": Trap(), "optimizer": {}}, tmp_path / "last.pt")
    with pytest.raises(MinerError):
        load_checkpoint(tmp_path / "last.pt", *training())
    assert not (tmp_path / "ran").exists()
