from collections.abc import Callable
from pathlib import Path

import pytest

from miner.artifacts.embeddings.manifest import EmbeddingsManifest
from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.engine import write_json
from miner.errors import UsageError
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish.card import _plain, size_category
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from tests.publish.folders import LICENCES, publish_to


def test_size_categories_are_those_of_the_hub() -> None:
    rows = {0: "n<1K", 999: "n<1K", 1000: "1K<n<10K", 55_173: "10K<n<100K", 10**9: "1B<n<10B", 10**12 - 1: "100B<n<1T"}
    assert {number: size_category(number) for number in rows} == rows
    assert size_category(10**12) == size_category(10**13) == "n>1T"


def test_a_rule_is_on_the_card_with_numbers_and_columns(published, workspace: Workspace) -> None:
    assert "`rank_a`" not in (of_a_band := (published() / "README.md").read_text())
    assert "The band belongs to this encoder" in of_a_band
    pairs(PairsOptions(rule="shared", neighbors=4, shared=2, max=0.93), workspace, force=True)
    export(ExportOptions(), workspace, force=True)
    publish(PublishOptions(**LICENCES), workspace)
    card = (workspace.root / "publish" / "README.md").read_text()
    made = PairsManifest.read(workspace)
    assert made.composition is not None and made.pairs > 5
    for text in (
        "| Rule | shared: each is among the 4 nearest of the other, and of their 8 nearest at least 2 agree",
        "`rank_a`: the rank of a among the 4 nearest of b",
        "`shared`: how many of their 8 nearest both have in common",
        f"as many images as {made.composition.effective_images:,.0f} that occur equally often",
        "The ceiling of duplicates belongs to this encoder",
        "--rule shared",
    ):
        assert text in card


@pytest.mark.parametrize(
    ("labels_seen", "sentence"),
    [
        ("none (momentum contrast)", "- What the encoder was trained on decides what it takes for similar."),
        (
            "unknown (local file)",
            "- Whether the encoder has seen labels is not known; if so, it carries them into the pairs.",
        ),
        (
            "ImageNet-1k",
            "- The encoder has seen labels (ImageNet-1k), and carries them into the pairs: they are not free of supervision.",
        ),
    ],
)
def test_the_card_says_whether_labels_reached_the_pairs(labels_seen: str, sentence: str, workspace: Workspace) -> None:
    made = EmbeddingsManifest.read(workspace).record
    made["encoder"]["labels_seen"] = labels_seen
    write_json(workspace.embeddings / "manifest.json", made)
    publish(PublishOptions(**LICENCES), workspace)
    card = (workspace.root / "publish" / "README.md").read_text()
    assert sentence in card and f"| Labels that it has seen | {labels_seen} |" in card


def test_words_of_the_publisher_carry_no_markup(published: Callable[..., Path]) -> None:
    words = "<img src=x onerror=alert(1)> [a](javascript:b) `c`\n# *d* &lt; e_f"
    card = (
        published(title=words, author=f"{words.replace(';', '')}; G & H", description=f"See <b>.\n{words}")
        / "README.md"
    ).read_text()
    shown = r"&lt;img src=x onerror=alert(1)> \[a\](javascript:b) \`c\` # \*d\* &amp;lt; e_f"
    assert f"\n# {shown}\n" in card and "Published by &lt;img src=x" in card
    body = card.split("---")[2]
    assert "<img" not in body and "<b>" not in body


@pytest.mark.parametrize("text", ["Plain words of a_name, 50 % & more (2025)", "a < b > c"])
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert _plain(text) == text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a> <b>", "https://a b", "ftp://x", 'https://a"b'])
@pytest.mark.parametrize("option", ["homepage", "license"])
def test_an_address_that_ends_its_link_is_refused(option: str, url: str, workspace: Workspace, tmp_path: Path) -> None:
    given = {"license": "cc-by-4.0", "image_license": "mit", option: url}
    with pytest.raises(UsageError, match=f"--{option}"):
        publish_to(tmp_path / "p", workspace, **given)
