"""What changed between two requests, in words."""

import pytest

from miner.artifacts.differences import differences
from miner.evaluate.options import KnnOptions, LinearOptions
from miner.export.options import ExportOptions
from miner.options import Options, flag_name
from miner.pairs.options import CalibrateOptions, PairsOptions
from miner.publish.options import PublishOptions
from miner.refine.options import GraphOptions, RefineStageOptions
from miner.train.settings.options import TrainOptions

HASH, OTHER = "0123456789abcdef", "fedcba9876543210" * 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"top_k": 2}, {"top_k": None}, "--top-k was 2 and is now not given"),
        ({"mutual": False}, {"mutual": True}, "--mutual was not given and is now given"),
        ({"encoder": "resnet50"}, {"encoder": "resnet18"}, "--encoder was resnet50 and is now resnet18"),
        ({}, {"draft": 2.0}, "--draft was not given and is now 2.0"),
        ({"source": "/a"}, {"source": "/b"}, "SOURCE was /a and is now /b"),
        ({"band": {"min": 0.5, "max": 0.9}}, {"band": {"min": 0.6, "max": 0.9}}, "--min was 0.5 and is now 0.6"),
        ({"title": "a" * 99}, {"title": "b"}, f"--title was {'a' * 60}... and is now b"),
        ({"embeddings": HASH, "seed": 0}, {"embeddings": OTHER, "seed": 0}, "the embeddings are others"),
        ({"inputs": HASH}, {"inputs": OTHER}, "the images or pairs to train on are others"),
        ({"rejected": None}, {"rejected": HASH}, "the decisions of reviewers are others"),
        ({"sources": {"test": HASH}}, {"sources": {"test": OTHER}}, "the labelled images are others"),
        ({"init_from": None}, {"init_from": OTHER}, "the weights to start from are others"),
        ({"miner_version": "0.1"}, {"miner_version": "0.2"}, "the version of miner was 0.1 and is now 0.2"),
        ({"symmetric": False, "k": 1}, {"symmetric": None, "k": 2}, "--k was 1 and is now 2"),
        ({"k": 1}, {"k": 1}, ""),
    ],
)
def test_changes_are_said_in_words(old, new, said: str) -> None:
    assert differences(old, new) == said


@pytest.mark.parametrize(
    "options",
    [
        *(PairsOptions, CalibrateOptions, ExportOptions, PublishOptions, TrainOptions, RefineStageOptions),
        *(GraphOptions, KnnOptions, LinearOptions),
    ],
)
def test_every_option_is_named_by_its_flag(options: type[Options]) -> None:
    for name in options.model_fields:
        assert differences({name: 1}, {name: 2}) == f"{flag_name(name)} was 1 and is now 2" or name == "source"
