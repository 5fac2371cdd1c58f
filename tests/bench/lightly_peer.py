"""The training step of lightly: its data set, transforms, heads, losses and helpers, put together as its CIFAR-10 benchmark does.

Widths, queue, momentum and temperatures are those of `miner train`; what lightly does not set otherwise is torch's default:
float32, contiguous memory, SGD.
"""

from collections.abc import Callable, Generator
from copy import deepcopy
from typing import Any

import torch
from lightly.data import LightlyDataset
from lightly.loss import BarlowTwinsLoss, DINOLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from lightly.models import ResNetGenerator
from lightly.models.modules import NNMemoryBankModule, heads
from lightly.models.utils import batch_shuffle, batch_unshuffle, deactivate_requires_grad, update_momentum
from lightly.transforms import DINOTransform, SimCLRTransform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models

WIDTH = 512
MOMENTUM = 0.99


class Pictures(Dataset[tuple[Any, int]]):
    """As torchvision's CIFAR10: an array in memory, a PIL image on demand, and a transform that lightly sets.

    Args:
        pixels: uint8 (n, height, width, 3).
    """

    transform: Callable[[Image.Image], Any]

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels.numpy()

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.pixels[row])), 0


def loader(method: str, pixels: Tensor, batch_size: int, workers: int) -> DataLoader:
    side = pixels.shape[1]
    transform = (
        DINOTransform(global_crop_size=side, n_local_views=0, cj_strength=0.5, gaussian_blur=(0, 0, 0))
        if method == "dino"
        else SimCLRTransform(input_size=side, cj_strength=0.5, gaussian_blur=0.0)
    )
    dataset = LightlyDataset.from_torch_dataset(Pictures(pixels), transform=transform)
    return DataLoader(
        dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers, pin_memory=torch.cuda.is_available()
    )


def backbone(stem: str, splits: int) -> nn.Module:
    if stem == "cifar":
        network = ResNetGenerator("resnet-18", num_splits=splits)
        return nn.Sequential(*list(network.children())[:-1], nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*list(models.resnet18().children())[:-1])


class MoCo(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.backbone = backbone(stem, splits=8)
        self.head = heads.MoCoProjectionHead(WIDTH, WIDTH, 128)
        self.key_backbone, self.key_head = deepcopy(self.backbone), deepcopy(self.head)
        deactivate_requires_grad(self.key_backbone)
        deactivate_requires_grad(self.key_head)
        self.loss = NTXentLoss(temperature=0.1, memory_bank_size=(4096, 128))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        update_momentum(self.backbone, self.key_backbone, MOMENTUM)
        update_momentum(self.head, self.key_head, MOMENTUM)
        query = self.head(self.backbone(first).flatten(1))
        with torch.no_grad():
            shuffled, order = batch_shuffle(second)
            key = batch_unshuffle(self.key_head(self.key_backbone(shuffled).flatten(1)), order)
        return self.loss(query, key)


class SimSiam(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.backbone = backbone(stem, splits=0)
        self.head = heads.ProjectionHead(
            [(WIDTH, 2048, nn.BatchNorm1d(2048), nn.ReLU()), (2048, 2048, nn.BatchNorm1d(2048), None)]
        )
        self.predictor = heads.SimSiamPredictionHead(2048, 512, 2048)
        self.loss = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = (self.head(self.backbone(view).flatten(1)) for view in (first, second))
        losses = [self.loss(two.detach(), self.predictor(one)), self.loss(one.detach(), self.predictor(two))]
        return 0.5 * (losses[0] + losses[1])


class VICReg(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.backbone = backbone(stem, splits=0)
        self.head = heads.VICRegProjectionHead(WIDTH, 2048, 2048, num_layers=2)
        self.loss = VICRegLoss()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = (self.head(self.backbone(view).flatten(1)) for view in (first, second))
        return self.loss(one, two)


class BarlowTwins(VICReg):
    def __init__(self, stem: str) -> None:
        super().__init__(stem)
        self.head = heads.ProjectionHead([(WIDTH, 2048, nn.BatchNorm1d(2048), nn.ReLU()), (2048, 2048, None, None)])
        self.loss = BarlowTwinsLoss()


class SimCLR(VICReg):
    def __init__(self, stem: str) -> None:
        super().__init__(stem)
        self.head = heads.SimCLRProjectionHead(WIDTH, 512, 128)
        self.loss = NTXentLoss(temperature=0.2)


class NNCLR(SimSiam):
    def __init__(self, stem: str) -> None:
        super().__init__(stem)
        self.head = heads.ProjectionHead(
            [(WIDTH, 2048, nn.BatchNorm1d(2048), nn.ReLU()), (2048, 256, nn.BatchNorm1d(256), None)]
        )
        self.predictor = heads.NNCLRPredictionHead(256, 4096, 256)
        self.bank = NNMemoryBankModule(size=(4096, 256))
        self.contrast = NTXentLoss(temperature=0.1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        one, two = (self.head(self.backbone(view).flatten(1)) for view in (first, second))
        near_one, near_two = self.bank(one.detach()), self.bank(two.detach(), update=True)
        losses = [self.contrast(near_one, self.predictor(two)), self.contrast(near_two, self.predictor(one))]
        return 0.5 * (losses[0] + losses[1])


class BYOL(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.backbone, self.head = backbone(stem, splits=0), heads.BYOLProjectionHead(WIDTH, 1024, 256)
        self.predictor = heads.BYOLPredictionHead(256, 1024, 256)
        self.target, self.target_head = deepcopy(self.backbone), deepcopy(self.head)
        deactivate_requires_grad(self.target)
        deactivate_requires_grad(self.target_head)
        self.loss = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        update_momentum(self.backbone, self.target, MOMENTUM)
        update_momentum(self.head, self.target_head, MOMENTUM)
        one, two = (self.predictor(self.head(self.backbone(view).flatten(1))) for view in (first, second))
        with torch.no_grad():
            target_one, target_two = (self.target_head(self.target(view).flatten(1)) for view in (first, second))
        return 0.5 * (self.loss(one, target_two) + self.loss(two, target_one))


class DINO(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.backbone = backbone(stem, splits=0)
        self.head, self.teacher_head = (
            heads.DINOProjectionHead(WIDTH, 2048, 256, 2048, batch_norm=True) for _ in range(2)
        )
        self.teacher = deepcopy(self.backbone)
        self.teacher_head.load_state_dict(self.head.state_dict())
        deactivate_requires_grad(self.teacher)
        deactivate_requires_grad(self.teacher_head)
        self.loss = DINOLoss(output_dim=2048, warmup_teacher_temp_epochs=0)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        update_momentum(self.backbone, self.teacher, MOMENTUM)
        update_momentum(self.head, self.teacher_head, MOMENTUM)
        with torch.no_grad():
            targets = [self.teacher_head(self.teacher(view).flatten(1)) for view in (first, second)]
        students = [self.head(self.backbone(view).flatten(1)) for view in (first, second)]
        return self.loss(targets, students, epoch=0)


METHODS: dict[str, Callable[[str], nn.Module]] = {
    **{"moco": MoCo, "simsiam": SimSiam, "vicreg": VICReg, "dino": DINO, "simclr": SimCLR, "byol": BYOL},
    **{"barlow": BarlowTwins, "nnclr": NNCLR},
}


def train(
    method: str, stem: str, pixels: Tensor, batch_size: int, workers: int, device: str, bf16: bool
) -> Generator[None]:
    """Train without end; stops before each step.

    Args:
        pixels: uint8 (n, height, width, 3).
        workers: processes of the loader.
        bf16: whether to compute the step under autocast.
    """
    model = METHODS[method](stem).to(device).train()
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=0.03,
        momentum=0.9,
        weight_decay=5e-4,
    )
    batches = loader(method, pixels, batch_size, workers)
    while True:
        for views, _, _ in batches:
            yield
            first, second = (view.to(device, non_blocking=True) for view in views)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss = model(first, second)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
