"""Batch normalisation over parts of the batch, or over the batch of all processes."""

from typing import Any, TypeVar, cast

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
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        size, longer = divmod(len(x), self.splits)
        if not longer:
            normalised, means, variances = self._normalise_parts(x, self.splits)
        else:
            alike = torch.split(x, [longer * (size + 1), (self.splits - longer) * size])
            groups = [self._normalise_parts(alike[0], longer), self._normalise_parts(alike[1], self.splits - longer)]
            normalised, means, variances = (torch.cat(each) for each in zip(*groups, strict=True))
        with torch.no_grad():
            self.running_mean.copy_(means.mean(0))
            self.running_var.copy_(variances.mean(0))
            self.num_batches_tracked.add_(1)
        return normalised

    def _normalise_parts(self, x: Tensor, parts: int) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise equal parts in one call, which sees them side by side as further channels.

        Returns:
            Like `x`, channels last in memory, and the running means and variances of the parts, (parts, channels) each.
        """
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        mean, variance, weight, bias = (
            each.repeat(parts) for each in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        side_by_side: Tensor = _SideBySide.apply(x, parts)
        done = F.batch_norm(side_by_side, mean, variance, weight, bias, True, self.momentum, self.eps)
        normalised: Tensor = _InARow.apply(done, parts)
        return normalised, mean.view(parts, -1), variance.view(parts, -1)


def _side_by_side(x: Tensor, parts: int) -> Tensor:
    """Equal parts of a batch as channels: (parts n, channels, height, width) -> (n, parts channels, height, width)."""
    count, channels, height, width = x.shape
    made = x.new_empty(count // parts, height, width, parts, channels)
    made.permute(3, 0, 1, 2, 4).copy_(x.permute(0, 2, 3, 1).reshape(parts, -1, height, width, channels))
    return made.flatten(3).permute(0, 3, 1, 2)


def _in_a_row(x: Tensor, parts: int) -> Tensor:
    """The reverse of `_side_by_side`. The result is a tensor of its own: a view costs more, where the next layer works in place."""
    count, channels, height, width = x.shape
    size = (count * parts, channels // parts, height, width)
    made = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    rows = x.permute(0, 2, 3, 1).reshape(count, height, width, parts, -1)
    made.permute(0, 2, 3, 1).view(parts, count, height, width, -1).copy_(rows.permute(3, 0, 1, 2, 4))
    return made


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, parts: int) -> Tensor:
        context.parts = parts
        return _side_by_side(x, parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _in_a_row(gradient, context.parts), None


class _InARow(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, parts: int) -> Tensor:
        context.parts = parts
        return _in_a_row(x, parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _side_by_side(gradient, context.parts), None


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
