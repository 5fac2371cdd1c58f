"""SimCLR of lightly (https://github.com/lightly-ai/lightly) on the pairs of a workspace, with its transform, head and loss.

    python examples/lightly_simclr.py datasets_out/default --own-views 0.5

`pair_dataset` stands where lightly has an image folder and two views of each image.
"""

import argparse
from collections.abc import Sequence

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms.simclr_transform import SimCLRViewTransform
from torch import nn
from torch.utils.data import DataLoader
from torchvision.models import resnet18

import miner


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Train, and return the mean loss of each epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace")
    parser.add_argument("--own-views", type=float, default=0.5, help="share of items that are two views of one image")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, help="side of a view in pixels")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    view = SimCLRViewTransform(input_size=options.size, gaussian_blur=0.0)
    pairs = miner.open(options.workspace).pair_dataset(view, own_views=options.own_views)
    cut = len(pairs) > options.batch_size  # a last, smaller batch would have an easier task
    loader = DataLoader(pairs, options.batch_size, shuffle=True, drop_last=cut, num_workers=options.workers)
    backbone = resnet18()
    backbone.fc = nn.Identity()
    network = nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128)).to(options.device)
    criterion = NTXentLoss(temperature=0.2)
    optimizer = torch.optim.AdamW(network.parameters(), options.lr, weight_decay=1e-4)
    means = []
    for epoch in range(options.epochs):
        pairs.set_epoch(epoch)  # other draws of order and own views
        losses = []
        for first, second in loader:
            loss = criterion(network(first.to(options.device)), network(second.to(options.device)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
        print(f"epoch {epoch + 1}: loss {means[-1]:.3f}")
    return means


if __name__ == "__main__":
    main()
