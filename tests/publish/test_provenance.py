import pytest

from miner.publish.provenance import public_encoder, public_source


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("cifar10", "cifar10"),
        ("/home/someone/holiday photos/", "holiday photos"),
        ("hf://datasets/ORG/NAME", "hf://datasets/ORG/NAME"),
        ("s3://secret-bucket/data-{000000..000009}.tar", "data-{000000..000009}.tar"),
    ],
)
def test_paths_of_the_machine_are_not_published(spec: str, shown: str) -> None:
    assert public_source(spec) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("efficientnet_lite0", "efficientnet_lite0"),
        ("resnet50:IMAGENET1K_V1", "resnet50:IMAGENET1K_V1"),
        ("timm:vit_small_patch14_dinov2.lvd142m", "timm:vit_small_patch14_dinov2.lvd142m"),
        ("moco:./weights/moco_v2.pth", "moco:moco_v2.pth"),
        ("run:/home/someone/runs/mine/", "run:mine"),
        ("timm:resnet18@/secret/weights.pt", "timm:resnet18@weights.pt"),
        ("resnet18@weights.pt", "resnet18@weights.pt"),
    ],
)
def test_weights_are_named_without_their_folder(name: str, shown: str) -> None:
    assert public_encoder(name) == shown
