from typing import Any

import pytest

from miner.errors import MinerError, UsageError
from miner.train.settings.choices import (
    check_mixtures,
    check_pairs_alone,
    check_shares,
    choose_augmentation,
    choose_crops,
    choose_patch_size,
    choose_stem,
    count_splits,
    limit_batch_size,
    limit_queue_size,
    most_short_side,
    nearest_image_size,
    peak_lr,
)
from miner.train.settings.method_defaults import METHOD_DEFAULTS
from miner.train.settings.options import TrainOptions
from miner.train.settings.plan import make_plan
from tests.train.plans import plan


@pytest.mark.parametrize(
    ("asked", "images", "pairs", "chosen"),
    [
        (256, 50_000, 0, 256),
        (300, 50_000, 0, 300),
        (256, 300, 0, 32),
        (256, 300, 5_000, 64),
        (256, 16, 0, 2),
        (8, 300, 0, 8),
        (4096, 3_000, 0, 256),
    ],
)
def test_batch_leaves_eight_steps_and_room_for_negatives(asked: int, images: int, pairs: int, chosen: int) -> None:
    assert limit_batch_size(asked, images, pairs) == chosen
    assert (images + pairs) // chosen >= 8 and images // chosen >= 4


def test_too_few_pairs_alone_are_refused() -> None:
    check_pairs_alone(16)
    with pytest.raises(MinerError, match=r"15 pairs are too few to train on alone.*--pairs-arm semantic"):
        check_pairs_alone(15)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(MinerError, match="15 images are too few"):
        limit_batch_size(256, 15, 100)


@pytest.mark.parametrize(
    ("asked", "images", "keys", "chosen"),
    [
        (4096, 50_000, 256, 4096),
        (4096, 3_000, 256, 512),
        (1000, 50_000, 256, 768),
        (4096, 512, 256, 256),
        (10, 99, 32, 32),
    ],
)
def test_queue_is_whole_steps_and_a_quarter_of_the_images(asked: int, images: int, keys: int, chosen: int) -> None:
    assert limit_queue_size(asked, images, keys) == chosen
    assert chosen % keys == 0 and chosen <= max(keys, images // 4)


def test_stem_goes_by_the_size_unless_named() -> None:
    assert [choose_stem("auto", size) for size in (32, 64, 65, 224)] == ["cifar", "cifar", "imagenet", "imagenet"]
    with pytest.raises(UsageError, match="--stem cifar"):
        choose_stem("imagenet", 16)
    assert choose_stem("imagenet", 32) == "imagenet" and choose_stem("cifar", 224) == "cifar"


def test_lr_scales_with_the_batch() -> None:
    assert peak_lr(0.03, 512) == pytest.approx(0.06)


def test_patches_are_at_least_eight_by_eight_unless_named() -> None:
    sizes = (16, 32, 64, 96, 128, 224, 384)
    assert [choose_patch_size(None, size) for size in sizes] == [2, 4, 8, 8, 16, 16, 16]
    assert choose_patch_size(14, 224) == 14
    with pytest.raises(UsageError, match=r"--image-size 100 is no multiple of the patch size 8. Use --image-size 96"):
        choose_patch_size(None, 100)
    with pytest.raises(UsageError, match="Use --image-size 32"):
        choose_patch_size(32, 16)


@pytest.mark.parametrize(
    ("size", "stem", "patch_size", "local_size", "least_area"),
    [
        (224, None, 16, 96, 0.4),
        (32, None, 4, 12, 0.4),
        (224, "imagenet", None, 96, 0.14),
        (128, "imagenet", None, 48, 0.14),
        (32, "cifar", None, 16, 0.14),
    ],
)
def test_local_crops_have_three_sevenths_of_the_side(
    size: int, stem: str | None, patch_size: int | None, local_size: int, least_area: float
) -> None:
    options = TrainOptions(method="dino", local_crops=6)
    chosen = choose_crops(options, size, stem, patch_size)
    assert chosen == {
        "augmentation": "byol" if size >= 96 else "plain",
        "least_area": least_area,
        "local_size": local_size,
    }
    made = plan(**chosen, method="dino", local_crops=6)
    local = made.local_views
    assert local.area == (0.05, least_area) and local.solarise == (0.0, 0.0)
    assert local.blur == ((0.5, 0.5) if size >= 96 else (0.0, 0.0))
    assert made.views.area == (least_area, 1.0)


def test_crops_that_do_not_fit_are_refused() -> None:
    def choose(size: int, stem: str | None, patch_size: int | None, **options: object) -> None:
        choose_crops(TrainOptions(method="dino", local_crops=2, **options), size, stem, patch_size)

    with pytest.raises(UsageError, match="Set --local-size to less than 32 px and at least 17"):
        choose(32, "imagenet", None)
    with pytest.raises(UsageError, match=r"Local crops of 18 px do not fit.* in multiples of 4"):
        choose(32, None, 4, local_size=18)
    with pytest.raises(UsageError, match="less than 32 px"):
        choose(32, "cifar", None, local_size=32)


def test_mixtures_take_images_of_one_part_with_a_patch_each() -> None:
    check_mixtures(4, 4, 9)
    with pytest.raises(UsageError, match=r"--mixed-images 5 is too many: .* from 4 items, .* Use 4 or fewer"):
        check_mixtures(5, 4, 9)
    with pytest.raises(UsageError, match=r"the 9 of a view. Use 9 or fewer"):
        check_mixtures(10, 64, 9)
    asked = {"method": "patchmix", "batch_size": 32, "mixed_images": 9, "accumulate": 2}
    counts = {"images": 400, "mined": 0, "pairs": 0, "side": 32, "precision": "fp32"}
    assert make_plan(TrainOptions.parse(asked), **counts, processes=1).batch_size == 32
    with pytest.raises(UsageError, match="from 8 items"):
        make_plan(TrainOptions.parse(asked), **counts, processes=2)


@pytest.mark.parametrize(
    ("changes", "grids"),
    [
        ({"patch_size": 2, "backbone": "vit_tiny"}, (16, 16)),
        ({"patch_size": 4, "backbone": "vit_tiny", "local_crops": 3}, (8, 8, 3, 3, 3)),
        ({}, (8, 8)),
        ({"image_size": 100}, (12, 12)),
    ],
)
def test_mixed_patches_are_those_of_a_vit_or_as_large(changes: dict[str, Any], grids: tuple[int, ...]) -> None:
    options = TrainOptions.parse({"method": "patchmix", **changes})
    counts = {"images": 400, "mined": 0, "pairs": 0, "side": 32, "precision": "fp32"}
    assert make_plan(options, **counts, processes=1).mixed_grids == grids


def test_without_local_crops_the_augmentation_decides_the_area() -> None:
    assert choose_crops(TrainOptions(), 224, "imagenet", None) == {
        "augmentation": "moco",
        "least_area": 0.2,
        "local_size": 0,
    }
    asked = TrainOptions(augmentation="solarise", least_area=0.3)
    assert choose_crops(asked, 32, "cifar", None) == {"augmentation": "solarise", "least_area": 0.3, "local_size": 0}


def test_a_step_is_made_of_equal_parts() -> None:
    check_shares(256, 1, 128)
    check_shares(256, 2, 64)
    for batch_size, processes, parts in ((256, 1, 3), (8, 1, 8), (8, 2, 4)):
        with pytest.raises(UsageError, match=f"--accumulate {parts} does not make equal parts"):
            check_shares(batch_size, processes, parts)
    for batch_size in (7, 2):
        with pytest.raises(UsageError, match=f"2 processes cannot share a batch of {batch_size} in equal parts"):
            check_shares(batch_size, 2)


@pytest.mark.parametrize(("side", "size"), [(28, 32), (32, 32), (50, 64), (96, 96), (100, 96), (500, 224)])
def test_image_size_is_the_nearest_usual_one(side: int, size: int) -> None:
    assert nearest_image_size(side) == size


def test_short_sides_exceed_the_view_only_if_those_of_images_do() -> None:
    assert most_short_side(32, 28) == 32 and most_short_side(32, 32) == 32
    assert most_short_side(224, 400) == 280 and most_short_side(96, 100) == 120


def test_the_named_augmentations_are_their_authors() -> None:
    assert choose_augmentation("auto", "byol", 95) == "plain" and choose_augmentation("simclr", "byol", 32) == "simclr"
    at_96 = {method: choose_augmentation("auto", method, 96) for method in METHOD_DEFAULTS}
    assert {method for method, name in at_96.items() if name == "byol"} == {
        "byol",
        "vicreg",
        "barlow",
        "dino",
        "patchmix",
        "graphnnclr",
    }
    assert {name for method, name in at_96.items() if method != "mnn"} == {"byol", "moco"} and at_96[
        "mnn"
    ] == "weak-second"


@pytest.mark.parametrize(
    ("batch", "splits"), [(512, 8), (256, 8), (128, 8), (64, 4), (32, 2), (16, 1), (2, 1), (100, 5)]
)
def test_parts_are_equal_and_not_too_small(batch: int, splits: int) -> None:
    assert count_splits(batch) == splits
