import pytest

from miner.errors import UsageError
from miner.source.splits import one_split, split_of


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00002.parquet", "train"),
        ("default/validation/0000.parquet", "validation"),
        ("plain_text/test-00000-of-00001.parquet", "test"),
        ("train/val.parquet", "validation"),
        ("constraints/latest.parquet", None),
        ("TRAIN_0.tar", "train"),
    ],
)
def test_split_is_a_whole_word_nearest_to_the_file(path: str, split: str | None) -> None:
    assert split_of(path) == split


def test_train_is_taken_and_the_rest_is_named() -> None:
    paths = ["data/test-0-of-1.parquet", "data/train-0-of-2.parquet", "data/train-1-of-2.parquet"]
    chosen, said = one_split("hf://datasets/a/b", paths)
    assert chosen == paths[1:]
    assert said is not None
    assert "hf://datasets/a/b/data/test-*.parquet" in said


def test_the_main_folder_is_taken() -> None:
    paths = ["data/train-0.parquet", "extra/train-0.parquet"]
    assert one_split("x", paths)[0] == ["data/train-0.parquet"]
    assert one_split("x", ["a/0.parquet", "b/0.parquet"]) == (["a/0.parquet", "b/0.parquet"], None)


def test_without_a_train_part_the_user_chooses() -> None:
    with pytest.raises(UsageError, match=r"x/test\.parquet, x/val-\*\.parquet"):
        one_split("x", ["test.parquet", "val-0.parquet"])
