"""Modules that join the results of several others: `after: [a, b]`.

A fork needs no module: any number of modules may say `after: a`.
"""

from __future__ import annotations

from functools import reduce
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne.network.catalog.registry import MODULES
from dianne.options import NonNegativeInt, PositiveInt

Shape = tuple[int, ...]


def _same(shapes: tuple[Shape, ...]) -> None:
    if len(set(shapes)) > 1:
        raise ValueError(f"joins samples of one shape, found {', '.join(str(list(s)) for s in shapes)}")


class _Join(nn.Module):
    joins = True

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """Nothing; all shapes must be equal."""
        _same(shapes)
        return {}


@MODULES.register("Accumulate")
class Accumulate(_Join):
    """The sum of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return torch.add(*inputs) if len(inputs) == 2 else reduce(torch.add, inputs)


@MODULES.register("Average")
class Average(_Join):
    """The mean of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return reduce(torch.add, inputs) / len(inputs)


@MODULES.register("Multiply")
class Multiply(_Join):
    """The product of what comes in, value by value."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors of one shape -> that shape."""
        return torch.mul(*inputs) if len(inputs) == 2 else reduce(torch.mul, inputs)


@MODULES.register("Concat")
class Concat(nn.Module):
    """What comes in, side by side along one dimension.

    Args:
        dim: counted from the end, 0 for the last; 2 is the planes of [planes, height, width].
    """

    joins = True

    def __init__(self, dim: NonNegativeInt = 0):
        super().__init__()
        self.dim = dim

    def forward(self, *inputs: Tensor) -> Tensor:
        """Tensors equal but for one dimension -> their concatenation."""
        try:
            return torch.cat(inputs, dim=-1 - self.dim)
        except (RuntimeError, IndexError):  # found here, so that nothing is checked while all is well
            self._check([list(value.shape[1:]) for value in inputs])
            raise

    def _check(self, shapes: list[list[int]]) -> None:
        place = -1 - self.dim
        if any(len(shape) <= self.dim for shape in shapes):
            raise ValueError(f"there is no dimension {self.dim} from the end in {shapes}")
        rest = {tuple(n for i, n in enumerate(shape) if i != len(shape) + place) for shape in shapes}
        if len(rest) > 1:
            raise ValueError(f"joins samples that differ in one dimension only, found {shapes}")


@MODULES.register("Duplicate")
class Duplicate(nn.Identity):
    """What comes in, for several modules. Not needed: any number of modules may follow the same one."""

    def __init__(self) -> None:
        super().__init__()


@MODULES.register("Split")
class Split(nn.Module):
    """Parts of what comes in, along one dimension: `name.0`, `name.1`, ...

    Args:
        parts: number of equal parts; a remainder at the end is left out.
        split: where parts end, in place of `parts`: [4, 7] gives 0 to 4, 4 to 7 and 7 to the end.
        dim: counted from the end, 0 for the last; 2 is the planes of [planes, height, width].
    """

    def __init__(
        self,
        parts: PositiveInt | None = None,
        split: str | int | list[int] | None = None,
        dim: NonNegativeInt = 0,
    ):
        super().__init__()
        self.dim = -1 - dim
        self.parts = parts
        self.ends = _ends(split)
        self.cuts: dict[int, list[int]] = {}  # by the extent of what came in
        if (parts is None) == (split is None):
            raise ValueError("needs either 'parts', such as 2, or 'split', such as 4,7")

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        """(b, ..., n, ...) -> parts of it."""
        if -self.dim > input.dim() - 1:
            raise ValueError(f"there is no dimension {-1 - self.dim} from the end in {list(input.shape[1:])}")
        size = input.shape[self.dim]
        if size not in self.cuts:
            self.cuts[size] = self._cut(size)
        sizes = self.cuts[size]
        if sum(sizes) < size:
            input = input.narrow(self.dim, 0, sum(sizes))
        return input.split_with_sizes(sizes, self.dim)  # its gradient is one tensor; that of views is many

    def _cut(self, size: int) -> list[int]:
        """The extents of parts."""
        if self.parts is not None:
            ends = [size // self.parts * (index + 1) for index in range(self.parts)]
        else:
            ends = [*self.ends, size]
        sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        if min(sizes) <= 0 or ends[-1] > size:
            where = f"into {self.parts} parts" if self.parts else f"at {ends[:-1]}"
            raise ValueError(f"cannot cut {size} values {where}")
        return sizes


def _ends(split: str | int | list[int] | None) -> list[int]:
    parts = split if isinstance(split, list) else str(split).split(",") if split is not None else []
    try:
        return [int(part) for part in parts]
    except ValueError:
        raise ValueError(f"split: expected positions such as 4,7, found '{split}'") from None


@MODULES.register("Grid")
class Grid(nn.Module):
    """All windows of an image, one behind the other: row by row from the top left.

    Shapes: [height, width] -> [windows, y, x]; [planes, height, width] -> [windows, planes, y, x].

    Args:
        x: width of a window.
        y: height of a window.
        stride_x: step to the right.
        stride_y: step down.
    """

    def __init__(self, x: PositiveInt, y: PositiveInt, stride_x: PositiveInt = 1, stride_y: PositiveInt = 1):
        super().__init__()
        self.x, self.y, self.stride_x, self.stride_y = x, y, stride_x, stride_y

    def forward(self, input: Tensor) -> Tensor:
        """(b, [c,] h, w) -> (b, windows, [c,] y, x)."""
        shape = list(input.shape[1:])
        if len(shape) not in (2, 3) or shape[-2] < self.y or shape[-1] < self.x:
            raise ValueError(f"takes images of at least [{self.y}, {self.x}], found {shape}")
        cut = input.unfold(-2, self.y, self.stride_y).unfold(-2, self.x, self.stride_x)
        # (b, [c,] rows, columns, y, x)
        windows = cut.flatten(-4, -3)
        return windows.transpose(1, 2) if len(shape) == 3 else windows


@MODULES.register("DuelJoin")
class DuelJoin(nn.Module):
    """Action values from a state's value and the advantages of actions: A + V - mean(A).

    Shapes: [1] and [actions], in any order -> [actions].
    Source: Wang et al. (2016), arXiv:1511.06581.
    """

    joins = True

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """Nothing; takes a value and advantages."""
        if len(shapes) != 2 or 1 not in (shapes[0][-1], shapes[1][-1]):
            raise ValueError(
                f"takes one value and advantages, found {', '.join(str(list(s)) for s in shapes)}"
            )
        return {}

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(b, 1) and (b, n), in any order -> (b, n)."""
        value, advantages = (first, second) if first.shape[-1] == 1 else (second, first)
        return advantages + value - advantages.mean(-1, keepdim=True)


@MODULES.register("NormalizedAdvantageFunction")
class NormalizedAdvantageFunction(nn.Module):
    """The advantage of an action: -1/2 (a - mu)^T P (a - mu), with P = L L^T.

    L is the lower triangle of a matrix M, its diagonal through SoftPlus, so that P is positive.

    Shapes: action [d], mu [d], M [d, d] (or d * d values) -> [1].
    Source: Gu et al. (2016), arXiv:1603.00748.

    Args:
        action_dims: dimensions d of an action; inferred.
    """

    joins = True
    inferred = ("action_dims",)

    def __init__(self, action_dims: PositiveInt):
        super().__init__()
        self.action_dims = action_dims

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """The number of an action's values."""
        sizes = [prod(shape) for shape in shapes]
        if len(sizes) != 3 or sizes[0] != sizes[1] or sizes[2] != sizes[0] ** 2:
            found = ", ".join(str(list(shape)) for shape in shapes)
            raise ValueError(f"takes an action [d], mu [d] and a matrix [d, d], found {found}")
        return {"action_dims": sizes[0]}

    def forward(self, action: Tensor, mu: Tensor, matrix: Tensor) -> Tensor:
        """(b, d), (b, d) and (b, d, d) -> (b, 1)."""
        square = matrix.reshape(matrix.shape[0], self.action_dims, self.action_dims)  # (b, d, d)
        diagonal = functional.softplus(square.diagonal(dim1=1, dim2=2))  # (b, d)
        lower = square.tril(-1) + diagonal.diag_embed()
        distance = (action - mu).flatten(1).unsqueeze(1)  # (b, 1, d)
        return -0.5 * (distance @ lower).square().sum(2)  # (b, 1)
