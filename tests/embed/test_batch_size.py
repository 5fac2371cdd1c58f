"""Finding a batch size, and keeping to the one that embeddings were begun with."""

from pathlib import Path

import pytest
import torch

from miner.artifacts.workspace import Workspace
from miner.embed import batch_size as probe
from miner.embed.batch_size import find_batch_size, worth_while
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.errors import UsageError
from tests.embed.test_worker import vectors

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rates", "found"),
    [
        ([(32, 100.0), (64, 180.0), (128, 300.0), (256, 310.0), (512, 900.0)], 128),
        ([(32, 100.0), (64, 200.0), (128, 0.0), (256, 900.0)], 64),
        ([(8, 100.0), (16, 104.0)], 8),
        ([(8, 100.0)], 8),
    ],
)
def test_growth_ends_where_it_gains_too_little_or_does_not_fit(rates: list[tuple[int, float]], found: int) -> None:
    assert worth_while(iter(rates)) == found


def test_larger_batches_are_not_tried_once_they_do_not_pay() -> None:
    tried = []

    def encode(pixels: torch.Tensor) -> None:
        tried.append(len(pixels))
        if len(pixels) > 64:
            raise torch.OutOfMemoryError

    assert find_batch_size(encode, 2, 1_000_000, torch.device("cuda")) in (32, 64)
    assert max(tried) <= 128


def test_small_sources_are_not_worth_a_probe() -> None:
    assert find_batch_size(lambda _: pytest.fail("tried"), 2, 500, CPU) == probe.BATCH_ON_CPU


def test_the_size_found_is_in_the_request_and_goes_on_after_a_kill(make_photos, tmp_path: Path, monkeypatch) -> None:
    options = EmbedOptions(source=str(make_photos(count=20)), block_size=8, batch_size=0, device="cpu")
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    monkeypatch.setattr(Worker, "find_batch_size", lambda *_: 3)
    assert embed(options, whole).record["request"]["batch_size"] == 3
    encode, calls = Worker.vectors, []

    def die(worker: Worker, pixels: torch.Tensor):
        calls.append(len(pixels))
        if len(calls) > 6:
            raise KeyboardInterrupt
        return encode(worker, pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die)
        embed(options, killed)
    assert max(calls) == 3
    monkeypatch.setattr(Worker, "find_batch_size", lambda *_: pytest.fail("tried again"))
    assert embed(options.model_copy(update={"batch_size": None}), killed).record["request"]["batch_size"] == 3
    assert vectors(killed) == vectors(whole)
    assert not embed(options, killed).fresh


def test_embeddings_with_the_usual_size_stay_as_they_are(make_photos, tmp_path: Path, monkeypatch) -> None:
    options = EmbedOptions(source=str(make_photos(count=6)), device="cpu")
    embed(options, Workspace(tmp_path))
    monkeypatch.setattr(Worker, "find_batch_size", lambda *_: pytest.fail("tried"))
    assert not embed(options.model_copy(update={"batch_size": 0}), Workspace(tmp_path)).fresh


def test_a_probe_here_says_nothing_about_a_cluster(make_photos, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cluster"):
        embed(EmbedOptions(source=str(make_photos(count=6)), batch_size=0, engine_address="auto"), Workspace(tmp_path))
