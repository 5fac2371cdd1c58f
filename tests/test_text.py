"""Numbers with their nouns."""

from miner.text import counted


def test_nouns_agree_with_their_numbers() -> None:
    assert [counted(number, "pair") for number in (0, 1, 1234)] == ["0 pairs", "1 pair", "1,234 pairs"]
    assert [counted(number, "class") for number in (1, 2)] == ["1 class", "2 classes"]
    assert [counted(number, "pair is", "pairs are") for number in (0, 1)] == ["0 pairs are", "1 pair is"]
