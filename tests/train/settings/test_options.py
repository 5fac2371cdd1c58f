import pytest

from miner.commands.flags import flags_of
from miner.errors import UsageError
from miner.train.settings.method_defaults import METHOD_DEFAULTS, METHOD_OPTIONS, defaults_of
from miner.train.settings.options import TrainOptions


@pytest.mark.parametrize("method", METHOD_DEFAULTS)
def test_options_not_given_are_the_methods_defaults_or_none(method: str) -> None:
    options = TrainOptions.parse({"method": method})
    assert options.lr == METHOD_DEFAULTS[method].lr
    for name in METHOD_OPTIONS:
        assert getattr(options, name) == METHOD_DEFAULTS[method].settings.get(name)
    assert TrainOptions.parse(options.plain()) == options


def test_moco_is_the_default_and_given_values_win() -> None:
    assert TrainOptions() == TrainOptions(method="moco") and TrainOptions().symmetric is False
    assert TrainOptions(lr=1.0).lr == 1.0 and TrainOptions(temperature=0.5).temperature == 0.5
    assert TrainOptions(method="byol", hidden_dim=77).hidden_dim == 77
    assert TrainOptions(queue_size=None).queue_size == 4096


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"method": "simsiam", "queue_size": 10},
            "--queue-size is not an option of simsiam; it belongs to moco, nnclr, reco, fnc, mnn",
        ),
        ({"method": "simclr", "symmetric": True}, "--symmetric is not an option of simclr; it belongs to moco"),
        ({"method": "vicreg", "temperature": 0.1}, "--temperature is not an option of vicreg"),
        ({"method": "nnclr", "momentum": 0.9}, "--momentum is not an option of nnclr; it belongs to moco, byol, dino"),
        ({"predictor_dim": 9}, "--predictor-dim is not an option of moco; it belongs to simsiam, byol, nnclr"),
        ({"method": "dino", "temperature": 0.04}, "must be below --temperature 0.04"),
        ({"backbone": "vit_tiny", "stem": "cifar"}, "--stem belongs to ResNets; vit_tiny takes --patch-size"),
        ({"patch_size": 4}, "--patch-size, --attention-heads and --drop-path belong to ViTs; resnet18 takes --stem"),
        ({"drop_path": 0.1}, "and --drop-path belong to ViTs"),
        ({"attention_heads": 3}, "and --drop-path belong to ViTs"),
        ({"backbone": "vit_tiny", "attention_heads": 5}, "must divide the width of vit_tiny, 192"),
        ({"method": "dino", "teacher_warmup_temperature": 0.1}, "--teacher-warmup-temperature 0.1 must be below"),
        ({"method": "byol", "local_crops": 2}, "are not options of byol; they belong to dino and patchmix"),
        ({"mixed_images": 2}, "--mixed-images is not an option of moco; it belongs to patchmix"),
        ({"method": "dino", "local_size": 16}, "--local-size has no meaning without --local-crops"),
        ({"trust_clip": True}, "--trust-coefficient and --trust-clip belong to --optimizer lars"),
        ({"lr_biases": 0.1}, "--lr-biases needs --decay-on weights"),
        (
            {"method": "vicreg", "loss_scale": 0.1},
            "--loss-scale is not an option of vicreg; it belongs to byol, barlow",
        ),
        ({"method": "sinclair"}, "--method"),
        ({"method": ["moco"]}, "--method"),
        ({"method": "simclr", "temperature": 0}, "--temperature"),
        ({"method": "byol", "momentum": 1.5}, "--momentum"),
        ({"epochs": 10, "warmup_epochs": 10}, "--warmup-epochs 10 must be below --epochs 10"),
        ({"optimizer": "adam"}, "--optimizer"),
        ({"method": "barlow", "partners": 1}, "--partners is not for barlow"),
        ({"partners": 1, "pairs_arm": "none"}, "--partners has no meaning with --pairs-arm none"),
        ({"pair_weight": 0.5}, "--pair-weight belongs to --partners"),
        (
            {"method": "dino", "mask_known_positives": True},
            "is for moco, simclr, nnclr, patchmix, reco, fnc: dino has no negatives",
        ),
        ({"method": "byol", "pairs_arm": "mask-only"}, "byol has no negatives"),
        ({"pairs_arm": "mask-only", "mask_known_positives": False}, "do not turn it off"),
        ({"pairs_arm": "mask-only", "partners": 1}, "with --pairs-arm mask-only there are none"),
        ({"pairs_arm": "matched-half", "partners": 1}, "with --pairs-arm matched-half there are none"),
        ({"method": "graphnnclr", "pairs_arm": "pairs-only", "graph_prior": True}, "pairs-only there are none"),
        ({"pair_loss": "rince"}, "--pair-loss rince is the loss of --partners"),
        (
            {"method": "vicreg", "partners": 1, "pair_loss": "rince"},
            "is for moco, simclr, nnclr, patchmix, reco, fnc: vicreg does not",
        ),
        ({"method": "byol", "partners": 1, "pair_loss": "rince"}, "byol does not contrast its pairs"),
        ({"partners": 1, "pair_loss_q": 0.1}, "--pair-loss-q belongs to --pair-loss rince"),
        ({"pairs_arm": "none", "pair_weights": "votes"}, "--pair-weights needs pairs that are drawn"),
        ({"pairs_arm": "mask-only", "pair_weights": "votes"}, "--pair-weights needs pairs that are drawn"),
        ({"pairs_per_class": 2, "pair_weights": "votes"}, "--pair-weights is about mined pairs"),
        ({"pairs_per_class": 2, "pairs_per_anchor": 1}, "--pairs-per-anchor is about mined pairs"),
        ({"pairs_per_class": 2, "pairs_arm": "none"}, "--pairs-per-class has no meaning with --pairs-arm none"),
        ({"method": "simclr", "colour": 1}, "unknown option 'colour'"),
        (
            {"method": "reco", "contrast": False, "global": False, "local": False},
            "--no-contrast, --no-global and --no-local leave no loss",
        ),
        ({"method": "reco", "teacher_temperature": 0.1}, "must be below --student-temperature 0.1"),
        ({"method": "fnc", "momentum": 0.9}, "fnc has a momentum encoder with --queue-size only"),
        ({"method": "fnc", "momentum_grows": True}, "fnc has a momentum encoder with --queue-size only"),
        ({"method": "fnc", "false_negative_cosine": 0.7, "false_negative_quantile": 0.9}, "not both"),
    ],
)
def test_unknown_combinations_are_refused(values: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainOptions.parse(values)


def test_the_help_tells_the_defaults_of_every_method() -> None:
    shown = {flag.name: flag.annotation.__metadata__[0] for flag in flags_of(TrainOptions)}
    assert defaults_of("momentum") == "0.99 for moco, byol, dino, patchmix, reco, mnn, graphnnclr"
    with_default = {name for defaults in METHOD_DEFAULTS.values() for name in defaults.settings}
    for name in METHOD_OPTIONS:
        if name in with_default and TrainOptions.model_fields[name].annotation != bool | None:
            assert shown[name].show_default == defaults_of(name)
    for method, defaults in METHOD_DEFAULTS.items():
        assert f"{method}: {defaults.summary}" in shown["method"].help


def test_a_given_cosine_takes_the_place_of_the_quantile() -> None:
    options = TrainOptions(method="fnc", false_negative_cosine=0.7)
    assert options.false_negative_quantile is None and TrainOptions.parse(options.plain()) == options


def test_given_values_replace_the_defaults_of_an_optimizer() -> None:
    lars, adamw = (TrainOptions(method="vicreg", optimizer=name) for name in ("lars", "adamw"))
    assert (lars.lr, lars.weight_decay, lars.decay_on) == (0.3, 1e-6, "weights")
    assert (adamw.lr, adamw.weight_decay, adamw.decay_on) == (5e-4, 0.04, "weights")
    sgd = TrainOptions(method="vicreg")
    assert (sgd.lr, sgd.weight_decay, sgd.decay_on) == (METHOD_DEFAULTS["vicreg"].lr, 5e-4, "all")
    barlow = [TrainOptions(method="barlow", optimizer=name).loss_scale for name in ("sgd", "lars", "adamw")]
    assert (
        barlow == [None, 1.0, None]
        and TrainOptions(method="barlow", optimizer="lars", loss_scale=0.1).loss_scale == 0.1
    )
    given = TrainOptions(optimizer="lars", lr=1.0, decay_on="all", weight_decay=0.0)
    assert (given.lr, given.weight_decay, given.decay_on) == (1.0, 0.0, "all")
