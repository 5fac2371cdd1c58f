"""`miner eval finetune`: the grid of learning rates, chosen without test images, and the record."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from miner.artifacts.embeddings.manifest import SourceRecord
from miner.artifacts.runs.inputs import Inputs
from miner.artifacts.runs.labelled import LabelledImages, LabelledSplit, split_labelled
from miner.artifacts.runs.networks import read_config
from miner.downstream.fit import CROPS, LR_BATCH, MOMENTUM, Rates, Schedule, fine_tune, named_classes
from miner.downstream.network import JudgedNetwork, load_pixels
from miner.downstream.subset import balanced_subset, held_out_part, listed_subset
from miner.embed.encoders.base import Encoder
from miner.engine import Record, Unit, run
from miner.errors import MinerError
from miner.evaluate.network_options import FinetuneOptions
from miner.evaluate.verdict import verdict_sentence
from miner.images.ragged import Pixels
from miner.learning.nearest import accuracy_percent
from miner.machine.device import resolve_device

GRID = tuple(Rates(lr, round(ratio * lr, 6)) for lr, ratio in product((0.003, 0.01, 0.03, 0.1), (1.0, 3.0, 10.0)))
_FEWEST = 5
Arm = Literal["trained", "random"]


@dataclass(frozen=True)
class FewLabels:
    """What is learned from, and what is classified.

    Attributes:
        chosen: the images whose labels are used, of `split.gallery`.
        held_out: which of them choose the learning rates, bool (n,).
    """

    split: LabelledSplit
    chosen: LabelledImages
    held_out: Tensor


def find_few_labels(
    options: FinetuneOptions, network: JudgedNetwork, inputs: Inputs | None, like: SourceRecord | None
) -> FewLabels:
    """Choose the labelled images.

    Raises:
        MinerError: there are no labels, too few, or a test image is among them.
    """
    split = split_labelled(
        inputs,
        str(read_config(network.run)["source"]) if network.run else "",
        gallery=options.gallery,
        test=options.test,
        test_fraction=options.test_fraction,
        limit=options.limit,
        like=like,
    )
    known = split.gallery
    entries = (
        listed_subset(known.entries, options.labels)
        if options.labels
        else balanced_subset(known.entries, options.share, options.seed)
    )
    if len(entries) < _FEWEST or len({entry.label for entry in entries}) < 2:
        raise MinerError(f"{len(entries)} labelled images are too few to learn from. Change --share or --labels.")
    tested = {entry.key for entry in split.test.entries}
    if known.source.spec == split.test.source.spec and (seen := [each for each in entries if each.key in tested]):
        raise MinerError(
            f"The image {seen[0].key} would be learned from and tested. Name other images with --gallery or --test."
        )
    chosen = LabelledImages(known.source, entries, known.name)
    return FewLabels(split, chosen, torch.tensor(held_out_part(entries)))


class FineTuning:
    """All fits of one request: for each arm the grid, and the best rates on all chosen images.

    Args:
        parts: the folder of what is finished of it; the same request continues there.
    """

    def __init__(self, options: FinetuneOptions, network: JudgedNetwork, data: FewLabels, parts: Path) -> None:
        self.options, self.network, self.data, self.parts = options, network, data, parts
        self.device = resolve_device(options.device)
        self.schedule = Schedule(options.passes, options.batch_size, options.seed)
        self.rates = GRID if options.lr is None else (Rates(options.lr, options.head_lr or options.lr),)
        self.encoders: dict[Arm, Encoder] = {
            "trained": network.open(layer=options.layer),
            "random": network.open(random=True, layer=options.layer),
        }
        self.labels = data.chosen.labels()

    @cached_property
    def images(self) -> Pixels:
        return self.data.chosen.whole(self.encoders["trained"].preprocess.resize, self.options.workers)

    @cached_property
    def squares(self) -> Tensor:
        return self._pixels(self.data.chosen)

    @cached_property
    def test(self) -> Tensor:
        return self._pixels(self.data.split.test)

    def _pixels(self, images: LabelledImages) -> Tensor:
        return load_pixels(images, self.encoders["trained"].preprocess, self.options.workers)

    def measure(self, arm: Arm) -> tuple[Record, Tensor]:
        """What was tried and chosen, with its test accuracy in percent; and which test images are named rightly, bool (m,)."""
        candidates: list[Record] = []
        if len(self.rates) > 1:
            run([Unit(path.stem, (path,), partial(self._try, arm, rates)) for rates, path in self._tries(arm)])
            for rates, path in self._tries(arm):
                candidates.append({**asdict(rates), **json.loads(path.read_text())})
        chosen = max(candidates, key=lambda tried: tried["validation"]) if candidates else asdict(self.rates[0])
        rates, path = Rates(chosen["lr"], chosen["head_lr"]), self.parts / f"{arm}.json"
        run([Unit(arm, (path,), partial(self._final, arm, rates))])
        right = torch.tensor(json.loads(path.read_text()), dtype=torch.bool)
        return {"candidates": candidates, "chosen": asdict(rates), "test": _percent(right)}, right

    def _tries(self, arm: Arm) -> list[tuple[Rates, Path]]:
        return [(rates, self.parts / f"{arm}-{number:02d}.json") for number, rates in enumerate(self.rates)]

    def _try(self, arm: Arm, rates: Rates, path: Path) -> None:
        held_out = self.data.held_out
        right = self._right(arm, rates, ~held_out, self.squares[held_out], self.labels[held_out])
        path.write_text(json.dumps({"validation": _percent(right)}))

    def _final(self, arm: Arm, rates: Rates, path: Path) -> None:
        everything = torch.ones_like(self.data.held_out)
        right = self._right(arm, rates, everything, self.test, self.data.split.test.labels())
        path.write_text(json.dumps(right.int().tolist()))

    def _right(self, arm: Arm, rates: Rates, fitted: Tensor, pixels: Tensor, truth: Tensor) -> Tensor:
        """Which images a network names rightly that was trained on the chosen images of `fitted`: bool (m,)."""
        encoder, rows = self.encoders[arm], torch.nonzero(fitted).squeeze(1)
        checkpoint = self.parts / "fit.pt"
        network = fine_tune(
            encoder,
            self.images[rows],
            self.labels[rows],
            len(self.data.split.classes),
            rates,
            self.schedule,
            self.device,
            checkpoint,
        )
        named = named_classes(network, encoder, pixels, self.options.batch_size, self.device)
        return named == truth

    def record(self) -> Record:
        """Run what is not finished, and describe all of it."""
        found = {arm: self.measure(arm) for arm in self.encoders}
        split, chosen, encoder = self.data.split, self.data.chosen, self.encoders["trained"]
        majority = torch.bincount(split.gallery.labels()).argmax()
        asked = self.options
        return {
            **self.network.describe(encoder),
            **({"layer": "the first layer of the projector"} if asked.layer == "projector1" else {}),
            "unit": "top-1 accuracy in percent",
            "mode": "all layers are trained; batch norms in training mode; float32",
            "gallery": split.gallery.name,
            "test": split.test.name,
            "test_origin": split.origin,
            "queries_seen_unlabelled": split.seen_in_training,
            "n_gallery": len(split.gallery.entries),
            "n_labelled": len(chosen.entries),
            "n_test": len(split.test.entries),
            "n_validation": int(self.data.held_out.sum()) if asked.lr is None else 0,
            "classes": len({entry.label for entry in chosen.entries}),
            "class_names": split.classes,
            "labels": "those of the list"
            if asked.labels
            else f"the same number of each class, the first by sha256 of 'finetune {asked.seed} KEY'; share {asked.share:g}",
            "labelled_keys": [entry.key for entry in chosen.entries],
            "optimizer": f"SGD, Nesterov momentum {MOMENTUM}, no weight decay, cosine from lr x batch / {LR_BATCH} "
            "without warm-up; the classifier starts at zero",
            "epochs": asked.passes,
            "batch_size": asked.batch_size,
            "steps": asked.passes * self.schedule.steps_per_epoch(len(chosen.entries)),
            "seed": asked.seed,
            "train_crops": f"random resized crops of {CROPS.area[0]:.0%} to {CROPS.area[1]:.0%} of the area, half of them flipped",
            "chosen_by": "the highest accuracy on a fifth of the labelled images, by sha256 of 'validation KEY'; then fitted on all"
            if asked.lr is None
            else "given",
            "random_weights": "those the run started from" if self.network.run else "those of random:NAME",
            "majority": _percent(split.test.labels() == majority),
            "results": {arm: record for arm, (record, _) in found.items()},
            "verdict": verdict_sentence(found["trained"][1], {"random weights": found["random"][1]}, "trained:"),
        }


def _percent(right: Tensor) -> float:
    return accuracy_percent(right, torch.ones_like(right))
