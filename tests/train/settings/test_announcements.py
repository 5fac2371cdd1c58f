from miner.train.settings.announcements import announcements
from tests.train.plans import plan


def test_what_decides_the_updates_is_said() -> None:
    chosen = plan(
        **{
            "optimizer": "lars",
            "lr": 0.3,
            "clip_norm": 3.0,
            "accumulate": 4,
            "weight_decay": 1e-6,
            "decay_on": "weights",
        },
        **{"final_weight_decay": 0.4, "batch_size": 512, "lr_peak": 0.6, "warmup_steps": 100},
    )
    said = "\n".join(announcements(chosen))
    assert "lr 0.3 x 512/256 = 0.6, 100 steps of warm-up" in said
    assert (
        "lars, weight decay 1e-06 to 0.4 on weights, not on biases and normalisations, gradients no longer than 3"
        in said
    )
    assert "a step in 4 parts of 128 items" in said


def test_a_setting_is_named_by_its_flag() -> None:
    assert ", global True," in "\n".join(announcements(plan(method="reco")))
