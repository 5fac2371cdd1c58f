"""The lines that a run shows before its first step."""

from miner.text import counted
from miner.train.settings.choices import LR_BATCH, MIN_STEPS_PER_EPOCH
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.plan import RunPlan


def announcements(plan: RunPlan) -> list[str]:
    """The plan in lines for the screen."""
    options, queue_size = plan.options, plan.settings.get("queue_size")
    first_layers = f"the {plan.stem} stem" if plan.stem else f"patches of {plan.patch_size} px"
    warmup = f", {counted(plan.warmup_steps, 'step')} of warm-up" if plan.warmup_steps else ""
    whole = "pairs" if options.arm.alone else "images"
    settings = ", ".join(f"{name.rstrip('_').replace('_', ' ')} {value}" for name, value in plan.settings.items())
    crops = (
        f", {counted(options.local_crops, 'local crop')} of less at {plan.local_size} px" if options.local_crops else ""
    )
    lines = [
        f"{counted(plan.images, 'image')} and {counted(plan.pairs, 'pair')}: {counted(plan.items, 'item')}, "
        f"{counted(plan.steps_per_epoch, 'step')} per epoch, "
        f"{counted(plan.steps, 'step')}",
        *_about_pairs(plan),
        f"{options.backbone} with {first_layers} at {plan.image_size} px in {plan.precision}, "
        f"lr {options.lr:g} x {plan.batch_size}/{LR_BATCH} = {plan.lr_peak:g}{warmup}",
        _about_updates(plan),
        f"{options.method}: {settings}; {METHOD_DEFAULTS[options.method].expect}",
    ]
    if options.accumulate > 1:
        part_size = plan.batch_size // options.accumulate
        lines.append(f"a step in {options.accumulate} parts of {part_size} items, each a batch by itself")
    lines.append(f"{plan.augmentation} views of {100 * plan.least_area:g} % of an image or more{crops}")
    if plan.batch_size < options.batch_size:
        lines.insert(
            0,
            f"batch lowered from {options.batch_size} to {plan.batch_size}, for {MIN_STEPS_PER_EPOCH} steps per epoch or more, "
            f"each on at most a quarter of the {whole}",
        )
    if options.queue_size and queue_size and queue_size < options.queue_size:
        lines.append(f"queue cut from {options.queue_size:,} to {counted(queue_size, 'key')}, a quarter of the {whole}")
    return lines


def _about_pairs(plan: RunPlan) -> list[str]:
    options, lines = plan.options, []
    if options.arm.alone or options.pairs_arm in ("equal-steps", "mask-only"):
        passes, whole = plan.steps / (plan.items // plan.batch_size), "pairs" if options.arm.alone else "images"
        lines.append(f"{passes:.1f} passes over the {whole}, in as many steps as a run on the mined pairs takes")
    if options.partners:
        lines.append(
            f"up to {counted(options.partners, 'partner')} join each image in its step, each with weight {options.pair_weight:g}"
            + (
                f", by RINCE with q {options.pair_loss_q:g} and lambda {options.pair_loss_lambda:g}"
                if options.rince
                else ""
            )
        )
    if options.pair_weights != "uniform":
        lines.append(
            f"pairs are drawn by the rank of their {options.pair_weights}: the best twice, the middle one once per epoch"
        )
    if options.pairs_arm not in ("none", "semantic"):
        lines.append(f"arm {options.pairs_arm}: {options.arm.meaning}")
    return lines


def _about_updates(plan: RunPlan) -> str:
    options = plan.options
    final = "" if options.final_weight_decay is None else f" to {options.final_weight_decay:g}"
    which = "all parameters" if options.decay_on == "all" else "weights, not on biases and normalisations"
    limit = "" if options.clip_norm is None else f", gradients no longer than {options.clip_norm:g}"
    return f"{options.optimizer}, weight decay {options.weight_decay:g}{final} on {which}{limit}"
