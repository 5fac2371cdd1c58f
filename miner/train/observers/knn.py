"""kNN accuracy during a run, and the weights with the highest accuracy."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import LabelledSplit, NoLabelsError, split_labelled
from miner.engine import Record
from miner.errors import MinerError
from miner.images.ragged import to_device
from miner.learning.features import pooled_features
from miner.learning.nearest import PROTOCOLS, accuracy_percent, knn_vote
from miner.learning.parallel.collectives import rank
from miner.train.methods import Method
from miner.train.observers.base import Observer
from miner.train.settings.plan import RunPlan

# Most images of gallery and of test, chosen by key: accurate to a hundredth, and little work beside an epoch of a large data set.
MAX_IMAGES = 50_000
_K, _TEMPERATURE = PROTOCOLS[0]
_CAUTION = "best is an optimistic number: it was chosen on the images that measure it. Report the last."


class KnnObserver(Observer):
    """Accuracy of the backbone by weighted kNN on labelled images, every `--knn-epochs` epochs and at the end.

    It is what `miner eval knn` measures with k = 200 and T = 0.1.

    Args:
        found: gallery and test images.
    """

    def __init__(self, plan: RunPlan, found: LabelledSplit, device: torch.device) -> None:
        self.plan, self.split, self.device = plan, found, device
        sides = found.gallery, found.test
        # The first process of a run measures alone; the others need no pixels.
        self._pixels = [
            to_device(side.pixels(plan.image_size, plan.options.workers), device) for side in sides if rank() == 0
        ]
        self._labels, self._truth = (side.labels().to(device) for side in sides)
        self._last = self._best = 0.0
        self._best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    def on_epoch_end(self, step: int, epoch: int, method: Method) -> dict[str, float]:
        if epoch % self.plan.options.knn_epochs and step != self.plan.steps:
            return {}
        self._last = self._accuracy(method)
        if not self._best_epoch or self._last > self._best:
            self._best, self._best_epoch = self._last, epoch
            weights = method.backbone.state_dict()
            self.best_weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
        return {"knn": self._last}

    def state_dict(self) -> dict[str, Any]:
        numbers = {"last": self._last, "best": self._best, "best_epoch": self._best_epoch}
        return {**numbers, "best_weights": self.best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._last, self._best, self._best_epoch = state["last"], state["best"], state["best_epoch"]
        self.best_weights = {name: value.cpu() for name, value in state["best_weights"].items()}

    def record(self) -> Record:
        """Last and best accuracy in percent, and how they were measured."""
        return {
            "last": self._last,
            "best": self._best,
            "best_epoch": self._best_epoch,
            "caution": _CAUTION,
            "every_epochs": self.plan.options.knn_epochs,
            "k": self._k,
            "temperature": _TEMPERATURE,
            "norm": "l2",
            **self.split.describe(self.plan.image_size),
        }

    @property
    def _k(self) -> int:
        return min(_K, len(self._labels))

    @torch.no_grad()
    def _accuracy(self, method: Method) -> float:
        plan = self.plan
        gallery, test = (
            pooled_features(method.backbone, images, plan.mean, plan.std, batch_size=256, device=self.device)
            for images in self._pixels
        )
        gallery, test = F.normalize(gallery, dim=1), F.normalize(test, dim=1)
        classes = len(self.split.classes)
        predicted = knn_vote(test, gallery, self._labels, k=self._k, temperature=_TEMPERATURE, class_count=classes)
        return accuracy_percent(predicted, self._truth)


def labelled_part(inputs: Inputs, limit: int | None) -> LabelledSplit:
    """Gallery and test images of a run. The gallery holds its labelled images; the test images are those of the built-in test set,
    or a part of the images that is held out by key.

    Args:
        limit: images of the run, the first ones; None for all.
    Raises:
        MinerError: the images have no labels, or too few.
    """
    try:
        return split_labelled(inputs, inputs.spec, limit=MAX_IMAGES, first=limit)
    except NoLabelsError as error:
        raise MinerError(
            f"The images of {inputs.spec} have no labels, and --knn-epochs needs them. Labels come from class folders "
            "(CLASS/IMAGE.jpg) or from .cls and .json members of shards. Train without --knn-epochs; what a run learns does "
            "not depend on it."
        ) from error
