"""Batch normalisation over parts of the batch, or over the batch of all processes."""

from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from miner.learning.parallel.collectives import gather_rows
from miner.learning.precision import widened

M = TypeVar("M", bound=nn.Module)


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


class SyncBatchNorm(nn.SyncBatchNorm):
    """torch's SyncBatchNorm, which works on GPUs only, with the same arithmetic for the CPU.

    All parts have one size. So the variance of the whole batch is the mean of the variances of the parts plus the variance of their
    means; means of squares would lose digits.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels) or (batch, channels, height, width)."""
        if x.device.type != "cpu" or not self.training:
            return super().forward(x)
        dims = [dim for dim in range(x.ndim) if dim != 1]
        wide = widened(x)
        own = torch.stack(torch.var_mean(wide, dims, correction=0))
        variances, means = gather_rows(own.unsqueeze(0)).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._keep(mean.detach(), variance.detach(), len(means) * x.numel() // x.shape[1])
        shape = [1, -1, *[1] * (x.ndim - 2)]
        normalised = (wide - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        if self.weight is not None:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(x.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked.add_(1)


def synchronised(module: M) -> M:
    """The module with every batch normalisation replaced by one over all processes, with the same names and weights."""
    module = cast(M, nn.SyncBatchNorm.convert_sync_batchnorm(module))  # type: ignore[no-untyped-call]
    for layer in module.modules():
        if type(layer) is nn.SyncBatchNorm:
            layer.__class__ = SyncBatchNorm
    return module
