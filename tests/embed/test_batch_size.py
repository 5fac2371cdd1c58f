"""Trying batch sizes, and folders whose request holds a batch size that an older miner had found."""

from pathlib import Path

import pytest
import torch

from miner.artifacts.workspace import Workspace
from miner.commands.doctor import doctor
from miner.embed.batch_size import measured_rates, worth_while
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.engine.records import read_json, write_signed
from miner.errors import MinerError, UsageError
from tests.embed.folders import add_images, checksums, die_at_call
from tests.embed.small_encoder import small_encoder

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("rates", "found"),
    [
        ({32: 100.0, 64: 180.0, 128: 300.0, 256: 310.0, 512: 900.0}, 128),
        ({32: 100.0, 64: 200.0}, 64),
        ({8: 100.0, 16: 104.0}, 8),
        ({8: 100.0}, 8),
    ],
)
def test_worth_while_ends_where_doubling_gains_too_little(rates: dict[int, float], found: int) -> None:
    assert worth_while(rates) == found


def test_measured_rates_end_where_memory_does() -> None:
    tried = []

    def encode(pixels: torch.Tensor) -> None:
        tried.append(len(pixels))
        if len(pixels) > 64:
            raise torch.OutOfMemoryError

    rates = measured_rates(encode, 2, GPU)

    assert list(rates) == [2, 4, 8, 16, 32, 64] and min(rates.values()) > 0
    assert max(tried) == 128


def test_measured_rates_without_any_memory_are_an_error() -> None:
    def encode(pixels: torch.Tensor) -> None:
        raise MemoryError

    with pytest.raises(MinerError, match="2 images do not fit"):
        measured_rates(encode, 2, GPU)


def test_doctor_measures_an_encoder_and_names_a_size(monkeypatch) -> None:
    monkeypatch.setattr(Worker, "rates_by_batch_size", lambda _: {2: 100.0, 4: 180.0, 8: 181.0})

    result = doctor("efficientnet_lite0")

    assert result.record["batch_size"] == 4 and result.record["images_per_s"] == {"2": 100.0, "4": 180.0, "8": 181.0}
    assert "Use --batch-size 4" in result.lines[-1]


def test_worker_measures_every_size(make_photos) -> None:
    worker = Worker(EmbedOptions(source=str(make_photos(count=2)), workers=2, device="cpu"))
    worker.encoder = small_encoder()
    threads = torch.get_num_threads()

    rates = worker.rates_by_batch_size()

    assert list(rates) == [2, 4, 8, 16, 32, 64] and min(rates.values()) > 0
    assert torch.get_num_threads() == threads


def test_batch_size_0_names_the_command_that_tries_sizes() -> None:
    with pytest.raises(UsageError, match=r"--batch-size: 0 is not a size. `miner doctor --encoder NAME`"):
        EmbedOptions.parse({"source": "sample", "batch_size": 0})


def begun_by_an_older_miner(options: EmbedOptions, workspace: Workspace, size: int) -> None:
    """Finished embeddings whose request holds the batch size, as `--batch-size 0` wrote it."""
    embed(options.model_copy(update={"batch_size": size}), workspace)
    manifest = read_json(workspace.embeddings / "manifest.json")
    manifest["request"]["batch_size"] = size
    write_signed(workspace.embeddings / "manifest.json", manifest)


def test_finished_embeddings_with_a_found_size_count_as_finished(make_photos, tmp_path: Path) -> None:
    options, workspace = EmbedOptions(source=str(make_photos(count=6)), device="cpu"), Workspace(tmp_path / "w")
    begun_by_an_older_miner(options, workspace, 3)

    assert not embed(options, workspace).fresh
    assert not embed(options.model_copy(update={"batch_size": 3}), workspace).fresh
    with pytest.raises(MinerError, match="--batch-size was 3 and is now not given"):
        embed(options.model_copy(update={"batch_size": 4}), workspace)


def test_unfinished_embeddings_go_on_with_the_found_size(make_photos, tmp_path: Path, monkeypatch) -> None:
    folder = make_photos(count=20)
    options = EmbedOptions(source=str(folder), block_size=8, device="cpu")
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    for workspace in (whole, killed):
        begun_by_an_older_miner(options, workspace, 3)
    add_images(folder, 6)
    assert embed(options, whole).record["request"]["batch_size"] == 3

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(2))
        embed(options, killed)
    embed(options, killed)

    assert checksums(killed.embeddings) == checksums(whole.embeddings)
