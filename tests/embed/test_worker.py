"""Throughput machinery: where blocks run and how much memory they find must not change the vectors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.parts import BlockParts
from miner.embed.run import embed
from miner.embed.worker import Worker
from miner.errors import MinerError
from tests.embed.folders import checksums


def test_several_devices_give_the_bytes_of_one(make_photos, tmp_path, copied_workers) -> None:
    folder = str(make_photos(count=20))
    one, two = Workspace(tmp_path / "one"), Workspace(tmp_path / "two")
    embed(EmbedOptions(source=folder, block_size=6, device="cpu"), one)
    embed(EmbedOptions(source=folder, block_size=6, device="cpu,cpu"), two)
    assert checksums(one.embeddings) == checksums(two.embeddings)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_number_of_threads_does_not_change_a_byte(precision: str, make_photos, tmp_path) -> None:
    folder, before = str(make_photos(count=40)), torch.get_num_threads()
    found = []
    for workers in (1, 2, 5):
        workspace = Workspace(tmp_path / str(workers))
        embed(EmbedOptions(source=folder, workers=workers, precision=precision, device="cpu"), workspace)
        found.append(checksums(workspace.embeddings))
    assert found[0] == found[1] == found[2]
    assert torch.get_num_threads() == before


def test_feeding_a_device_gives_the_vectors_of_cpu_threads(make_photos, tmp_path) -> None:
    folder = make_photos(count=21)
    (folder / "class0" / "001.jpg").write_bytes(b"broken")
    found, threads = [], torch.get_num_threads()
    for number, on_cpu in enumerate((True, False)):
        worker = Worker(EmbedOptions(source=str(folder), batch_size=4, device="cpu"))
        worker.on_cpu = on_cpu
        torch.set_num_threads(1)
        files = [tmp_path / f"{number}-{name}" for name in ("vectors.npy", "errors.parquet", "metadata.parquet")]
        worker.encode_block(worker.source.entries, BlockParts(tmp_path, number, "float16"), *files)
        found.append([file.read_bytes() for file in files])
        assert len(np.load(files[0])) == 20 and worker.meter.images == 21 and worker.meter.encoding_s > 0
    torch.set_num_threads(threads)
    assert found[0] == found[1]


def test_batch_is_halved_when_memory_runs_out(make_photos, monkeypatch) -> None:
    worker = Worker(EmbedOptions(source=str(make_photos(count=10)), batch_size=8))
    pixels = torch.stack([torch.full((224, 224, 3), 20 * number, dtype=torch.uint8) for number in range(10)])
    whole = worker.vectors(pixels)
    encode, sizes = type(worker.encoder).encode, []

    def small_memory(encoder, batch: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return encode(encoder, batch, precision)

    monkeypatch.setattr(type(worker.encoder), "encode", small_memory)
    np.testing.assert_allclose(worker.vectors(pixels), whole, atol=5e-3)
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    worker.vectors(pixels[:4])
    assert sizes[7:] == [2, 2]
    monkeypatch.setattr(type(worker.encoder), "encode", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError()))
    with pytest.raises(MinerError, match="One image does not fit"):
        worker.vectors(pixels)


def test_mostly_failing_run_stops_with_the_reasons_and_can_go_on(make_photos, tmp_path) -> None:
    folder = make_photos(count=30, classes=0)
    for path in sorted(folder.iterdir())[:14]:
        path.write_bytes(b"broken")
    workspace = Workspace(tmp_path / "w")
    options = EmbedOptions(source=str(folder), block_size=7)
    with pytest.raises(MinerError, match=r"14 of 30 images .*14 x no known image format.*--max-errors"):
        embed(options, workspace)
    kept = (Path(workspace.embeddings) / "metadata" / "metadata_00000.parquet").stat().st_ino
    assert embed(options.model_copy(update={"max_errors": 1.0}), workspace).record["count"] == 16
    assert (Path(workspace.embeddings) / "metadata" / "metadata_00000.parquet").stat().st_ino == kept


def test_the_log_says_what_bounds_the_run(make_photos, tmp_path) -> None:
    result = embed(EmbedOptions(source=str(make_photos(count=12))), Workspace(tmp_path / "w"))
    assert result.measured["images"] == 12 and result.measured["images_per_s"] > 0
    assert 0 <= result.measured["data_wait_share"] <= 1
    assert result.measured["bound_by"] in ("encoding", "decoding")
    assert result.measured["peak_memory_mb"] > 100
    assert "measured" not in result.record and "images/s" in result.lines[-1]
