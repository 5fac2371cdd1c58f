from miner.pairs.messages import recall_in_words


def test_recall_in_words_by_hand() -> None:
    record = {"value": 0.5, "low": 0.15, "high": 0.84999, "anchors": 2, "pairs": 4}
    assert recall_in_words(record) == "recall 50 % (15 % to 84.99 %, on 4 pairs of 2 sampled images)"


def test_recall_is_rounded_down_in_words() -> None:
    record = {"value": 0.99999, "low": 0.98765, "high": 1.0, "anchors": 1000, "pairs": 5}
    assert recall_in_words(record).startswith("recall 99.99 % (98.76 % to 100 %, on 5 pairs")
