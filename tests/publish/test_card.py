from miner.artifacts.pairs.manifest import PairsManifest
from miner.artifacts.workspace import Workspace
from miner.export.options import ExportOptions
from miner.export.run import export
from miner.pairs.options import PairsOptions
from miner.pairs.run import pairs
from miner.publish.card import size_category
from miner.publish.options import PublishOptions
from miner.publish.run import publish
from tests.publish.folders import LICENCES


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
        "`rank_a` is the rank of a among the 4 nearest of b",
        "`shared` is how many of their 8 nearest both have in common",
        f"as many images as {made.composition.effective_images:,.0f} that occur equally often",
        "The ceiling of duplicates belongs to this encoder",
        "--rule shared",
    ):
        assert text in card
