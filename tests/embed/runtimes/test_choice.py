"""Which library encodes: what users see, and that equal commands give equal bytes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.workspace import Workspace
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.embed.runtimes import choice
from miner.embed.worker import Worker, _workers
from miner.engine import read_json, write_json
from miner.errors import MinerError, UsageError
from tests.embed.folders import add_images, checksums, die_at_call
from tests.embed.small_encoder import small_encoder

GRAPHS = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that takes no time, a cache whose graph is exported once, and no choices from other tests."""
    monkeypatch.setenv("MINER_CACHE", str(cache))
    monkeypatch.setattr("miner.embed.worker.load_encoder", lambda *_: small_encoder())
    _workers.clear()
    for path in cache.glob("runtimes/*"):
        path.unlink()
    yield
    _workers.clear()


def options(source: Path, **changes: object) -> EmbedOptions:
    return EmbedOptions(source=str(source), batch_size=4, block_size=8, device="cpu", **changes)


def rates(monkeypatch: pytest.MonkeyPatch, **rates: float) -> list[str]:
    """Let `auto` measure from four images on and find these rates; the runtimes that it measures, in their order."""
    asked: list[str] = []

    def rate(encode, _images, _clock) -> float:
        network = type(encode.args[0].network).__name__
        asked.append({"OnnxNetwork": "onnxruntime", "OpenVinoNetwork": "openvino"}.get(network, "torch"))
        return rates[asked[-1]]

    monkeypatch.setattr(choice, "LEAST_IMAGES", 4)
    monkeypatch.setattr("miner.machine.device.has_native_bf16", lambda _: False)
    monkeypatch.setattr("miner.embed.batch_size.images_per_second", rate)
    return asked


@pytest.mark.parametrize("runtime", GRAPHS)
def test_a_run_goes_on_with_its_runtime_to_the_same_bytes(runtime: str, make_photos, tmp_path, monkeypatch) -> None:
    pytest.importorskip(runtime)
    folder = make_photos(count=20)
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    record = embed(options(folder, runtime=runtime), whole).record
    assert (record["request"]["runtime"], record["precision"]) == (runtime, "float32")
    made = EmbeddingsManifest.read(whole).runtime
    assert made and made.name == runtime and len(made.graph_sha256) == 64
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "vectors", die_at_call(4))
        embed(options(folder, runtime=runtime), killed)
    embed(options(folder), killed)  # auto
    assert checksums(killed.embeddings) == checksums(whole.embeddings)
    add_images(folder, 5)
    assert embed(options(folder), whole).record["runtime"] == record["runtime"]


def test_torch_keeps_the_request_and_bytes_of_older_versions(make_photos, tmp_path) -> None:
    folder = make_photos(count=8)
    named, few = Workspace(tmp_path / "named"), Workspace(tmp_path / "few")
    record = embed(options(folder, runtime="torch"), named).record
    assert "runtime" not in record and "runtime" not in record["request"]
    embed(options(folder), few)
    assert checksums(named.embeddings) == checksums(few.embeddings)


def test_auto_measures_once_on_a_machine_and_takes_the_fastest(make_photos, tmp_path, monkeypatch, capsys) -> None:
    folder, asked = make_photos(count=12), rates(monkeypatch, torch=10, onnxruntime=20, openvino=15)
    one, two = Workspace(tmp_path / "one"), Workspace(tmp_path / "two")
    assert embed(options(folder), one).record["request"]["runtime"] == "onnxruntime"
    assert asked[:2] == ["torch", "onnxruntime"] and "onnxruntime encodes" in capsys.readouterr().err
    asked.clear()
    embed(options(folder), two)
    assert not asked and not capsys.readouterr().err
    assert checksums(one.embeddings) == checksums(two.embeddings)


def test_auto_stays_with_torch_unless_others_gain(make_photos, tmp_path, monkeypatch) -> None:
    rates(monkeypatch, torch=10, onnxruntime=10.8, openvino=9)
    folder, workspace = make_photos(count=12), Workspace(tmp_path / "w")
    assert "runtime" not in embed(options(folder), workspace).record["request"]
    rates(monkeypatch, torch=10, onnxruntime=99, openvino=9)
    add_images(folder, 3)
    assert "runtime" not in embed(options(folder), workspace).record["request"]  # as it was begun


def test_auto_stays_with_torch_in_native_bfloat16(make_photos, tmp_path, monkeypatch) -> None:
    asked = rates(monkeypatch, torch=10, onnxruntime=99, openvino=99)
    monkeypatch.setattr("miner.machine.device.has_native_bf16", lambda _: True)
    assert "runtime" not in embed(options(make_photos(count=12)), Workspace(tmp_path / "w")).record["request"]
    assert not asked


def test_doctor_says_what_auto_takes_and_why(make_photos, tmp_path, monkeypatch) -> None:
    rates(monkeypatch, torch=10, onnxruntime=20, openvino=15)
    monkeypatch.setattr("miner.embed.runtimes.networks.find_spec", lambda name: name == "onnxruntime" or None)
    folder = make_photos(count=12)
    worker = Worker(options(folder))
    assert "for 4 images or more, the fastest of torch, onnxruntime" in choice.expected_runtime(worker)
    embed(options(folder), Workspace(tmp_path / "w"))
    known = choice.expected_runtime(worker)
    measured = f"onnxruntime {20 * worker.workers}, torch {10 * worker.workers}"
    assert known.startswith(
        f"onnxruntime for 4 images or more (measured before, images per processor second: {measured}"
    )
    monkeypatch.setattr("miner.machine.device.has_native_bf16", lambda _: True)
    assert choice.expected_runtime(worker) == "torch: the processor multiplies bfloat16 natively"


def test_vectors_that_differ_are_left_out_in_words(make_photos, tmp_path, monkeypatch, capsys) -> None:
    asked = rates(monkeypatch, torch=10, onnxruntime=20, openvino=30)
    monkeypatch.setattr("miner.embed.runtimes.networks.LEAST_COSINE", 1.1)
    folder = make_photos(count=12)
    for number, runtime in enumerate(("auto", "onnxruntime")):
        record = embed(options(folder, runtime=runtime), Workspace(tmp_path / str(number))).record
        assert "runtime" not in record["request"]
        assert "--runtime onnxruntime is left out, and torch encodes: its vectors differ" in capsys.readouterr().err
    assert not asked


def test_a_network_without_export_is_encoded_by_torch(make_photos, tmp_path, monkeypatch, capsys) -> None:
    class Branching(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) if float(images.sum()) > 0 else images.amax((2, 3))

    small = small_encoder()
    monkeypatch.setattr(
        "miner.embed.worker.load_encoder", lambda *_: type(small)(**{**vars(small), "network": Branching()})
    )
    record = embed(options(make_photos(count=6), runtime="onnxruntime"), Workspace(tmp_path / "w")).record
    assert "runtime" not in record and "small cannot be exported as a graph" in capsys.readouterr().err


def test_without_its_library_a_run_says_how_to_go_on(make_photos, tmp_path, monkeypatch) -> None:
    folder, workspace = make_photos(count=8), Workspace(tmp_path / "w")
    embed(options(folder, runtime="onnxruntime"), workspace)
    add_images(folder, 3)
    _workers.clear()
    monkeypatch.setattr("miner.embed.runtimes.networks.find_spec", lambda _: None)
    with pytest.raises(
        MinerError, match=r"must go on with them: onnxruntime is not installed\. Run .*--force --runtime torch"
    ):
        embed(options(folder), workspace)
    with pytest.raises(MinerError, match="--runtime openvino needs openvino"):
        embed(options(folder, runtime="openvino"), Workspace(tmp_path / "new"))


def test_another_machine_is_told_that_the_arithmetic_differs(make_photos, tmp_path, capsys) -> None:
    folder, workspace = make_photos(count=8), Workspace(tmp_path / "w")
    embed(options(folder), workspace)
    add_images(folder, 3)
    embed(options(folder), workspace)
    assert not capsys.readouterr().err
    path = workspace.root / ".arithmetic.json"
    write_json(path, {**(read_json(path) or {}), "precision": "bfloat16", "machine": "Other"})
    add_images(folder, 3, start=50)
    embed(options(folder), workspace)
    assert "begun by torch" in (said := capsys.readouterr().err) and "bfloat16 on Other" in said and "--force" in said


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compile": True}, "--compile"),
        ({"precision": "bf16"}, "computes in float32"),
        ({"encoder": "onnx:m.onnx"}, "the encoder is a graph"),
        ({"device": "cpu,cuda:0"}, "computes on the CPU"),
    ],
)
def test_what_only_torch_computes_is_refused_for_others(changes: dict, reason: str) -> None:
    wanted = EmbedOptions(**{"source": "sample", "runtime": "onnxruntime", **changes})
    with pytest.raises(UsageError, match=reason):
        choice.begun_runtime(wanted, {"encoder": "small"})
