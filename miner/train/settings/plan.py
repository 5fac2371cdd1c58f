"""From options and data to the numbers of a run."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from miner.errors import MinerError, UsageError
from miner.images.augment.settings import AUGMENTATIONS, MIN_LOCAL_AREA, ViewSettings, choose_augmentation
from miner.train.settings.arms import PairsArm
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions

MIN_IMAGES = 16
MIN_STEPS_PER_EPOCH = 8
MIN_IMAGES_PER_KEY = 4
MAX_CIFAR_STEM_SIZE = 64
MAX_PATCH_SIZE = 16
MIN_PATCHES_PER_SIDE = 8
# At 16 pixels, a 3x3 convolution of stride 2 meets a single pixel, and oneDNN (torch 2.15, bfloat16 on a CPU) leaves
# uninitialised memory in its weight gradient where the kernel covers padding only.
MIN_IMAGENET_STEM_SIZE = 17
_LR_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Every number that decides a run, after `auto` and few images have been dealt with. It is the run's config.yaml.

    Attributes:
        pairs_arm: what the pairs are.
        uses_labels: whether they were drawn by label.
        epochs: passes over the items; the last one ends where `steps` does.
        canvas: side in pixels that images are kept at in memory.
        mean, std: of the channels of the images, on the scale [0, 1].
        precision: of matrix products, fp32 or bf16.
        lr_peak: the highest learning rate.
        warmup_steps: in which it is reached; as many in all arms.
        decay_on: which parameters decay, all or weights.
        final_weight_decay: what the weight decay moves to; None where it stays.
        trust_coefficient, trust_clip: of lars; None with another optimizer.
        clip_norm: longest gradient of all parameters together; None where it may be of any length.
        accumulate: parts of a step that are computed one after another.
        stem: of a ResNet; None for a ViT, which has patch_size and drop_path instead.
        augmentation: how views are made, by name.
        least_area: least share of the image in a view, and greatest share in a small crop.
        local_crops, local_size: small crops beside the two views of an item, and their side in pixels.
        norm_splits: parts of the batch that are normalised apart.
        dim: width of the projection; it and what follows hidden_dim are settings of the method, None where it has none.
        partners: most partners that join an anchor's own views in a step; 0 where pairs are items.
        pair_weight: of the loss of such a partner, against 1 of the own view.
        mask_known_positives: whether own views and partners are left out of the negatives.
    """

    method: str
    backbone: str
    stem: str | None
    image_size: int
    canvas: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: int
    pairs_arm: str
    uses_labels: bool
    pairs: int
    epochs: int
    batch_size: int
    steps_per_epoch: int
    steps: int
    lr_peak: float
    weight_decay: float
    norm_splits: int
    precision: str
    seed: int
    dim: int
    optimizer: str = "sgd"
    warmup_steps: int = 0
    decay_on: str = "all"
    final_weight_decay: float | None = None
    trust_coefficient: float | None = 0.001
    trust_clip: bool | None = False
    clip_norm: float | None = None
    accumulate: int = 1
    augmentation: str = "plain"
    least_area: float = 0.08
    local_crops: int = 0
    local_size: int = 0
    partners: int = 0
    pair_weight: float = 1.0
    mask_known_positives: bool = False
    patch_size: int | None = None
    drop_path: float | None = None
    hidden_dim: int | None = None
    predictor_dim: int | None = None
    queue_size: int | None = None
    momentum: float | None = None
    temperature: float | None = None
    teacher_temperature: float | None = None
    teacher_warmup_temperature: float | None = None
    teacher_warmup_epochs: int | None = None
    frozen_epochs: int | None = None
    symmetric: bool | None = None
    graph_edges: int | None = None
    graph_window: int | None = None
    graph_prior: bool | None = None

    @property
    def needs_index(self) -> bool:
        """Whether a step looks up who is a partner of whom."""
        return bool(self.partners or self.mask_known_positives or self.graph_prior)

    @property
    def pairs_are_items(self) -> bool:
        return not (self.partners or self.graph_prior)

    @property
    def views(self) -> ViewSettings:
        """Of the two views of an item."""
        return replace(AUGMENTATIONS[self.augmentation], area=(self.least_area, 1.0))

    @property
    def local_views(self) -> ViewSettings:
        """Of the small crops: half of them are blurred where other views are, none is solarised."""
        blur = 0.5 if any(self.views.blur) else 0.0
        return ViewSettings((MIN_LOCAL_AREA, self.least_area), self.views.jitter, (blur, blur))

    @property
    def items(self) -> int:
        return self.images + (self.pairs if self.pairs_are_items else 0)

    def plain(self) -> dict[str, Any]:
        """The plan as JSON values, without the settings that the method does not have."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {**known, "mean": list(self.mean), "std": list(self.std)}


def choose_stem(stem: str, image_size: int) -> str:
    """The first layers for a size, unless they were named: small images lose too much to a stride of 4.

    Raises:
        UsageError: the named stem leaves nothing of images of this size.
    """
    if stem == "auto":
        return "cifar" if image_size <= MAX_CIFAR_STEM_SIZE else "imagenet"
    if stem == "imagenet" and image_size < MIN_IMAGENET_STEM_SIZE:
        raise UsageError(
            f"--image-size {image_size} is too small for the imagenet stem: its last stage would see a single pixel. Use "
            f"--stem cifar, or --image-size {MIN_IMAGENET_STEM_SIZE} or more."
        )
    return stem


def choose_patch_size(asked: int | None, image_size: int) -> int:
    """The side of a ViT's patches: as asked, or the power of two that makes 8 x 8 patches or more, at most 16.

    Raises:
        UsageError: the image is not made of whole patches.
    """
    patch_size = asked or min(MAX_PATCH_SIZE, 1 << (max(1, image_size // MIN_PATCHES_PER_SIDE).bit_length() - 1))
    if image_size % patch_size:
        raise UsageError(
            f"--image-size {image_size} is no multiple of the patch size {patch_size}. Use --image-size "
            f"{round(image_size / patch_size) * patch_size or patch_size}, or another --patch-size."
        )
    return patch_size


def choose_crops(options: TrainOptions, image_size: int, stem: str | None, patch_size: int | None) -> dict[str, Any]:
    """What is cropped: the shares of the image and the side of small crops, as asked or as the authors of DINO have them.

    Without small crops, views show the share that the augmentation says. With them, views and small crops part at 40 % of the image
    for a ViT and at 14 % for a ResNet, and small crops have 3/7 of the side, in whole patches or multiples of 16 pixels.

    Raises:
        UsageError: a small crop is not made of whole patches, or not smaller than a view, or too small for the stem.
    """
    augmentation = choose_augmentation(options.augmentation, options.method, image_size)
    least_area = AUGMENTATIONS[augmentation].area[0]
    if not options.local_crops:
        return {"augmentation": augmentation, "least_area": options.least_area or least_area}
    unit = patch_size or 16
    local_size = options.local_size or max(1, round(image_size * 3 / 7 / unit)) * unit
    least_size = MIN_IMAGENET_STEM_SIZE if stem == "imagenet" else 1
    if local_size % (patch_size or 1) or not least_size <= local_size < image_size:
        raise UsageError(
            f"Small crops of {local_size} px do not fit. Set --local-size to less than {image_size} px"
            + (f", in multiples of {patch_size}." if patch_size else f" and at least {least_size} for this stem.")
        )
    return {
        "augmentation": augmentation,
        "least_area": options.least_area or (0.4 if patch_size else 0.14),
        "local_crops": options.local_crops,
        "local_size": local_size,
    }


def choose_batch_size(asked: int, images: int, pairs: int) -> int:
    """The batch: as asked, or the greatest power of two that leaves 8 steps per epoch and takes a quarter of the images.

    Raises:
        MinerError: there are fewer than 16 images.
    """
    if images < MIN_IMAGES:
        raise MinerError(f"{images} images are too few to train on; at least {MIN_IMAGES} are needed.")
    most = min((images + pairs) // MIN_STEPS_PER_EPOCH, images // MIN_IMAGES_PER_KEY)
    return asked if asked <= most else 1 << max(1, most.bit_length() - 1)


def check_shares(batch_size: int, processes: int, parts: int = 1) -> None:
    """Pass if each process gets an equal piece of each part of a step, of two items or more.

    Raises:
        UsageError: it does not.
    """
    shares = processes * parts
    if batch_size % shares == 0 and batch_size >= 2 * shares:
        return
    if parts > 1:
        raise UsageError(
            f"--accumulate {parts} does not make equal parts of two items or more of a batch of {batch_size} on {processes} "
            f"process{'es' * (processes > 1)}. Use a divisor of the batch."
        )
    raise UsageError(
        f"{processes} processes cannot share a batch of {batch_size} in equal parts of two items or more. Use a --batch-size "
        "that is a multiple of their number, or fewer processes."
    )


def choose_queue_size(asked: int, images: int, keys_per_step: int) -> int:
    """The queue: as asked, cut to whole steps and to a quarter of the images, but one step at least.

    A queue as large as the data set is sure to hold each query's own key of an earlier step as a negative.
    """
    return max(keys_per_step, min(asked, images // MIN_IMAGES_PER_KEY) // keys_per_step * keys_per_step)


def peak_lr(lr: float, batch_size: int) -> float:
    """The learning rate scales linearly with the batch (Goyal et al. 2017, arXiv 1706.02677)."""
    return lr * batch_size / _LR_BATCH


def announcements(options: TrainOptions, plan: RunPlan) -> list[str]:
    """What was decided, for people, before the first step."""
    recipe = METHOD_DEFAULTS[plan.method]
    settings = [f"{name.replace('_', ' ')} {getattr(plan, name)}" for name in recipe.settings]
    first_layers = f"the {plan.stem} stem" if plan.stem else f"patches of {plan.patch_size} px"
    lines = [
        f"{plan.images:,} images and {plan.pairs:,} pairs: {plan.items:,} items, {plan.steps_per_epoch:,} steps per epoch, "
        f"{plan.steps:,} steps",
        f"{plan.backbone} with {first_layers} at {plan.image_size} px in {plan.precision}, "
        f"lr {options.lr:g} x {plan.batch_size}/{_LR_BATCH} = {plan.lr_peak:g}{_warmup(plan)}",
        f"{plan.optimizer}, {_decay(plan)}{'' if plan.clip_norm is None else f', gradients no longer than {plan.clip_norm:g}'}",
        f"{plan.method}: {', '.join(settings)}; {recipe.expect}",
    ]
    if plan.accumulate > 1:
        lines.append(
            f"a step in {plan.accumulate} parts of {plan.batch_size // plan.accumulate} items, each a batch by itself"
        )
    if plan.pairs_arm not in ("none", "semantic"):
        lines.insert(1, f"arm {plan.pairs_arm}: {PairsArm.parse(plan.pairs_arm).meaning}")
    if plan.partners:
        lines.insert(
            1, f"each image meets up to {plan.partners:,} of its partners, weight {plan.pair_weight:g}, in its step"
        )
    if plan.epochs != options.epochs:
        lines.insert(
            1, f"{plan.epochs:,} epochs instead of {options.epochs:,}, for the steps of a run on the mined pairs"
        )
    shares = f"{plan.augmentation} views of {100 * plan.least_area:g} % of an image or more"
    small = f", {plan.local_crops} small crops of less at {plan.local_size} px" if plan.local_crops else ""
    lines.append(shares + small)
    if plan.batch_size < options.batch_size:
        lines.insert(
            0,
            f"batch lowered from {options.batch_size} to {plan.batch_size}, for {MIN_STEPS_PER_EPOCH} steps per epoch or "
            f"more, each on at most a quarter of the images",
        )
    if plan.queue_size and options.queue_size and plan.queue_size < options.queue_size:
        lines.append(f"queue cut from {options.queue_size:,} to {plan.queue_size:,} keys, a quarter of the images")
    return lines


def _warmup(plan: RunPlan) -> str:
    return f", {plan.warmup_steps:,} steps of warm-up" if plan.warmup_steps else ""


def _decay(plan: RunPlan) -> str:
    final = "" if plan.final_weight_decay is None else f" to {plan.final_weight_decay:g}"
    which = "all parameters" if plan.decay_on == "all" else "weights, not on biases and normalisations"
    return f"weight decay {plan.weight_decay:g}{final} on {which}"
