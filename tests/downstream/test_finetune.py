"""Fine-tuning: which labels are used, that it learns, and that a killed one continues."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import miner
from miner.artifacts.runs.labelled import LabelledImages, is_held_out
from miner.artifacts.runs.networks import load_projector
from miner.artifacts.workspace import Workspace
from miner.downstream import fit
from miner.downstream.network import find_network, load_pixels
from miner.downstream.run import finetune
from miner.downstream.subset import balanced_subset, held_out_part, listed_subset
from miner.embed.encoders.base import Encoder
from miner.errors import MinerError, UsageError
from miner.evaluate.network_options import FinetuneOptions
from miner.images.preprocess import Preprocess
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.train.mini_workspace import TINY_RUN, sample_entries, write_shards

GIVEN = {"lr": 0.1, "head_lr": 0.5, "device": "cpu", "batch_size": 16}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of 120 labelled images with a finished run `moco`."""
    workspace = write_shards(tmp_path_factory.mktemp("finetune"), images=120, pairs=20)
    train(TrainOptions(**{**TINY_RUN, "epochs": 1, "batch_size": 16}), workspace)
    return workspace


def run(workspace: Workspace, force: bool = True, **options: object) -> dict:
    return finetune(FinetuneOptions.parse({**GIVEN, "epochs": 2, **options}), workspace, force=force).record


def test_subsets_are_nested_and_balanced() -> None:
    entries = sample_entries(1000)[1]
    small, large = (balanced_subset(entries, share, 0) for share in (0.01, 0.1))
    assert {entry.key for entry in small} < {entry.key for entry in large}
    for subset, each in ((small, 1), (large, 10)):
        labels = [entry.label for entry in subset]
        assert [labels.count(label) for label in range(10)] == [each] * 10
    assert {entry.key for entry in balanced_subset(entries, 0.01, 1)} != {entry.key for entry in small}
    assert sum(held_out_part(large)) == 20


def test_a_list_names_keys_paths_or_file_names(tmp_path: Path) -> None:
    entries = sample_entries(20)[1]
    names = [entries[3].key, entries[7].path, entries[1].path.rpartition("/")[2]]
    (tmp_path / "list.txt").write_text("\n".join([*names, ""]))
    assert listed_subset(entries, tmp_path / "list.txt") == [entries[1], entries[3], entries[7]]
    (tmp_path / "list.txt").write_text("nobody\n")
    with pytest.raises(MinerError, match="'nobody', which is no labelled image"):
        listed_subset(entries, tmp_path / "list.txt")
    with pytest.raises(UsageError, match="Give one of them"):
        FinetuneOptions.parse({"labels": tmp_path / "list.txt", "share": 0.1})


def test_it_learns_20_images_by_heart(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fit, "CROPS", fit.ViewSettings(area=(0.9, 1.0), jittered=(0.0, 0.0), grey=(0.0, 0.0)))
    torch.manual_seed(0)
    # Without batch norms, whose running statistics need more steps than a test has.
    layers = nn.Conv2d(3, 32, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 8 * 8, 64), nn.ReLU()
    encoder = Encoder("small", nn.Sequential(*layers), Preprocess(28, 28, "bilinear", (0.3,) * 3, (0.35,) * 3), "", "")
    images, cpu = LabelledImages(*sample_entries(20), "sample"), torch.device("cpu")
    pixels, labels, before = load_pixels(images, encoder.preprocess, 1), images.labels(), layers[0].weight.clone()
    schedule, rates = fit.Schedule(200, 20, 0), fit.Rates(1.0, 1.0)
    network = fit.fine_tune(encoder, pixels, labels, 10, rates, schedule, cpu, tmp_path / "fit.pt")
    assert (fit.named_classes(network, encoder, pixels, 10, cpu) == labels).all()
    assert torch.equal(layers[0].weight, before) and not torch.equal(network.backbone[0].weight, before)


def test_no_test_image_is_learned_from(workspace: Workspace) -> None:
    record = run(workspace, share=0.3)
    assert record["n_labelled"] == len(record["labelled_keys"]) and record["n_test"] > 0
    assert not any(is_held_out(key, 0.2) for key in record["labelled_keys"])
    with pytest.raises(MinerError, match="would be learned from and tested"):
        run(workspace, share=0.3, gallery="sample", test="sample", limit=60)


def test_the_record_holds_the_settings_and_a_verdict(workspace: Workspace) -> None:
    record = run(workspace, share=0.3)
    assert record["results"]["trained"]["chosen"] == {"lr": 0.1, "head_lr": 0.5}
    assert (record["epochs"], record["batch_size"], record["steps"]) == (2, 16, 2 * -(-record["n_labelled"] // 16))
    assert "random weights" in record["verdict"] and "95 % intervals" in record["verdict"]
    assert record["run"] == "moco" and record["preprocess"]["crop"] == 32
    entries = sample_entries(120)[1]
    known, tested = (
        [entry.label for entry in entries if is_held_out(entry.key, 0.2) == side] for side in (False, True)
    )
    most = max(range(10), key=known.count)
    assert record["majority"] == pytest.approx(100 * tested.count(most) / len(tested), abs=1e-3)
    assert not list(workspace.run("moco").glob("eval/*.parts"))
    again = finetune(FinetuneOptions.parse({**GIVEN, "epochs": 2, "share": 0.3}), workspace)
    assert not again.fresh and again.record["verdict"] in " ".join(again.lines)


def test_rates_are_chosen_on_held_out_labels(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr("miner.downstream.finetune.GRID", (fit.Rates(1e-6, 1e-6), fit.Rates(0.1, 0.5)))
    record = run(workspace, share=0.2, epochs=1, lr=None, head_lr=None)
    trained = record["results"]["trained"]
    assert len(trained["candidates"]) == 2
    best = max(trained["candidates"], key=lambda tried: tried["validation"])
    assert trained["chosen"] == {"lr": best["lr"], "head_lr": best["head_lr"]}
    assert record["n_validation"] == record["n_labelled"] // 5


def test_first_layer_of_the_projector_is_trained_too(workspace: Workspace) -> None:
    network = find_network(FinetuneOptions.parse({}), workspace)
    encoder, start = (network.open(random=random, layer="projector1") for random in (False, True))
    head = load_projector(workspace.run("moco"))
    assert encoder.dim == head[0].out_features and isinstance(encoder.network[1][-1], nn.ReLU)
    torch.testing.assert_close(encoder.network[1][0].weight, head[0].weight)
    assert not torch.equal(start.network[1][0].weight, head[0].weight)
    record = run(workspace, share=0.3, epochs=1, layer="projector1")
    assert record["layer"] == "the first layer of the projector"
    assert (workspace.run("moco") / "eval/finetune-0.3-projector1.json").exists()
    with pytest.raises(UsageError, match="takes no other network"):
        FinetuneOptions.parse({"layer": "projector1", "network": "resnet18"})


def test_a_killed_fit_continues_with_the_same_bytes(workspace: Workspace, monkeypatch) -> None:
    path = workspace.run("moco") / "eval/finetune-0.3.json"
    run(workspace, share=0.3)
    whole = path.read_bytes()
    path.unlink()
    monkeypatch.setattr(fit, "_CHECKPOINT_S", -1.0)
    kept, save = [], fit.save_checkpoint

    def save_and_die(*arguments: object) -> None:
        save(*arguments)
        kept.append(arguments[1])
        if len(kept) in (3, 6):
            raise KeyboardInterrupt

    monkeypatch.setattr(fit, "save_checkpoint", save_and_die)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(workspace, share=0.3, force=False)
    run(workspace, share=0.3, force=False)
    assert path.read_bytes() == whole and kept[3] == kept[2] + 1


def test_a_network_without_a_run_is_the_control(tmp_path: Path, monkeypatch) -> None:
    torch.manual_seed(0)
    asked = {"network": "random:timm:test_resnet", "gallery": "sample", "limit": 40, "share": 0.3, "epochs": 1}
    opened = miner.eval_finetune(tmp_path, quiet=True, **{**GIVEN, **asked})
    record = json.loads((Path(opened.path) / "eval/finetune-0.3-random-timm-test_resnet.json").read_text())
    assert record["run"] is None and record["network"] == "random:timm:test_resnet"
    assert record["results"]["trained"] == record["results"]["random"]
