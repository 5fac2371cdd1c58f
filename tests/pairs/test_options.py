import pytest

from miner.errors import UsageError
from miner.pairs.options import PairsOptions


def test_band_in_the_wrong_order_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--min 0.9 is above --max 0.8"):
        PairsOptions.parse({"min": 0.9, "max": 0.8})
    with pytest.raises(UsageError, match=r"--min 0.97 is above --max 0.95; .* add --rule shared"):
        PairsOptions.parse({"max": 0.95})


def test_auto_and_a_band_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="leave out --auto"):
        PairsOptions.parse({"auto": True, "min": 0.5})


def test_all_options_of_a_run_can_be_given_again() -> None:
    options = PairsOptions(min=0.5, max=0.9, engine="faiss")
    assert PairsOptions.parse(options.plain()) == options


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({}, "shared"),
        ({"neighbors": 5}, "shared"),
        ({"min": 0.5}, "band"),
        ({"mutual": True}, "band"),
        ({"engine": "ivf"}, "band"),
        ({"rule": "mutual", "max": 0.9}, "mutual"),
        ({"rule": "knn", "engine": "hnsw"}, "knn"),
        ({"shared": 8, "max": 0.9}, "shared"),
        ({"local": 0.1, "min": 0.5}, "local"),
    ],
)
def test_rule_follows_from_what_is_given(values, rule) -> None:
    options = PairsOptions.parse(values)
    assert options.chosen_rule.name == rule
    assert PairsOptions.parse(options.plain()) == options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "mutual", "mutual": True}, "--mutual belongs to --rule band, not to mutual"),
        ({"rule": "knn", "engine": "faiss"}, "--engine faiss belongs to --rule band, not to knn"),
        ({"against": "x", "min": 0.9, "engine": "ivf"}, "--against finds all of its pairs, which ivf may miss"),
        ({"rule": "band", "shared": 3}, "--shared belongs to --rule shared, not to band"),
        ({"rule": "mutual", "local": 0.1}, "--local belongs to --rule local, not to mutual"),
        ({"neighbors": 3, "shared": 6}, "two lists of 6 have at most 5 in common"),
    ],
)
def test_options_of_another_rule_are_refused(values, message) -> None:
    with pytest.raises(UsageError, match=message):
        PairsOptions.parse(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nprobe": 3}, "--nprobe belongs to --engine ivf, not to exact"),
        ({"engine": "hnsw", "nlist": 3}, "--nlist belongs to --engine ivf, not to hnsw"),
        ({"engine": "ivf", "ef_search": 3}, "--ef-search belongs to --engine hnsw, not to ivf"),
        ({"engine": "faiss", "recall": 0.9}, "--recall belongs to --engine ivf or hnsw, not to faiss"),
        ({"engine": "annoy"}, "--engine"),
        ({"engine": "ivf", "append": True}, "--append needs an exact engine"),
        ({"engine": "hnsw", "append": True, "rule": "mutual"}, "--append needs an exact engine"),
    ],
)
def test_options_of_another_engine_are_refused(values, message) -> None:
    with pytest.raises(UsageError, match=message):
        PairsOptions.parse(values)
