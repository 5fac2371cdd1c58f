"""The choices that make a plan out of options: what `auto` means for these images, and what few images limit."""

from math import ceil
from typing import Any

from miner.errors import MinerError, UsageError
from miner.images.augment.settings import AUGMENTATIONS, SMALL_SIDE
from miner.text import counted
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions

IMAGE_SIZES = (32, 64, 96, 128, 224)
MIN_IMAGES = 16
MIN_STEPS_PER_EPOCH = 8
MIN_IMAGES_PER_KEY = 4
MAX_CIFAR_STEM_SIZE = 64
MAX_PATCH_SIZE = 16
MIN_PATCHES_PER_SIDE = 8
# At 16 pixels, a 3x3 convolution of stride 2 meets a single pixel, and oneDNN (torch 2.15, bfloat16 on a CPU) leaves
# uninitialised memory in its weight gradient where the kernel covers padding only.
MIN_IMAGENET_STEM_SIZE = 17
LR_BATCH = 256
_SHORT_SIDE_MARGIN = 1.25
_LOCAL_MULTIPLE = 16


def nearest_image_size(side: int) -> int:
    """The usual training size nearest to a side in pixels."""
    return min(IMAGE_SIZES, key=lambda size: abs(size - side))


def most_short_side(image_size: int, side: int) -> int:
    """The bound of short sides for images with a typical side: that of the view, or a quarter more if the images are larger."""
    return image_size if side <= image_size else ceil(_SHORT_SIDE_MARGIN * image_size)


def choose_stem(stem: str, image_size: int) -> str:
    """The stem as named, or by the size: small images would lose too much to the imagenet stem's stride of 4.

    Raises:
        UsageError: images of this size are too small for the named stem.
    """
    if stem == "auto":
        return "cifar" if image_size <= MAX_CIFAR_STEM_SIZE else "imagenet"
    if stem == "imagenet" and image_size < MIN_IMAGENET_STEM_SIZE:
        raise UsageError(
            f"--image-size {image_size} is too small for the imagenet stem: its last stage would see a single pixel. Use "
            f"--stem cifar, or --image-size {MIN_IMAGENET_STEM_SIZE} or more."
        )
    return stem


def usual_patch_size(image_size: int) -> int:
    """The power of two that makes 8 x 8 patches or more, at most 16."""
    return min(MAX_PATCH_SIZE, 1 << (max(1, image_size // MIN_PATCHES_PER_SIDE).bit_length() - 1))


def choose_patch_size(asked: int | None, image_size: int) -> int:
    """The side of a ViT's patches: as asked, or the usual one.

    Raises:
        UsageError: the patches do not divide the image.
    """
    patch_size = asked or usual_patch_size(image_size)
    if image_size % patch_size:
        raise UsageError(
            f"--image-size {image_size} is no multiple of the patch size {patch_size}. Use --image-size "
            f"{round(image_size / patch_size) * patch_size or patch_size}, or another --patch-size."
        )
    return patch_size


def choose_augmentation(asked: str, method: str, image_size: int) -> str:
    """The augmentation as asked, or that of the method's authors; plain below 96 pixels, where blur would remove most detail."""
    if asked != "auto":
        return asked
    if image_size < SMALL_SIDE:
        return "plain"
    return METHOD_DEFAULTS[method].augmentation


def choose_crops(options: TrainOptions, image_size: int, stem: str | None, patch_size: int | None) -> dict[str, Any]:
    """`augmentation`, `least_area` and `local_size` of the plan, as asked or as the authors of DINO have them.

    With local crops, views show more and local crops show less than 40 % of the image for a ViT, and 14 % for a ResNet. Local crops
    have 3/7 of the side, in whole patches or multiples of 16 pixels.

    Raises:
        UsageError: a local crop is not made of whole patches, or not smaller than a view, or too small for the stem.
    """
    augmentation = choose_augmentation(options.augmentation, options.method, image_size)
    if not options.local_crops:
        least_area = options.least_area or AUGMENTATIONS[augmentation].area[0]
        return {"augmentation": augmentation, "least_area": least_area, "local_size": 0}
    multiple = patch_size or _LOCAL_MULTIPLE
    local_size = options.local_size or max(1, round(image_size * 3 / 7 / multiple)) * multiple
    min_size = MIN_IMAGENET_STEM_SIZE if stem == "imagenet" else 1
    if local_size % (patch_size or 1) or not min_size <= local_size < image_size:
        raise UsageError(
            f"Local crops of {local_size} px do not fit. Set --local-size to less than {image_size} px"
            + (f", in multiples of {patch_size}." if patch_size else f" and at least {min_size} for this stem.")
        )
    least_area = options.least_area or (0.4 if patch_size else 0.14)
    return {"augmentation": augmentation, "least_area": least_area, "local_size": local_size}


def limit_batch_size(asked: int, images: int, pairs: int) -> int:
    """The batch as asked, or the largest power of two that leaves 8 steps per epoch and holds a quarter of the images at most.

    Raises:
        MinerError: there are fewer than 16 images.
    """
    if images < MIN_IMAGES:
        raise MinerError(f"{counted(images, 'image')} are too few to train on; at least {MIN_IMAGES} are needed.")
    largest = min((images + pairs) // MIN_STEPS_PER_EPOCH, images // MIN_IMAGES_PER_KEY)
    return asked if asked <= largest else 1 << max(1, largest.bit_length() - 1)


def check_pairs_alone(pairs: int) -> None:
    """Pass if there are enough pairs to train on nothing else.

    Raises:
        MinerError: there are fewer than 16.
    """
    if pairs < MIN_IMAGES:
        raise MinerError(
            f"{counted(pairs, 'pair')} are too few to train on alone; at least {MIN_IMAGES} are needed. Take more pairs, or "
            "--pairs-arm semantic, which trains on the images as well."
        )


def check_shares(batch_size: int, processes: int, parts: int = 1) -> None:
    """Pass if each process gets an equal share of each part of a step, of two items or more.

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
        f"{counted(processes, 'process')} cannot share a batch of {batch_size} in equal parts of two items or more. "
        "Use a --batch-size "
        "that is a multiple of their number, or fewer processes."
    )


def check_mixtures(images: int, items: int, patches: int) -> None:
    """Pass if a mixture can have so many images.

    Args:
        items: of a process in a part of a step.
        patches: of the smallest view.
    Raises:
        UsageError: it cannot.
    """
    if images > min(items, patches):
        raise UsageError(
            f"--mixed-images {images} is too many: a mixture takes its images from {items} items, and each image needs a patch of "
            f"the {patches} of a view. Use {min(items, patches)} or fewer, or a larger --batch-size."
        )


def limit_queue_size(asked: int, images: int, keys_per_step: int) -> int:
    """The queue as asked, cut to whole steps and to a quarter of the images, but at least one step.

    A queue as large as the data set would hold, as a negative, each query's own key of an earlier step.
    """
    return max(keys_per_step, min(asked, images // MIN_IMAGES_PER_KEY) // keys_per_step * keys_per_step)


def count_splits(batch_size: int, processes: int = 1, most: int = 8, smallest_part: int = 16) -> int:
    """How many parts to normalise apart: a divisor of the batch, at most `most`, with `smallest_part` items or more each.

    Each process has a whole number of parts, at least one.
    """
    counts = range(processes, most + 1, processes)
    return max((n for n in counts if batch_size % n == 0 and batch_size // n >= smallest_part), default=processes)


def peak_lr(lr: float, batch_size: int) -> float:
    """The learning rate scales linearly with the batch (Goyal et al. 2017, arXiv 1706.02677)."""
    return lr * batch_size / LR_BATCH
