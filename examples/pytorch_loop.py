"""Pretrain a ResNet-18 on a published set of pairs, in a plain loop of PyTorch. Neither miner nor its workspace is needed.

    python examples/pytorch_loop.py FOLDER|ORG/NAME --epochs 10

The data set is what `miner publish` wrote. The anchor and the positive of a row are the two views (SimCLR, arXiv:2002.05709).
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from datasets import load_dataset
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.models import resnet18
from torchvision.transforms import v2


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.2) -> Tensor:
    """The loss of SimCLR: for each view, find its partner among all other views of the batch.

    Args:
        first, second: (batch, dim); row i of both is pair i.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    scores = (views @ views.T / temperature).fill_diagonal_(float("-inf"))
    partners = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(scores, partners)


def views_of(size: int) -> Callable[[dict], dict]:
    """A transform of rows: both images of a pair as augmented float tensors (3, size, size)."""
    augment = v2.Compose(
        [
            v2.RGB(),
            v2.RandomResizedCrop(size, scale=(0.2, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )

    def views(rows: dict) -> dict:
        return {side: [augment(image) for image in rows[side]] for side in ("anchor", "positive")}

    return views


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Train, and return the mean loss of each epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", metavar="FOLDER|ORG/NAME")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--size", type=int, default=32, help="side of a view in pixels")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(arguments)

    torch.manual_seed(0)
    pairs = load_dataset(options.dataset, split="train").select_columns(["anchor", "positive"])
    cut = len(pairs) > options.batch_size  # a last, smaller batch would have an easier task
    loader = DataLoader(
        pairs.with_transform(views_of(options.size)),
        options.batch_size,
        shuffle=True,
        drop_last=cut,
        num_workers=options.workers,
    )
    network = resnet18(num_classes=128).to(options.device)
    optimizer = torch.optim.AdamW(network.parameters(), options.lr, weight_decay=1e-4)
    means = []
    for epoch in range(options.epochs):
        losses = []
        for batch in loader:
            first, second = (batch[side].to(options.device) for side in ("anchor", "positive"))
            loss = nt_xent(network(first), network(second))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
        print(f"epoch {epoch + 1}: loss {means[-1]:.3f}")
    network.fc = nn.Identity()  # the backbone, for whatever comes next
    return means


if __name__ == "__main__":
    main()
