"""The plan of a run: options, and the numbers that follow from them and from the images."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from miner.images.augment.settings import AUGMENTATIONS, MIN_LOCAL_AREA, ViewSettings
from miner.train.settings import choices
from miner.train.settings.method_defaults import METHOD_DEFAULTS, Setting
from miner.train.settings.options import TrainOptions

# The keys of config.yaml in their order; each is an option, a number of the plan or a setting of the method.
_CONFIG_KEYS = (
    *(
        "method",
        "backbone",
        "stem",
        "image_size",
        "short_side",
        "mean",
        "std",
        "images",
        "pairs_arm",
        "uses_labels",
        "pairs",
    ),
    *(
        "epochs",
        "batch_size",
        "steps_per_epoch",
        "steps",
        "lr_peak",
        "lr_biases",
        "weight_decay",
        "norm_splits",
        "precision",
        "deterministic",
        "seed",
    ),
    *("dim", "optimizer", "warmup_steps", "decay_on", "final_weight_decay", "trust_coefficient", "trust_clip"),
    *("clip_norm", "accumulate", "augmentation", "least_area", "local_crops", "local_size", "partners", "pair_weight"),
    *("pairs_per_class", "pair_weights", "pair_loss", "pair_loss_q", "pair_loss_lambda"),
    *(
        "mask_known_positives",
        "patch_size",
        "attention_heads",
        "drop_path",
        "zero_init_residual",
        "hidden_dim",
        "projector_layers",
        "projector_norm",
        "predictor_dim",
        "queue_size",
        "momentum",
    ),
    *("temperature", "teacher_temperature", "teacher_warmup_temperature", "teacher_warmup_epochs", "frozen_epochs"),
    *("loss_scale", "symmetric", "graph_edges", "graph_window", "graph_prior", "momentum_grows"),
    *("contrast", "global", "local", "student_temperature"),
    *("support_views", "attract", "eliminate", "false_negatives", "false_negative_quantile", "false_negative_cosine"),
    *("false_negative_start", "mixed_images", "soft_targets", "mixed_to_mixed", "neighbors"),
)


@dataclass(frozen=True)
class ViewGroup:
    """Views of an item beside its two: how many, their side in pixels, and how they are made."""

    count: int
    size: int
    settings: ViewSettings


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything that decides a run. An option is used as it was given, unless the plan has a number in its place.

    Attributes:
        settings: the settings of the method, by the names of its constructor's arguments.
        stem: first layers of a ResNet; None for a ViT.
        patch_size: side of a ViT's patches in pixels; None for a ResNet.
        image_size: side of a view in pixels.
        short_side: most pixels that the short side of an image keeps; views are cut from the whole image.
        mean, std: mean and standard deviation of the channels, on the scale [0, 1]; empty until the images have been read.
        images, pairs: how many there are; pairs are those of the arm.
        steps_per_epoch: steps of an epoch on the mined pairs. All that is counted in epochs is counted in these, in all arms alike.
        lr_peak: the highest learning rate.
        warmup_steps: steps in which the learning rate rises.
        norm_splits: parts of the batch that are normalised apart.
        precision: the precision of matrix products, fp32 or bf16.
        augmentation: how views are made, by name.
        least_area: smallest share of the image in a view, and largest share in a local crop.
        local_size: side of a local crop in pixels; 0 without local crops.
    """

    options: TrainOptions
    settings: Mapping[str, Setting]
    stem: str | None
    patch_size: int | None
    image_size: int
    short_side: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    images: int
    pairs: int
    batch_size: int
    steps_per_epoch: int
    steps: int
    lr_peak: float
    warmup_steps: int
    norm_splits: int
    precision: str
    augmentation: str
    least_area: float
    local_size: int

    @property
    def needs_index(self) -> bool:
        """Whether a step looks up which images are partners of each other."""
        return self.options.mask_known_positives or not self.options.pairs_are_items

    @property
    def views(self) -> ViewSettings:
        """How the two views of an item are made."""
        return replace(AUGMENTATIONS[self.augmentation], area=(self.least_area, 1.0))

    @property
    def local_views(self) -> ViewSettings:
        """How local crops are made: half of them are blurred if other views are, none is solarised."""
        blur = 0.5 if any(self.views.blur) else 0.0
        return ViewSettings((MIN_LOCAL_AREA, self.least_area), self.views.jitter, (blur, blur))

    @property
    def further_views(self) -> ViewGroup:
        """The local crops of dino and patchmix, the weak view of reco, or the support views of fnc."""
        if self.settings.get("global_"):
            return ViewGroup(1, self.image_size, ViewSettings(self.views.area, jittered=(0.0, 0.0), grey=(0.0, 0.0)))
        if supports := self.settings.get("support_views"):
            return ViewGroup(int(supports), self.image_size, self.views)
        return ViewGroup(self.options.local_crops, self.local_size, self.local_views)

    @property
    def mixed_grids(self) -> tuple[int, ...]:
        """For patchmix, patches per side of both views and of each local crop; a ResNet has those of a ViT."""
        patch_size = self.patch_size or choices.usual_patch_size(self.image_size)
        return tuple(
            side // patch_size for side in (*[self.image_size] * 2, *[self.local_size] * self.options.local_crops)
        )

    @property
    def own_items(self) -> int:
        """How many images are items with themselves."""
        return 0 if self.options.arm.alone else self.images

    @property
    def pair_items(self) -> int:
        """How many pairs are items; all of them, or none where they join as partners or only leave the negatives."""
        return self.pairs if self.options.pairs_are_items and self.options.pairs_arm != "mask-only" else 0

    @property
    def items(self) -> int:
        """How many items there are."""
        return self.own_items + self.pair_items

    def plain(self) -> dict[str, Any]:
        """The plan as JSON values, in the order of config.yaml, without what does not belong to the method or the backbone."""
        options = self.options.plain()
        if not self.options.is_vit:
            del options["drop_path"]
        for name in ("zero_init_residual", "deterministic", "pair_weights"):
            if options[name] == TrainOptions.model_fields[name].default:
                del options[name]
        if self.options.rince is None:
            options = {name: value for name, value in options.items() if not name.startswith("pair_loss")}
        if self.options.optimizer != "lars":
            del options["trust_clip"]
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own |= {"mean": list(self.mean), "std": list(self.std)}
        known = {**options, **own, **self.settings, "uses_labels": self.options.uses_labels}
        return {name: known[name] for name in _CONFIG_KEYS if known.get(name) is not None}


def make_plan(
    options: TrainOptions, *, images: int, mined: int, pairs: int, side: int, precision: str, processes: int
) -> RunPlan:
    """The plan for images that are still to be read.

    Args:
        images, pairs: how many there are; pairs are those of the arm.
        mined: number of mined pairs, which decides how many steps any arm takes.
        side: typical short side of the images in pixels.
        precision: fp32 or bf16.
        processes: that share each batch.
    Raises:
        UsageError: an option does not fit the images, the backbone or the number of processes.
        MinerError: there are too few images.
    """
    items = images + (mined if options.pairs_are_items else 0)
    # Of pairs alone, there may be fewer than images; all arms of that kind have the same batch and queue.
    distinct = min(images, mined) if options.arm.alone else images
    if distinct < images:
        choices.check_pairs_alone(mined)
    batch_size = choices.limit_batch_size(options.batch_size, distinct, items - distinct)
    choices.check_shares(batch_size, processes, options.accumulate)
    steps_per_epoch = items // batch_size
    image_size = options.image_size or choices.nearest_image_size(side)
    stem = None if options.is_vit else choices.choose_stem(options.stem, image_size)
    patch_size = choices.choose_patch_size(options.patch_size, image_size) if options.is_vit else None
    norm_splits = 1 if options.sync_norm else processes
    if METHOD_DEFAULTS[options.method].split_norm and not options.is_vit:
        norm_splits = choices.count_splits(batch_size // options.accumulate, processes)
    plan = RunPlan(
        options=options,
        settings=_settings(options, batch_size, distinct),
        stem=stem,
        patch_size=patch_size,
        image_size=image_size,
        short_side=choices.most_short_side(image_size, side),
        images=images,
        pairs=pairs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        steps=options.epochs * steps_per_epoch,
        lr_peak=choices.peak_lr(options.lr, batch_size),
        warmup_steps=options.warmup_epochs * steps_per_epoch,
        norm_splits=norm_splits,
        precision=precision,
        **choices.choose_crops(options, image_size, stem, patch_size),
    )
    if options.mixed_images is not None:
        choices.check_mixtures(
            options.mixed_images, batch_size // (processes * options.accumulate), min(plan.mixed_grids) ** 2
        )
    return plan


def _settings(options: TrainOptions, batch_size: int, images: int) -> dict[str, Setting]:
    given = {name: getattr(options, name) for name in METHOD_DEFAULTS[options.method].names}
    settings = {name: value for name, value in given.items() if value is not None}
    if options.queue_size is not None:
        keys = 2 if options.symmetric else 1 if options.support_views is None else 2 + options.support_views
        keys_per_step = batch_size * keys
        settings["queue_size"] = choices.limit_queue_size(options.queue_size, images, keys_per_step)
    return settings
