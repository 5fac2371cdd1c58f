"""The arms of a study as runs."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from miner.artifacts.runs.inputs import find_inputs
from miner.artifacts.workspace import Workspace
from miner.errors import MinerError
from miner.train.loop.metrics import read_metrics
from miner.train.prepare import prepare_run
from miner.train.run import train
from miner.train.settings.options import TrainOptions
from tests.images.folders import folder_of
from tests.train.mini_workspace import TINY_RUN, same_class_pairs, sample_entries, write_pairs, write_shards


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return write_shards(tmp_path_factory.mktemp("arms"), images=64, pairs=60)


def options(arm: str, **changes: object) -> TrainOptions:
    return TrainOptions(**{**TINY_RUN, "pairs_arm": arm, "name": arm.replace("=", "-"), **changes})


def test_all_arms_take_the_same_steps(workspace: Workspace) -> None:
    inputs = find_inputs(workspace, with_pairs=True)
    arms = (
        "semantic",
        "random-added",
        "anchor-oversample",
        "partner-shuffle",
        "random-wrong",
        "oracle",
        "precision=0.5",
    )
    for changes in ({"warmup_epochs": 1}, {"limit": 48, "pairs_per_anchor": 2}):
        plans = {
            arm: prepare_run(options(arm, **changes), inputs, torch.device("cpu")).plan
            for arm in (*arms, "equal-steps")
        }
        assert len({(p.steps, p.steps_per_epoch, p.warmup_steps, p.batch_size) for p in plans.values()}) == 1
        own, plan = plans.pop("equal-steps"), plans["semantic"]
        assert own.pairs == 0 and {plan.pairs for plan in plans.values()} == {plan.pairs} and plan.pairs > 8
        assert plan.steps == 2 * ((plan.images + plan.pairs) // 8)
        assert plan.warmup_steps == changes.get("warmup_epochs", 0) * plan.steps_per_epoch
        assert {arm for arm, plan in plans.items() if plan.plain()["uses_labels"]} == {"oracle", "precision=0.5"}


def test_a_run_of_equal_steps_ends_within_a_pass(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    record = train(options("equal-steps", epochs=1), workspace).record
    assert (record["steps"], record["steps_per_epoch"], record["epochs"], record["pairs"]) == (15, 15, 1, 0)
    assert "1.9 passes over the images, in as many steps" in capsys.readouterr().err
    last = read_metrics(workspace.run("equal-steps") / "metrics.jsonl")[-1]
    assert (
        last["step"] == 15 and last["epoch"] == 1 and record["final_rankme"] == pytest.approx(last["rankme"], rel=1e-4)
    )


def test_a_run_with_partners_takes_the_steps_of_own_views(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"partners": 2, "pair_weight": 0.5, "mask_known_positives": True, "epochs": 1, "name": "joint"}
    record = train(options("semantic", **changes), workspace).record
    assert (record["pairs"], record["items"], record["steps"], record["steps_per_epoch"]) == (60, 64, 8, 8)
    # Beside the query, keys of the second view and of up to two partners of some images pass the key encoder.
    assert record["passes_with_gradient"] == 1 and 2 < record["passes_without_gradient"] < 3
    assert record["forward_passes"] == pytest.approx(64 * (3 + record["passes_without_gradient"]), abs=1)
    assert (record["partners"], record["pair_weight"], record["mask_known_positives"]) == (2, 0.5, True)
    assert "up to 2 partners join each image in its step, each with weight 0.5" in capsys.readouterr().err


def test_masked_pairs_attract_nobody(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    record = train(options("mask-only", epochs=1), workspace).record
    assert (record["pairs"], record["items"], record["steps"]) == (60, 64, 15)
    assert record["mask_known_positives"] and record["pair_label_precision"] == 1.0 and not record["uses_labels"]
    assert "1.9 passes over the images, in as many steps" in capsys.readouterr().err


def test_partners_by_weight_and_with_the_robust_loss(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"partners": 1, "pair_loss": "rince", "pair_weights": "score", "epochs": 1, "name": "gentle"}
    record = train(options("semantic", **changes), workspace).record
    settings = ("pair_weights", "pair_loss", "pair_loss_q", "pair_loss_lambda")
    assert [record[name] for name in settings] == ["score", "rince", 0.5, 0.025]
    said = capsys.readouterr().err
    assert "each with weight 1, by RINCE with q 0.5 and lambda 0.025" in said and "by the rank of their score" in said


def test_weights_are_those_of_the_mined_pairs_in_every_arm(tmp_path: Path) -> None:
    workspace, entries = write_shards(tmp_path, images=64, pairs=60), sample_entries(64)[1]
    similarity = [0.99 - 0.001 * number for number in range(60)]
    write_pairs(workspace.shards / "pairs.parquet", same_class_pairs(entries, 60), True, similarity)
    inputs = find_inputs(workspace, with_pairs=True)

    def weights(arm: str, **changes: object) -> list[float] | None:
        run = prepare_run(options(arm, pair_weights="similarity", **changes), inputs, torch.device("cpu"))
        assert run.pairs.weights is None or len(run.pairs.weights) == len(run.pairs.rows)
        return None if run.pairs.weights is None else run.pairs.weights.tolist()

    ranks = [(2 * rank + 1) / 60 for rank in range(60)][::-1]
    for arm in ("semantic", "partner-shuffle", "matched-half", "random-wrong"):
        assert weights(arm) == pytest.approx(ranks)
    assert weights("matched-images") == pytest.approx([rank for rank in ranks for _ in range(2)])
    assert weights("equal-steps") is None and len(weights("semantic", pairs_per_anchor=1) or []) < 33


def test_a_run_that_used_labels_says_so_everywhere(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from miner.embed.encoders.trained_run import _labels_seen

    result = train(options("precision=.5", epochs=1, name="half"), workspace)
    expected = {"pairs_arm": "precision=0.5", "uses_labels": True, "pairs": 60, "pair_label_precision": 0.5}
    assert {name: result.record[name] for name in expected} == expected
    assert result.record["pair_images"] > 20 and result.record["pair_max_degree"] >= 2
    assert "uses labels" in capsys.readouterr().err and "drawn by label (--pairs-arm precision=0.5)" in "".join(
        result.lines
    )
    run = workspace.run("half")
    assert "uses_labels: true" in (run / "config.yaml").read_text() and "drawn by" in _labels_seen(run)

    unlabelled = write_shards(tmp_path, images=64, pairs=60, labelled=False)
    with pytest.raises(MinerError, match="64 of the 64 images have no label"):
        train(options("oracle"), unlabelled)


def test_a_run_of_central_squares_is_not_continued(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = options("none", name="squares")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            "miner.train.pretrain.read_metrics", Mock(side_effect=KeyboardInterrupt)
        )  # after the last checkpoint
        train(begun, workspace)
    config = workspace.run("squares") / "config.yaml"
    config.write_text(config.read_text().replace("short_side: 32", "canvas: 32"))
    with pytest.raises(MinerError, match=r"central squares .*--force"):
        train(begun, workspace)
    config.write_text(config.read_text().replace("canvas: 32", "short_side: 32"))
    assert train(begun, workspace).fresh


def test_photographs_train_alike_from_memory_and_files(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", [(30 + 5 * (number % 7), 90 - 4 * number) for number in range(16)])
    changes = {"source": source, "image_size": 24, "stem": "cifar", "least_area": 0.3}
    for data in ("memory", "stream"):
        train(options("none", name=data, data=data, **changes), Workspace(tmp_path))
    runs = [Workspace(tmp_path).run(data) for data in ("memory", "stream")]
    for name in ("metrics.jsonl", "backbone.safetensors", "config.yaml"):
        assert runs[0].joinpath(name).read_bytes() == runs[1].joinpath(name).read_bytes(), name
    assert "short_side: 30" in (runs[0] / "config.yaml").read_text()
