"""What a run tells people before its first step."""

from miner.train.settings.arms import PairsArm
from miner.train.settings.choices import LR_BATCH, MIN_STEPS_PER_EPOCH
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.plan import RunPlan


def announcements(plan: RunPlan) -> list[str]:
    """The plan in lines for the screen; what differs from the options comes first."""
    options = plan.options
    first_layers = f"the {plan.stem} stem" if plan.stem else f"patches of {plan.patch_size} px"
    settings = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plan.settings.items())
    warmup = f", {plan.warmup_steps:,} steps of warm-up" if plan.warmup_steps else ""
    return [
        *_lowered_batch(plan),
        f"{plan.images:,} images and {plan.pairs:,} pairs: {plan.items:,} items, {plan.steps_per_epoch:,} steps per epoch, "
        f"{plan.steps:,} steps",
        *_arm(plan),
        f"{options.backbone} with {first_layers} at {plan.image_size} px in {plan.precision}, "
        f"lr {options.lr:g} x {plan.batch_size}/{LR_BATCH} = {plan.lr_peak:g}{warmup}",
        _updates(plan),
        f"{options.method}: {settings}; {METHOD_DEFAULTS[options.method].expect}",
        *_parts(plan),
        _views(plan),
        *_cut_queue(plan),
    ]


def _lowered_batch(plan: RunPlan) -> list[str]:
    asked = plan.options.batch_size
    if plan.batch_size == asked:
        return []
    return [
        f"batch lowered from {asked} to {plan.batch_size}, for {MIN_STEPS_PER_EPOCH} steps per epoch or more, each on at most "
        "a quarter of the images"
    ]


def _arm(plan: RunPlan) -> list[str]:
    options, lines = plan.options, []
    if plan.epochs != options.epochs:
        lines.append(f"{plan.epochs:,} epochs instead of {options.epochs:,}, for the steps of a run on the mined pairs")
    if options.partners:
        lines.append(
            f"up to {options.partners:,} partners join each image in its step, with the weight {options.pair_weight:g} each"
        )
    if options.pairs_arm not in ("none", "semantic"):
        lines.append(f"arm {options.pairs_arm}: {PairsArm.parse(options.pairs_arm).meaning}")
    return lines


def _updates(plan: RunPlan) -> str:
    options = plan.options
    final = "" if options.final_weight_decay is None else f" to {options.final_weight_decay:g}"
    which = "all parameters" if options.decay_on == "all" else "weights, not on biases and normalisations"
    limit = "" if options.clip_norm is None else f", gradients no longer than {options.clip_norm:g}"
    return f"{options.optimizer}, weight decay {options.weight_decay:g}{final} on {which}{limit}"


def _parts(plan: RunPlan) -> list[str]:
    parts = plan.options.accumulate
    return [f"a step in {parts} parts of {plan.batch_size // parts} items, each a batch by itself"] if parts > 1 else []


def _views(plan: RunPlan) -> str:
    crops = plan.options.local_crops
    local = f", {crops} local crops of less at {plan.local_size} px" if crops else ""
    return f"{plan.augmentation} views of {100 * plan.least_area:g} % of an image or more{local}"


def _cut_queue(plan: RunPlan) -> list[str]:
    asked, size = plan.options.queue_size or 0, plan.settings.get("queue_size", 0)
    return [f"queue cut from {asked:,} to {size:,} keys, a quarter of the images"] if size < asked else []
