"""The defaults of each method, without torch: the command line shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

Setting = float | int | bool


@dataclass(frozen=True)
class MethodDefaults:
    """What a method is, and what it takes.

    Attributes:
        summary: a few words for the help.
        lr: learning rate at batch 256.
        settings: options of the method and their defaults, under the names of the flags and of the constructor's arguments.
        split_norm: whether the backbone normalises parts of the batch apart.
        schedule: what the method needs to know of the length of the run, by the names of the plan.
        contrastive: whether other images are negatives.
        pairwise: whether the loss is a mean over pairs of views, so that an anchor may have several.
        expect: how the numbers of a healthy run go.
    """

    summary: str
    lr: float
    settings: Mapping[str, Setting]
    expect: str
    split_norm: bool = False
    schedule: tuple[str, ...] = ()
    contrastive: bool = False
    pairwise: bool = True

    @property
    def defaults(self) -> dict[str, Setting]:
        """Every option whose default depends on the method."""
        return {"lr": self.lr, **self.settings}


METHOD_DEFAULTS: dict[str, MethodDefaults] = {
    "moco": MethodDefaults(
        "against a queue of keys of a momentum encoder",
        lr=0.03,
        settings={"dim": 128, "queue_size": 4096, "momentum": 0.99, "temperature": 0.1, "symmetric": False},
        expect="the loss rises at first, while the queue fills, and stays near ln(queue size) for a while",
        split_norm=True,
        contrastive=True,
    ),
    "simclr": MethodDefaults(
        "against the other images of the batch",
        lr=0.12,
        settings={"dim": 128, "hidden_dim": 512, "temperature": 0.2},
        expect="the loss starts near ln(2 x batch) and falls; a larger batch holds more negatives",
        contrastive=True,
    ),
    "simsiam": MethodDefaults(
        "predicts the other view, without negatives",
        lr=0.03,
        settings={"dim": 2048, "hidden_dim": 2048, "predictor_dim": 512},
        expect="the loss falls towards -1; at -1 with a spread near 0 the features have collapsed",
    ),
    "byol": MethodDefaults(
        "predicts what a momentum encoder makes of the other view",
        lr=0.12,
        settings={"dim": 256, "hidden_dim": 1024, "predictor_dim": 1024, "momentum": 0.99},
        expect="the loss falls towards -1 and may rise again; at -1 with a spread near 0 the features have collapsed",
        schedule=("steps",),
    ),
    "vicreg": MethodDefaults(
        "views agree, dimensions vary and do not correlate",
        lr=0.06,
        settings={"dim": 2048, "hidden_dim": 2048},
        expect="the loss starts near 25 and falls; a variance term near 1 means collapse",
    ),
    "barlow": MethodDefaults(
        "the correlation of two views becomes the identity",
        lr=0.12,
        settings={"dim": 2048, "hidden_dim": 2048},
        expect="the loss starts near 1 and falls; it is the paper's over --dim",
        pairwise=False,
    ),
    "dino": MethodDefaults(
        "learns the prototypes that a momentum teacher sees in the other view",
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
        schedule=("steps", "steps_per_epoch"),
    ),
    "nnclr": MethodDefaults(
        "predicts the nearest earlier neighbour of the other view",
        lr=0.12,
        settings={"dim": 256, "hidden_dim": 2048, "predictor_dim": 4096, "queue_size": 4096, "temperature": 0.2},
        expect="the loss starts near ln(batch), rises once neighbours come from the queue, and falls",
        contrastive=True,
    ),
}

METHOD_DEFAULTS["graphnnclr"] = replace(
    METHOD_DEFAULTS["dino"],
    summary="dino whose second views show neighbours, found in graphs that are kept of all images",
    settings={**METHOD_DEFAULTS["dino"].settings, "graph_edges": 5, "graph_window": 5, "graph_prior": False},
    expect="as dino; it rises a little once neighbours come in, and their churn falls as features settle",
    schedule=(*METHOD_DEFAULTS["dino"].schedule, "images"),
)

# Where a method's own learning rate is for SGD, these are near what the authors of most methods use with the optimizer.
OPTIMIZERS: dict[str, dict[str, float | str]] = {
    "sgd": {"weight_decay": 5e-4, "decay_on": "all"},
    "lars": {"lr": 0.3, "weight_decay": 1e-6, "decay_on": "weights", "trust_coefficient": 0.001},
    "adamw": {"lr": 5e-4, "weight_decay": 0.04, "decay_on": "weights"},
}

CONTRASTIVE = tuple(name for name, recipe in METHOD_DEFAULTS.items() if recipe.contrastive)

METHOD_OPTIONS = tuple(dict.fromkeys(name for recipe in METHOD_DEFAULTS.values() for name in recipe.settings))


def methods_with(option: str) -> list[str]:
    """The methods that have an option."""
    return [method for method, recipe in METHOD_DEFAULTS.items() if option in recipe.defaults]


def defaults_of(option: str) -> str:
    """The default of an option by method, for the help: methods with one value together."""
    by_value: dict[Setting, list[str]] = {}
    for method in methods_with(option):
        by_value.setdefault(METHOD_DEFAULTS[method].defaults[option], []).append(method)
    return "; ".join(f"{value:g} for {', '.join(names)}" for value, names in by_value.items())
