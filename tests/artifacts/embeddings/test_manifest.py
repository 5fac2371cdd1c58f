import pytest

from miner.artifacts.embeddings.manifest import EncoderRecord


@pytest.mark.parametrize(
    ("labels_seen", "saw"),
    [
        ("none", False),
        ("none (momentum contrast)", False),
        ("none by training; its 8 pairs were mined by run:sampler, labels seen: none", False),
        ("none by training; its 8 pairs were mined by resnet50, labels seen: 1,000 classes", True),
        ("those that its epoch was chosen by; none", True),
        ("ImageNet-1k (1,000 classes)", True),
        ("none by training; its 8 pairs were mined by an encoder that is no longer on record", None),
        ("unknown (local file)", None),
        (None, None),
    ],
)
def test_whether_an_encoder_has_seen_labels(labels_seen: str | None, saw: bool | None) -> None:
    assert EncoderRecord(name="encoder", labels_seen=labels_seen).saw_labels is saw
