"""Batch normalisation over parts of the batch, as on several devices."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose training statistics are taken over `splits` equal, consecutive parts of the batch.

    With statistics over the whole batch, an encoder can recognise the positive by the statistics that it shares with the query
    (MoCo, He et al. 2020, section 3.3, "shuffling BN"). The parts on one device take the place of several devices. The running
    statistics follow the mean over the parts. The eval mode and the state are those of `nn.BatchNorm2d`.

    Args:
        features: channels.
        splits: number of parts; of nearly equal size if it does not divide the batch.
    """

    def __init__(self, features: int, splits: int) -> None:
        super().__init__(features)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, height, width)."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        means = self.running_mean.repeat(self.splits, 1)
        variances = self.running_var.repeat(self.splits, 1)
        parts = x.tensor_split(self.splits)
        normalised = [
            F.batch_norm(part, mean, variance, self.weight, self.bias, True, self.momentum, self.eps)
            for part, mean, variance in zip(parts, means, variances, strict=True)
        ]
        with torch.no_grad():
            self.running_mean.copy_(means.mean(0))
            self.running_var.copy_(variances.mean(0))
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return torch.cat(normalised)
