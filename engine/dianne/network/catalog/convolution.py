"""Convolution in one, two and three dimensions, and its transpose."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog import windows
from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt, PositiveInt

Shape = tuple[int, ...]


class Kernels(nn.Module):
    """What convolution and its transpose have in common.

    Attributes:
        planes_last: whether planes are neighbours in memory while it learns, in results and what follows
            from them: CPUs learn 10 to 30 % faster so. Values and shapes are the same.

    Args:
        no_output_planes: planes that leave.
        kernel_width: extent along the last axis (time, for one dimension).
        no_input_planes: planes that come in; inferred.
        kernel_height: given for two dimensions and more.
        kernel_depth: given for three dimensions.
        stride_x: step along the width.
        stride_y: step along the height.
        stride_z: step along the depth.
        pad_x: zeros added on both sides of the width; 0 if left out, as for the others.
        pad_y: zeros added on both sides of the height.
        pad_z: zeros added on both sides of the depth.
        pad: pad by half the kernel wherever no pad is given, so that odd kernels keep the extent.
    """

    inferred = ("no_input_planes",)
    planes_last = False

    def __init__(
        self,
        no_output_planes: PositiveInt,
        kernel_width: PositiveInt,
        no_input_planes: PositiveInt,
        kernel_height: PositiveInt | None = None,
        kernel_depth: PositiveInt | None = None,
        stride_x: PositiveInt = 1,
        stride_y: PositiveInt = 1,
        stride_z: PositiveInt = 1,
        pad_x: NonNegativeInt | None = None,
        pad_y: NonNegativeInt | None = None,
        pad_z: NonNegativeInt | None = None,
        pad: bool = False,
    ):
        super().__init__()
        self.kernel = windows.window(kernel_width, kernel_height, kernel_depth)
        self.axes = len(self.kernel)
        self.stride = windows.along(self.axes, stride_x, stride_y, stride_z)
        middle = windows.along(self.axes, kernel_width, kernel_height or 1, kernel_depth or 1)
        own = (pad_z, pad_y, pad_x)[3 - self.axes :]
        half = [(size - 1) // 2 if pad else 0 for size in middle]
        self.pad = tuple(given if given is not None else h for given, h in zip(own, half, strict=True))
        self.weight = nn.Parameter(torch.empty(self.weight_shape(no_input_planes, no_output_planes)))
        self.bias = nn.Parameter(torch.empty(no_output_planes))
        bound = 1 / (no_input_planes * prod(self.kernel)) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def weight_shape(self, incoming: int, outgoing: int) -> Shape:
        """As torch has it."""
        return (outgoing, incoming, *self.kernel)

    @property
    def learns_with_planes_last(self) -> bool:
        """Whether that is so now."""
        return self.planes_last and self.training and self.axes == 2

    def kernels(self) -> Tensor:
        """The weights, in the order in memory that results are to have: torch takes it from there."""
        if not self.learns_with_planes_last:
            return self.weight
        if self.weight.shape[1] == 1:  # in this order already, which torch sees by the strides
            return self.weight.squeeze(1).unsqueeze(3).movedim(3, 1)
        return self.weight.contiguous(memory_format=torch.channels_last)

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of planes that come in."""
        return {"no_input_planes": windows.planes(shape)}


@MODULES.register("Convolution")
class Convolution(Kernels):
    """Cross-correlation with a bias for each plane; starts uniform in ±1/sqrt(fan-in).

    Shapes: one dimension [time, planes], two [planes, height, width], three [planes, depth, height, width];
    each extent n becomes floor((n + 2 pad - kernel) / stride) + 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, no_output_planes, ...); time comes before planes in one dimension."""
        value = windows.enter(self.axes, input)
        windows.check_room(self.kernel, self.pad, tuple(value.shape[2:]))
        compute: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[self.axes - 1]
        return windows.leave(self.axes, compute(value, self.kernels(), self.bias, self.stride, self.pad))


@MODULES.register("FullConvolution")
class FullConvolution(Kernels):
    """Transposed convolution: each value spreads its kernel over the result; starts as Convolution.

    Shapes: as Convolution; each extent n becomes (n - 1) stride - 2 pad + kernel.

    Here pads are taken off both sides of the result.
    """

    def weight_shape(self, incoming: int, outgoing: int) -> Shape:
        """As torch has it for a transposed convolution."""
        return (incoming, outgoing, *self.kernel)

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, no_output_planes, ...); time comes before planes in one dimension."""
        value = windows.enter(self.axes, input)
        if self.learns_with_planes_last and self.folds:
            return _ToOnePlane.apply(value, self.kernels(), self.bias, self.stride, self.pad)  # type: ignore[no-any-return,no-untyped-call]
        compute: Any = (
            functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d,
        )[self.axes - 1]  # fmt: skip
        return windows.leave(self.axes, compute(value, self.kernels(), self.bias, self.stride, self.pad))

    @property
    def folds(self) -> bool:
        """Whether it is faster as a product of matrices: grey pictures that grow, in float32."""
        return self.weight.shape[1] == 1 < max(self.stride) and not torch.is_autocast_enabled("cpu")


class _ToOnePlane(torch.autograd.Function):
    """Transposed convolution as one product of matrices; for one plane oneDNN takes three times as long."""

    @staticmethod
    def forward(
        context: Any, value: Tensor, weight: Tensor, bias: Tensor, stride: Shape, pad: Shape
    ) -> Tensor:
        """(b, planes, height, width) -> (b, 1, ...); weights (planes, 1, ...)."""
        context.save_for_backward(value, weight)
        context.stride, context.pad = stride, pad
        kernel = weight.shape[2:]
        places = value.movedim(1, 3).flatten(0, 2)  # (b * height * width, planes)
        spread = (places @ weight.flatten(1)).view(len(value), -1, prod(kernel)).transpose(1, 2)
        sizes = zip(value.shape[2:], stride, pad, kernel, strict=True)
        size = tuple((n - 1) * step - 2 * off + extent for n, step, off, extent in sizes)
        return functional.fold(spread, size, kernel, padding=pad, stride=stride).add_(bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """As of any transposed convolution."""
        value, weight = context.saved_tensors
        how = context.stride, context.pad, [1, 1], True, [0, 0], 1, context.needs_input_grad[:3]
        return *torch.ops.aten.convolution_backward(gradient, value, weight, [1], *how), None, None
