import pytest

from miner.errors import UsageError
from miner.train.settings.arms import PAIRS_ARMS, PairsArm
from miner.train.settings.options import TrainOptions


@pytest.mark.parametrize("name", [name for name in PAIRS_ARMS if not name.endswith("=P")])
def test_a_name_stays_and_only_the_oracle_uses_labels(name: str) -> None:
    arm = PairsArm.parse(name)
    assert arm.name == name and arm.meaning == PAIRS_ARMS[name]
    assert arm.uses_labels == (name == "oracle") and arm.reads_pairs == (name != "none")
    assert arm.alone == (name == "pairs-only" or name.startswith("matched-"))


def test_a_share_has_one_spelling() -> None:
    for kind, words in (("precision", "share P"), ("within", "among the images of the mined pairs")):
        arms = {PairsArm.parse(f"{kind}={share}") for share in ("0.9", ".90", "9e-1")}
        assert arms == {PairsArm(f"{kind}=0.9", 0.9, kind == "within")}
        assert all(arm.uses_labels and words in arm.meaning for arm in arms)
        assert TrainOptions(pairs_arm=f"{kind}=.50").pairs_arm == f"{kind}=0.5"


@pytest.mark.parametrize(
    "text", ["precision=1.1", "precision=-0.1", "precision=nan", "precision=", "precision=P", "within=2", "all"]
)
def test_what_is_no_arm_is_refused_with_the_names_of_all(text: str) -> None:
    with pytest.raises(UsageError, match=r"--pairs-arm: choose one of none, semantic, .*P from 0 to 1"):
        TrainOptions.parse({"pairs_arm": text})


def test_a_cap_without_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match="--pairs-per-anchor has no meaning"):
        TrainOptions.parse({"pairs_arm": "none", "pairs_per_anchor": 2})
    assert TrainOptions(pairs_arm="equal-steps", pairs_per_anchor=2).pairs_per_anchor == 2
