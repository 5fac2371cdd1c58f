"""Options of `miner train`."""

from typing import Any

from pydantic import model_validator

from miner.options import flag_name
from miner.train.settings.groups.method import MethodOptions
from miner.train.settings.groups.optimizer import OptimizerOptions
from miner.train.settings.groups.pairs import PairOptions
from miner.train.settings.groups.processes import ProcessOptions
from miner.train.settings.groups.views import ViewOptions
from miner.train.settings.method_defaults import METHOD_DEFAULTS, METHOD_OPTIONS, OPTIMIZER_DEFAULTS, methods_with


class TrainOptions(ProcessOptions, OptimizerOptions, ViewOptions, MethodOptions, PairOptions):
    """Pretrain a backbone on random views of the images and on the mined pairs.

    Training needs `miner embed` and `miner pairs`, or --source with --pairs-arm none. An interrupted run continues from its last
    checkpoint. Next: `miner eval knn`.

    \b
      miner train                                  MoCo with a ResNet-18
      miner train --method simclr --epochs 200     another method, for longer
      miner train --pairs-arm none --name own      a control: own views only, without pairs
    """

    @model_validator(mode="before")
    @classmethod
    def _take_defaults(cls, values: Any) -> Any:
        method = values.get("method", "moco") if isinstance(values, dict) else None
        if not isinstance(method, str) or method not in METHOD_DEFAULTS:
            return values
        defaults = METHOD_DEFAULTS[method]
        given = {name: value for name, value in values.items() if value is not None or name not in METHOD_OPTIONS}
        for name in METHOD_OPTIONS:
            if name in given and name not in defaults.names:
                raise ValueError(
                    f"{flag_name(name)} is not an option of {method}; it belongs to {', '.join(methods_with(name))}"
                )
        optimizer = str(given.get("optimizer", "sgd"))
        of_optimizer = OPTIMIZER_DEFAULTS.get(optimizer, {})
        known = {**defaults.options, **of_optimizer, **(defaults.with_lars if optimizer == "lars" else {}), **given}
        if "false_negative_cosine" in given and "false_negative_quantile" not in given:
            del known["false_negative_quantile"]
        return known
