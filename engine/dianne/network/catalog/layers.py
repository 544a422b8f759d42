"""Inputs and outputs, linear maps, convolution, pooling, shapes and regularisation."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt, PositiveInt

Shape = tuple[int, ...]
_AXES = {1: "[time, planes]", 2: "[planes, height, width]", 3: "[planes, depth, height, width]"}


@MODULES.register("Input")
class Input(nn.Identity):
    """Where samples come in.

    Args:
        shape: of one sample, without the batch, such as [1, 28, 28].
    """

    def __init__(self, shape: Annotated[list[PositiveInt], Field(min_length=1)]):
        super().__init__()
        self.shape = tuple(shape)


@MODULES.register("Output")
class Output(nn.Identity):
    """Where results leave.

    Args:
        labels: names of the values, such as the classes.
    """

    def __init__(self, labels: list[str | int] | None = None):
        super().__init__()
        self.labels = [str(label) for label in labels] if labels else None


@MODULES.register("Linear")
class Linear(nn.Linear):
    """Affine map y = W x + b of all values of a sample; starts uniform in ±1/sqrt(input).

    Shapes: any shape of `input` values -> [output].

    Args:
        output: values that leave.
        input: values that come in; inferred.
    """

    inferred = ("input",)

    def __init__(self, output: PositiveInt, input: PositiveInt):  # DIANNE's word
        super().__init__(input, output)

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of values in a sample."""
        return {"input": prod(shape)}

    def forward(self, input: Tensor) -> Tensor:  # torch's word
        """(b, ...) -> (b, output)."""
        return super().forward(input.flatten(1) if input.dim() > 2 else input)


def _window(width: int, height: int | None, depth: int | None) -> tuple[int, ...]:
    """The extent of a window, the last axis last; which sizes are given tells the number of dimensions."""
    if depth is not None:
        return (depth, height or 1, width)
    return (width,) if height is None else (height, width)


def _along(axes: int, x: int, y: int, z: int) -> tuple[int, ...]:
    return (z, y, x)[3 - axes :]


def _fit(axes: int, shape: Shape) -> None:
    if len(shape) != axes + 1:
        raise ValueError(f"takes samples of {_AXES[axes]}, found {list(shape)}")


def _room(window: Shape, pad: Shape, extent: Shape) -> None:
    if any(size > length + 2 * p for size, p, length in zip(window, pad, extent, strict=True)):
        raise ValueError(f"a window of {list(window)} does not fit into {list(extent)}")


@MODULES.register("Convolution")
class Convolution(nn.Module):
    """Cross-correlation with a bias for each plane; starts uniform in ±1/sqrt(fan-in).

    Shapes: one dimension [time, planes], two [planes, height, width], three [planes, depth, height, width];
    each extent n becomes floor((n + 2 pad - kernel) / stride) + 1.

    Args:
        no_output_planes: planes that leave.
        kernel_width: extent along the last axis (time, for one dimension).
        kernel_height: given for two dimensions and more.
        kernel_depth: given for three dimensions.
        stride_x: step along the width.
        stride_y: step along the height.
        stride_z: step along the depth.
        pad_x: zeros added on both sides of the width.
        pad_y: zeros added on both sides of the height.
        pad_z: zeros added on both sides of the depth.
        no_input_planes: planes that come in; inferred.
    """

    inferred = ("no_input_planes",)

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
        pad_x: NonNegativeInt = 0,
        pad_y: NonNegativeInt = 0,
        pad_z: NonNegativeInt = 0,
    ):
        super().__init__()
        kernel = _window(kernel_width, kernel_height, kernel_depth)
        self.axes = len(kernel)
        self.stride = _along(self.axes, stride_x, stride_y, stride_z)
        self.pad = _along(self.axes, pad_x, pad_y, pad_z)
        self.weight = nn.Parameter(torch.empty(no_output_planes, no_input_planes, *kernel))
        self.bias = nn.Parameter(torch.empty(no_output_planes))
        bound = 1 / (no_input_planes * prod(kernel)) ** 0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self._compute: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[self.axes - 1]

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of planes: the last dimension of [time, planes], else the first."""
        return {"no_input_planes": shape[-1] if len(shape) == 2 else shape[0]}

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, no_output_planes, ...); time comes before planes in one dimension."""
        _fit(self.axes, tuple(input.shape[1:]))
        if self.axes == 1:
            input = input.transpose(1, 2)
        _room(tuple(self.weight.shape[2:]), self.pad, tuple(input.shape[2:]))
        result: Tensor = self._compute(input, self.weight, self.bias, self.stride, self.pad)
        return result.transpose(1, 2) if self.axes == 1 else result


class _Pooling(nn.Module):
    def __init__(
        self,
        width: PositiveInt,
        height: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        stride_x: PositiveInt | None = None,
        stride_y: PositiveInt | None = None,
        stride_z: PositiveInt | None = None,
        pad_x: NonNegativeInt = 0,
        pad_y: NonNegativeInt = 0,
        pad_z: NonNegativeInt = 0,
    ):
        super().__init__()
        self.window = _window(width, height, depth)
        self.axes = len(self.window)
        self.stride = _along(self.axes, stride_x or width, stride_y or height or 1, stride_z or depth or 1)
        self.pad = _along(self.axes, pad_x, pad_y, pad_z)
        if any(pad > size // 2 for pad, size in zip(self.pad, self.window, strict=True)):
            raise ValueError(f"a pad of {list(self.pad)} is more than half the window {list(self.window)}")

    def _check(self, value: Tensor) -> None:
        _fit(self.axes, tuple(value.shape[1:]))
        extent = value.shape[1:2] if self.axes == 1 else value.shape[2:]
        _room(self.window, self.pad, tuple(extent))


@MODULES.register("MaxPooling")
class MaxPooling(_Pooling):
    """The largest value in each window; padding never wins.

    Shapes: as Convolution; each extent n becomes floor((n + 2 pad - window) / stride) + 1.

    Args:
        width: window along the last axis (time, for one dimension).
        height: given for two dimensions and more.
        depth: given for three dimensions.
        stride_x: step along the width; the window's if left out, as for the others.
        stride_y: step along the height.
        stride_z: step along the depth.
        pad_x: cells added on both sides of the width, at most half the window.
        pad_y: cells added on both sides of the height.
        pad_z: cells added on both sides of the depth.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, planes, ...)."""
        self._check(input)
        if self.axes == 1:
            pooled = functional.max_pool1d(input.transpose(1, 2), self.window, self.stride, self.pad)
            return pooled.transpose(1, 2)
        compute: Any = functional.max_pool2d if self.axes == 2 else functional.max_pool3d
        return compute(input, self.window, self.stride, self.pad)  # type: ignore[no-any-return]


@MODULES.register("AvgPooling")
class AvgPooling(_Pooling):
    """The mean of each window; padded cells do not count.

    Shapes and arguments: as MaxPooling.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, planes, ...) -> (b, planes, ...)."""
        self._check(input)
        if self.axes == 1:
            line = input.transpose(1, 2)
            pooled = functional.avg_pool1d(line, self.window, self.stride, self.pad, count_include_pad=False)
            return pooled.transpose(1, 2)
        compute: Any = functional.avg_pool2d if self.axes == 2 else functional.avg_pool3d
        result: Tensor = compute(input, self.window, self.stride, self.pad, count_include_pad=False)
        return result


@MODULES.register("Reshape")
class Reshape(nn.Module):
    """The values of a sample in another shape.

    Args:
        shape: of a sample afterwards, such as [28, 28].
    """

    def __init__(self, shape: Annotated[list[PositiveInt], Field(min_length=1)]):
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, *shape)."""
        if prod(input.shape[1:]) != prod(self.shape):
            found = list(input.shape[1:])
            raise ValueError(
                f"{list(self.shape)} holds {prod(self.shape)} values, but {found} has {prod(found)}"
            )
        return input.reshape(len(input), *self.shape)


@MODULES.register("Dropout")
class Dropout(nn.Dropout):
    """In training, sets each value to 0 with probability `rate` and divides the others by 1 - rate.

    Source: Srivastava et al. (2014), Dropout, JMLR 15.

    Args:
        rate: probability of dropping a value.
    """

    def __init__(self, rate: Annotated[float, Field(ge=0, lt=1)]):
        super().__init__(rate)


@MODULES.register("BatchNormalization")
class BatchNormalization(nn.Module):
    """Each feature (or plane) shifted and scaled to mean 0 and variance 1 over the batch, then w x + b.

    Evaluation uses running statistics: running = 0.9 running + 0.1 batch. epsilon is 1e-5.

    Shapes: [size] or [size, ...] -> the same.
    Source: Ioffe and Szegedy (2015), arXiv:1502.03167.

    Args:
        size: features or planes; inferred.
    """

    inferred = ("size",)

    def __init__(self, size: PositiveInt):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("running_mean", torch.zeros(size))
        self.register_buffer("running_var", torch.ones(size))

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The number of features or planes."""
        return {"size": shape[0]}

    def forward(self, input: Tensor) -> Tensor:
        """(b, size, ...) -> the same."""
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return functional.batch_norm(input, mean, variance, self.weight, self.bias, self.training)
