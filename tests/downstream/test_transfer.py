"""Transfer to other data sets: the protocol, validation, metrics, and copies of images of pretraining."""

import json
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression

import miner
from miner.artifacts.runs.labelled import LabelledImages, is_held_out
from miner.artifacts.workspace import Workspace
from miner.downstream import transfer as module
from miner.downstream.network import encoded_features, find_network
from miner.downstream.overlap import measure_overlap
from miner.downstream.ranks import rank_lines, ranked_networks
from miner.downstream.run import transfer
from miner.downstream.transfer import C_VALUES, TransferSet, open_set
from miner.embed.options import EmbedOptions
from miner.embed.run import embed
from miner.engine import write_json
from miner.errors import UsageError
from miner.evaluate.network_options import TransferOptions
from miner.source import open_source
from tests.artifacts.class_folders import class_folders
from tests.leaks.pictures import write_pictures

NETWORK = "random:timm:test_resnet"
ASKED = {"network": NETWORK, "device": "cpu", "workers": 1, "batch_size": 32}
FEW_C = tuple(C_VALUES[::6])


def options(**values: object) -> TransferOptions:
    return TransferOptions.parse({**ASKED, "sets": ["sample"], **values})


def test_penalties_are_those_of_the_protocol() -> None:
    assert len(C_VALUES) == 45 and C_VALUES[0] == pytest.approx(1e-6) and C_VALUES[-1] == pytest.approx(1e5)


def test_the_accuracy_is_that_of_scikit_learn(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "C_VALUES", FEW_C[:5])
    workspace = Workspace(tmp_path)
    record = transfer(options(limit=60), workspace).record["sets"][0]
    data, network = (
        open_set("sample", options(limit=60), find_network(options(), workspace)),
        find_network(options(), workspace),
    )
    cpu = torch.device("cpu")
    train, test = (
        encoded_features(network.open(), side, 32, cpu, 1).numpy() for side in (data.split.gallery, data.split.test)
    )
    labels, truth = (side.labels().numpy() for side in (data.split.gallery, data.split.test))
    held_out = torch.tensor(
        [is_held_out(f"validation {entry.key}", 0.1) for entry in data.split.gallery.entries]
    ).numpy()
    result = record["results"]["trained"]
    for tried in result["candidates"]:
        oracle = LogisticRegression(C=tried["C"], tol=1e-7, max_iter=5000).fit(train[~held_out], labels[~held_out])
        expected = 100 * oracle.score(train[held_out], labels[held_out])
        assert tried["validation"] == pytest.approx(expected, abs=100 / held_out.sum() + 0.01)
    oracle = LogisticRegression(C=result["chosen"], tol=1e-7, max_iter=5000).fit(train, labels)
    assert result["test"] == pytest.approx(100 * oracle.score(test, truth), abs=100 / len(truth) + 0.01)


def test_official_validation_images_choose(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "C_VALUES", FEW_C[:2])
    names = {0: "top", 1: "trouser"}
    parts = [class_folders(tmp_path / name, names, skip) for name, skip in (("train", 0), ("val", 120), ("test", 60))]
    record = transfer(options(sets=[",".join(parts)], metric="per_class"), Workspace(tmp_path / "w")).record["sets"][0]
    assert (record["validation"], record["test"]) == (parts[1], parts[2])
    assert record["n_validation"] == len(list((tmp_path / "val").rglob("*.png")))
    assert record["unit"].startswith("mean per-class") and "random weights" in record["verdict"]
    with pytest.raises(UsageError, match="is not TRAIN"):
        transfer(options(sets=["a,b,c,d"]), Workspace(tmp_path / "w"))


def test_several_sets_give_mean_ranks(tmp_path: Path) -> None:
    def record(name: str, spec: str, trained: float, random: float) -> dict:
        request = {"set": spec, "limit": 9, "network": name, "batch_size": len(name)}
        made = {
            "request": request,
            "network": name,
            "results": {"trained": {"test": trained}, "random": {"test": random}},
        }
        write_json(tmp_path / "eval" / f"transfer-{spec}-{name}.json", made)
        return made

    ours = [record("ours", "a", 70.0, 20.0), record("ours", "b", 60.0, 30.0)]
    record("other", "a", 80.0, 20.0), record("other", "b", 50.0, 10.0), record("half", "a", 99.0, 1.0)
    ranked = ranked_networks(ours, Workspace(tmp_path))
    ranks = {"other": 1.5, "ours": 1.5, "random:ours": 3.25, "random:other": 3.75}
    assert {row["network"]: row["mean_rank"] for row in ranked} == ranks and ranked[-1]["network"] == "random:other"
    lines = rank_lines(ours, ranked)
    assert lines[0] == "| network | a | b | mean rank |" and "| ours | 70.0 % | 60.0 % | 1.5 |" in lines
    stricter = {**ours[0], "request": {**ours[0]["request"], "limit": 8}}
    assert ranked_networks([stricter, ours[1]], Workspace(tmp_path)) == []


def test_the_mean_per_class_counts_classes_alike() -> None:
    truth, named = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    assert TransferSet(None, None, "top1").accuracy(named, truth) == 75.0
    assert TransferSet(None, None, "per_class").accuracy(named, truth) == pytest.approx(100 * (2 / 3 + 1) / 2, abs=1e-3)


def test_copies_of_pretraining_images_are_counted(tmp_path: Path) -> None:
    train, test = write_pictures(tmp_path / "train", range(8)), write_pictures(tmp_path / "test", range(6, 12))
    source, workspace = open_source(str(test)), Workspace(tmp_path / "w")
    whole = LabelledImages(source, list(source.entries), str(test))
    found = measure_overlap(whole, str(train), workspace, "cpu")
    assert (found["images"], found["shared"], found["kinds"]["bytes"]) == (6, 2, 2)
    assert f"2 of the 6 test images of {test} are copies" in found["sentence"]
    assert "name them with --pretraining" in measure_overlap(whole, None, workspace, "cpu")["sentence"]
    part = LabelledImages(source, source.entries[1:4], str(test))
    found = measure_overlap(part, str(train), workspace, "cpu")
    assert (found["images"], found["shared"], found["kinds"]["bytes"]) == (3, 1, 1)


def test_test_images_of_the_pretraining_source_are_all_shared(tmp_path: Path) -> None:
    folder, workspace = write_pictures(tmp_path / "photos", range(8)), Workspace(tmp_path / "w")
    embed(EmbedOptions(source=str(folder), limit=5, device="cpu"), workspace)
    source = open_source(str(folder))
    images = LabelledImages(source, source.entries[3:], str(folder))
    assert measure_overlap(images, str(workspace.root), workspace, "cpu")["shared"] == 2
    assert measure_overlap(images, f"{folder}/", workspace, "cpu")["shared"] == 5
    assert not (workspace.root / "eval").exists()


def test_the_same_request_returns_at_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "C_VALUES", FEW_C[:1])
    opened = miner.eval_transfer(tmp_path, quiet=True, sets="sample", limit=40, **ASKED)
    path = Path(opened.path) / "eval/transfer-sample-random-timm-test_resnet.json"
    record = json.loads(path.read_text())
    again = transfer(options(limit=40), Workspace(tmp_path))
    assert not again.fresh and again.record["sets"] == [record]
    assert record["results"]["trained"] == record["results"]["random"] and record["overlap"]["pretraining"] is None
