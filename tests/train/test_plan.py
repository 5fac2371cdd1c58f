import pytest

from miner.errors import MinerError, UsageError
from miner.train.plan import choose_batch_size, choose_patch_size, choose_queue_size, choose_stem, peak_lr


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
    assert choose_batch_size(asked, images, pairs) == chosen
    assert (images + pairs) // chosen >= 8 and images // chosen >= 4


def test_too_few_images_are_refused() -> None:
    with pytest.raises(MinerError, match="15 images are too few"):
        choose_batch_size(256, 15, 100)


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
    assert choose_queue_size(asked, images, keys) == chosen
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
