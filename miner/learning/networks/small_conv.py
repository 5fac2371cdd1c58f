"""Convolution of inputs that are smaller than the kernel, without arithmetic on padding."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SmallInputConv2d(nn.Conv2d):
    """`nn.Conv2d`, computed as one matrix product if the kernel covers the whole input at every position.

    On small images, the last 3x3 kernels of a residual network get inputs of 2x2 and 1x1. There, five and eight of nine taps see
    padding only. The matrix product has 4/9 and 1/9 of the multiplications, and the same result up to rounding. The state, and the
    result for larger inputs, are those of `nn.Conv2d`.
    """

    @classmethod
    def of(cls, other: nn.Conv2d) -> "SmallInputConv2d":
        """A convolution as this one, with the same parameters; it must have symmetric zero padding in pixels."""
        assert isinstance(other.padding, tuple) and other.padding_mode == "zeros"
        made = cls(
            other.in_channels,
            other.out_channels,
            other.kernel_size,  # type: ignore[arg-type]
            other.stride,  # type: ignore[arg-type]
            other.padding,  # type: ignore[arg-type]
            other.dilation,  # type: ignore[arg-type]
            other.groups,
            other.bias is not None,
            device="meta",
        )
        made.weight, made.bias = other.weight, other.bias
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, in, height, width) to (batch, out, rows, columns)."""
        places = [self._places(axis, x.shape[2 + axis]) for axis in (0, 1)]
        if self.groups > 1 or any(place is None for place in places):
            return super().forward(x)
        rows, columns = places
        assert rows is not None and columns is not None
        covering = torch.stack([self.weight[:, :, row, column] for row in rows for column in columns])
        matrix = covering.permute(0, 1, 3, 4, 2).flatten(2).flatten(0, 1)
        bias = None if self.bias is None else self.bias.repeat(len(rows) * len(columns))
        out = F.linear(x.permute(0, 2, 3, 1).flatten(1), matrix, bias)
        images = x.shape[0]  # len(x) would fix the batch of an exported graph
        return out.view(images, len(rows), len(columns), self.out_channels).permute(0, 3, 1, 2)

    def _places(self, axis: int, length: int) -> list[slice] | None:
        """For each output position along an axis the taps that lie on the input; None if they do not cover it everywhere."""
        kernel, stride, padding = self.kernel_size[axis], self.stride[axis], int(self.padding[axis])
        if self.dilation[axis] != 1:
            return None
        count = (length + 2 * padding - kernel) // stride + 1
        first = [padding - position * stride for position in range(count)]
        covered = all(start >= 0 and start + length <= kernel for start in first)
        return [slice(start, start + length) for start in first] if covered and count > 0 else None
