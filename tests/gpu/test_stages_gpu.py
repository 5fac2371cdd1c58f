"""Stages of the pipeline on a GPU against the same stages on the CPU."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from miner.artifacts.embeddings.store import EmbeddingStore
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.learning.networks.backbones import build_resnet
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.train.loop.metrics import read_metrics
from miner.train.methods.contrastive.moco import MoCo
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.methods.tiny import batch
from tests.train.mini_workspace import TINY_RUN, write_shards

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def embedded(folder: Path, **options: object) -> Workspace:
    workspace = Workspace(folder)
    embed(EmbedOptions(source="sample", dtype="float32", **options), workspace)
    return workspace


@pytest.mark.parametrize(("precision", "furthest"), [("fp32", 1e-4), ("bf16", 0.02)])
@pytest.mark.parametrize("batch_size", [7, 64])
def test_vectors_are_those_of_the_cpu(tmp_path: Path, precision: str, furthest: float, batch_size: int) -> None:
    on_cpu = EmbeddingStore(embedded(tmp_path / "cpu", limit=100, device="cpu", precision="fp32")).vectors
    chosen = {"limit": 100, "device": "cuda", "precision": precision, "batch_size": batch_size}
    on_gpu = EmbeddingStore(embedded(tmp_path / "gpu", **chosen)).vectors
    cosines = (np.asarray(on_cpu, np.float64) * np.asarray(on_gpu, np.float64)).sum(axis=1)
    assert cosines.min() > 1 - furthest


def test_pairs_are_those_of_the_cpu(tmp_path: Path) -> None:
    whole = embedded(tmp_path / "cpu", limit=600, device="cuda")
    shutil.copytree(tmp_path / "cpu", tmp_path / "gpu")
    tables = []
    for device, workspace in (("cpu", whole), ("cuda", Workspace(tmp_path / "gpu"))):
        pairs(PairsOptions(min=0.8, max=0.99, device=device), workspace)
        tables.append([pq.read_table(path) for path in sorted(workspace.pairs.glob("*.parquet"))])
    assert tables[0] == tables[1] and any(len(table) for table in tables[0])


def losses_of_three_steps(device: str) -> list[float]:
    draw = torch.Generator().manual_seed(0)
    backbone, width = build_resnet("resnet18", "cifar", seed=0)
    method = MoCo(backbone, width, dim=32, queue_size=32, momentum=0.9, temperature=0.2, symmetric=True, seed=0).to(
        device
    )
    optimizer = torch.optim.SGD(method.trainable(), lr=0.05)
    losses = []
    for _ in range(3):
        first, second = torch.randn(2, 8, 3, 32, 32, generator=draw).to(device)
        loss = method(batch(first, second, draw))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses


def test_training_steps_give_the_losses_of_the_cpu() -> None:
    torch.backends.cudnn.allow_tf32 = False
    assert losses_of_three_steps("cuda") == pytest.approx(losses_of_three_steps("cpu"), rel=0.01)


SMALL_CROPS = {
    **{"method": "dino", "backbone": "vit_tiny", "stem": "auto", "drop_path": 0.1, "local_crops": 2, "local_size": 16},
    **{"frozen_epochs": 1, "teacher_warmup_epochs": 1, "augmentation": "byol"},
}


@pytest.mark.parametrize("changes", [{"precision": "fp32"}, {"precision": "bf16"}, SMALL_CROPS])
def test_training_runs_to_its_end(tmp_path: Path, changes: dict) -> None:
    workspace = write_shards(tmp_path / "w", images=64, pairs=16)
    train(TrainOptions(**TINY_RUN | {"device": "cuda", "name": "run"} | changes), workspace)
    losses = [line["loss"] for line in read_metrics(workspace.run("run") / "metrics.jsonl")]
    assert len(losses) == 2 and np.isfinite(losses).all()
