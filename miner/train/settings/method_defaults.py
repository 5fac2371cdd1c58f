"""What each method and each optimizer takes if nothing else is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Setting = float | int | bool


@dataclass(frozen=True)
class MethodDefaults:
    """The defaults and the traits of one method.

    Attributes:
        summary: a few words for the help.
        lr: learning rate at batch 256.
        settings: options of the method and their defaults; the constructor's arguments have the same names.
        expect: how the loss of a healthy run behaves.
        augmentation: the authors' views for 96 pixels or more.
        split_norm: whether the backbone normalises parts of the batch apart.
        plan_numbers: numbers of the `RunPlan` that the constructor needs as well, by name.
        contrastive: whether other images are negatives.
        pairwise: whether the loss is a mean over pairs of views, so that an anchor may have several positives.
        optional: settings without a default here: where they are not given, the constructor decides.
        with_lars: settings that differ with that optimizer.
    """

    summary: str
    lr: float
    settings: Mapping[str, Setting]
    expect: str
    augmentation: str = "moco"
    split_norm: bool = False
    plan_numbers: tuple[str, ...] = ()
    contrastive: bool = False
    pairwise: bool = True
    optional: tuple[str, ...] = ()
    with_lars: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Setting]:
        """Every option whose default depends on the method."""
        return {"lr": self.lr, **self.settings}

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that the method takes."""
        return *self.settings, *self.optional


METHOD_DEFAULTS: dict[str, MethodDefaults] = {
    "moco": MethodDefaults(
        "contrasts views with a queue of keys of a momentum encoder",
        lr=0.03,
        settings={"dim": 128, "queue_size": 4096, "momentum": 0.99, "temperature": 0.1, "symmetric": False},
        expect="the loss rises at first, while the queue fills, and stays near ln(queue size) for a while",
        split_norm=True,
        contrastive=True,
        plan_numbers=("steps",),
        optional=("projector_layers", "hidden_dim", "momentum_grows"),
    ),
    "simclr": MethodDefaults(
        "contrasts views with the other images of the batch",
        lr=0.12,
        settings={"dim": 128, "hidden_dim": 512, "temperature": 0.2},
        expect="the loss starts near ln(2 x batch) and falls; a larger batch holds more negatives",
        contrastive=True,
        optional=("projector_layers", "projector_norm"),
    ),
    "simsiam": MethodDefaults(
        "predicts the other view, without negatives",
        lr=0.03,
        settings={"dim": 2048, "hidden_dim": 2048, "predictor_dim": 512},
        expect="the loss falls towards -1; at -1 with a spread near 0 the features have collapsed",
        optional=("projector_layers",),
    ),
    "byol": MethodDefaults(
        "predicts the momentum encoder's projection of the other view",
        lr=0.12,
        settings={"dim": 256, "hidden_dim": 1024, "predictor_dim": 1024, "momentum": 0.99},
        expect="the loss falls towards -1 and may rise again; at -1 with a spread near 0 the features have collapsed",
        augmentation="byol",
        plan_numbers=("steps",),
        optional=("projector_layers", "loss_scale", "momentum_grows"),
    ),
    "vicreg": MethodDefaults(
        "views agree, dimensions vary and do not correlate",
        lr=0.06,
        settings={"dim": 2048, "hidden_dim": 2048},
        expect="the loss starts near 25 and falls; a variance term near 1 means collapse",
        augmentation="byol",
        optional=("projector_layers",),
    ),
    "barlow": MethodDefaults(
        "the correlation of two views becomes the identity",
        lr=0.12,
        settings={"dim": 2048, "hidden_dim": 2048},
        expect="the loss, the paper's times the loss scale (if none is given, 1 / --dim), starts near --dim times it and falls",
        augmentation="byol",
        pairwise=False,
        optional=("projector_layers", "loss_scale"),
        with_lars={"loss_scale": 1.0},
    ),
    "dino": MethodDefaults(
        "learns the prototypes that a momentum teacher assigns to the other view",
        lr=0.12,
        settings={
            "dim": 2048,
            "hidden_dim": 2048,
            "temperature": 0.1,
            "teacher_temperature": 0.04,
            "teacher_warmup_temperature": 0.04,
            "teacher_warmup_epochs": 0,
            "frozen_epochs": 0,
            "momentum": 0.99,
        },
        expect="the loss starts near ln(--dim); a teacher entropy of 0 or ln(--dim) means collapse",
        augmentation="byol",
        plan_numbers=("steps", "steps_per_epoch"),
        optional=("projector_norm", "momentum_grows"),
    ),
    "nnclr": MethodDefaults(
        "predicts the nearest neighbour of the other view among earlier ones",
        lr=0.12,
        settings={"dim": 256, "hidden_dim": 2048, "predictor_dim": 4096, "queue_size": 4096, "temperature": 0.2},
        expect="the loss starts near ln(batch), rises once neighbours come from the queue, and falls",
        contrastive=True,
        optional=("projector_layers",),
    ),
    "patchmix": MethodDefaults(
        "contrasts images mixed of patches of several with single images and with other mixtures",
        lr=0.12,
        settings={
            **{"dim": 256, "hidden_dim": 2048, "predictor_dim": 2048, "momentum": 0.99, "temperature": 0.2},
            **{"mixed_images": 2, "soft_targets": True, "mixed_to_mixed": True},
        },
        expect="the loss starts near 2 ln(batch) and falls; that of mixtures stays above the entropy of their targets",
        augmentation="byol",
        plan_numbers=("steps", "mixed_grids"),
        contrastive=True,
        optional=("projector_layers", "momentum_grows"),
    ),
}

METHOD_DEFAULTS["reco"] = replace(
    METHOD_DEFAULTS["moco"],
    summary="moco that also learns relations: of a weak view to a queue, and of a mixed image to both that it shows",
    settings={
        **{name: value for name, value in METHOD_DEFAULTS["moco"].settings.items() if name != "symmetric"},
        **{"temperature": 0.2, "student_temperature": 0.1, "teacher_temperature": 0.04},
        **{"contrast": True, "global_": True, "local": True},
    },
    expect="as moco; once the queue is full, the loss rises by both relation terms and falls again",
)
METHOD_DEFAULTS["fnc"] = replace(
    METHOD_DEFAULTS["simclr"],
    summary="simclr that finds other images of the same kind in the batch, and attracts or ignores them",
    settings={
        **METHOD_DEFAULTS["simclr"].settings,
        **{"support_views": 2, "attract": True, "eliminate": False, "false_negatives": 10},
        **{"false_negative_quantile": 0.99, "false_negative_start": 10},
    },
    expect="as simclr; the loss rises once found false negatives count",
    plan_numbers=("steps", "steps_per_epoch"),
    optional=(
        *METHOD_DEFAULTS["simclr"].optional,
        *("false_negative_cosine", "queue_size", "momentum", "momentum_grows"),
    ),
)
METHOD_DEFAULTS["mnn"] = replace(
    METHOD_DEFAULTS["byol"],
    summary="byol that also predicts mixtures of the projection with its nearest neighbours among earlier ones",
    settings={
        **{"dim": 128, "hidden_dim": 2048, "predictor_dim": 2048, "momentum": 0.99, "queue_size": 4096, "neighbors": 5},
    },
    expect="the loss falls towards -2 and may rise again; at -2 with a spread near 0 the features have collapsed",
    augmentation="weak-second",
)
METHOD_DEFAULTS["graphnnclr"] = replace(
    METHOD_DEFAULTS["dino"],
    summary="dino whose second views show neighbours of the image, with a neighbour graph of each epoch",
    settings={**METHOD_DEFAULTS["dino"].settings, "graph_edges": 5, "graph_window": 5, "graph_prior": False},
    expect="as dino; the loss rises a little once neighbours give views, and their churn falls as the features converge",
    plan_numbers=(*METHOD_DEFAULTS["dino"].plan_numbers, "images"),
)

# The learning rates of the methods are for SGD. These are near what the authors of most methods use with the optimizer.
OPTIMIZER_DEFAULTS: dict[str, dict[str, float | str]] = {
    "sgd": {"weight_decay": 5e-4, "decay_on": "all"},
    "lars": {"lr": 0.3, "weight_decay": 1e-6, "decay_on": "weights", "trust_coefficient": 0.001},
    "adamw": {"lr": 5e-4, "weight_decay": 0.04, "decay_on": "weights"},
}

CONTRASTIVE = tuple(name for name, defaults in METHOD_DEFAULTS.items() if defaults.contrastive)

METHOD_OPTIONS = tuple(dict.fromkeys(name for defaults in METHOD_DEFAULTS.values() for name in defaults.names))


def methods_with(option: str) -> list[str]:
    """The methods that take an option."""
    return [method for method, defaults in METHOD_DEFAULTS.items() if option in ("lr", *defaults.names)]


def defaults_of(option: str) -> str:
    """The defaults of an option for the help, such as "0.1 for moco, dino; 0.2 for simclr"."""
    by_value: dict[Setting, list[str]] = {}
    for method in methods_with(option):
        if (default := METHOD_DEFAULTS[method].options.get(option)) is not None:
            by_value.setdefault(default, []).append(method)
    return "; ".join(f"{value:g} for {', '.join(names)}" for value, names in by_value.items())
