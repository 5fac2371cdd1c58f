import pytest

from miner.commands import doctor


def test_a_torchvision_for_another_torch_fails_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "torchvision" in doctor._torch()
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: ["numpy", "torch==1.9.0", "gdown; extra == 'gdown'"])
    said = doctor._answer(doctor._torch)
    assert said.startswith("FAILS") and "which needs torch==1.9.0. Install the two together" in said


def test_an_encoder_that_does_not_load_fails_in_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no weights")

    doctor._worker.cache_clear()
    monkeypatch.setattr("miner.embed.worker.load_encoder", broken)
    answers = doctor.doctor().record["checks"]
    assert [name for name, answer in answers.items() if answer == "FAILS: OSError: no weights"] == [
        "default encoder",
        "embed computes by",
    ]
