"""torch's layers for sequences, with sizes that follow from what comes in.

Samples have time as their first dimension: [time, features]. For networks that run step by step, with
circles through a Memory, see the networks LSTMCell and GRUCell.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from dianne.network.catalog.registry import MODULES
from dianne.options import PositiveFloat, PositiveInt

Shape = tuple[int, ...]
Rate = Annotated[float, Field(ge=0, lt=1)]


def _features(shape: Shape) -> int:
    if len(shape) != 2:
        raise ValueError(f"takes samples of [time, features], found {list(shape)}")
    return shape[1]


class _Recurrent(nn.Module):
    """A recurrent layer over a whole sequence.

    Attributes:
        stateful: whether it can go on from the state behind a sequence; not if it runs backwards too.

    Args:
        output: features that leave, in each direction.
        input: features that come in; inferred.
        layers: stacked layers.
        dropout: probability of dropping values between layers, in training.
        bidirectional: run backwards in time too; the results stand side by side.
    """

    inferred = ("input",)
    kind: type[nn.LSTM] | type[nn.GRU]
    ports: tuple[str, ...]  # of the result: the output, then the parts of the state

    def __init__(
        self,
        output: PositiveInt,
        input: PositiveInt,
        layers: PositiveInt = 1,
        dropout: Rate = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__()
        self.cell = self.kind(
            input, output, layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.stateful = not bidirectional

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The features of [time, features]."""
        return {"input": _features(shape)}

    def zero_state(self, batch: int, like: Tensor) -> dict[str, Tensor]:
        """The state before a sequence: zeros (b, layers, output) by name, of the type of `like`."""
        shape = (batch, self.cell.num_layers, self.cell.hidden_size)
        return {name: like.new_zeros(shape) for name in self.ports[1:]}

    def unroll(self, input: Tensor, state: dict[str, Tensor]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The result of `forward` for a sequence that goes on from a state, and the state after it."""
        before = [state[name].transpose(0, 1).contiguous() for name in self.ports[1:]]
        output, after = self.cell(input, tuple(before) if len(before) > 1 else before[0])
        parts = after if len(before) > 1 else (after,)
        parts = tuple(part.transpose(0, 1) for part in parts)
        return (output, *parts), dict(zip(self.ports[1:], parts, strict=True))


@MODULES.register("LSTM")
class LSTM(_Recurrent):
    """Long short-term memory over a sequence; `name.hidden` and `name.cell` are the state after it.

    Shapes: [time, input] -> [time, output].
    Source: Hochreiter and Schmidhuber (1997), with forget gates; torch.nn.LSTM.
    """

    kind = nn.LSTM
    ports = ("output", "hidden", "cell")

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(b, time, input) -> (b, time, output), and (b, layers, output) twice."""
        output, (hidden, cell) = self.cell(input)
        return output, hidden.transpose(0, 1), cell.transpose(0, 1)


@MODULES.register("GRU")
class GRU(_Recurrent):
    """Gated recurrent unit over a sequence; `name.hidden` is the state after it.

    Shapes: [time, input] -> [time, output].
    Source: Cho et al. (2014), arXiv:1406.1078; torch.nn.GRU.
    """

    kind = nn.GRU
    ports = ("output", "hidden")

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """(b, time, input) -> (b, time, output), and (b, layers, output)."""
        output, hidden = self.cell(input)
        return output, hidden.transpose(0, 1)


@MODULES.register("LayerNorm")
class LayerNorm(nn.LayerNorm):
    """The last dimension shifted and scaled to mean 0 and variance 1 in each sample, then w x + b.

    Source: Ba et al. (2016), arXiv:1607.06450; torch.nn.LayerNorm.

    Args:
        size: extent of the last dimension; inferred.
        epsilon: added to the variance.
    """

    inferred = ("size",)

    def __init__(self, size: PositiveInt, epsilon: PositiveFloat = 1e-5):
        super().__init__(size, eps=epsilon)

    @classmethod
    def infer(cls, shape: Shape) -> dict[str, int]:
        """The extent of the last dimension."""
        return {"size": shape[-1]}


@MODULES.register("Embedding")
class Embedding(nn.Embedding):
    """A vector for each of `entries` whole numbers.

    Shapes: [...] of numbers from 0 to entries - 1 -> [..., output].

    Args:
        entries: how many numbers there are.
        output: extent of a vector.
    """

    def __init__(self, entries: PositiveInt, output: PositiveInt):
        super().__init__(entries, output)

    def forward(self, input: Tensor) -> Tensor:
        """(b, ...) -> (b, ..., output)."""
        return super().forward(input.long())


@MODULES.register("MultiheadAttention")
class MultiheadAttention(nn.Module):
    """Attention of a sequence to itself (`after: a`), or to another: `after: [query, keys]`.

    `name.weights` are the shares of attention, averaged over heads.

    Shapes: [time, size] -> [time, size].
    Source: Vaswani et al. (2017), arXiv:1706.03762; torch.nn.MultiheadAttention.

    Args:
        heads: parts into which `size` is cut.
        size: features; inferred.
        dropout: probability of dropping a share, in training.
    """

    joins = True
    inferred = ("size",)
    ports = ("output", "weights")
    weights = False

    def __init__(self, heads: PositiveInt, size: PositiveInt, dropout: Rate = 0.0):
        super().__init__()
        if size % heads:
            raise ValueError(f"cannot cut {size} features into {heads} heads")
        self.attention = nn.MultiheadAttention(size, heads, dropout=dropout, batch_first=True)

    @classmethod
    def infer(cls, *shapes: Shape) -> dict[str, int]:
        """The features of [time, features]."""
        if len(shapes) > 2 or len({_features(shape) for shape in shapes}) > 1:
            found = ", ".join(str(list(shape)) for shape in shapes)
            raise ValueError(f"takes one sequence, or a query and keys of the same size, found {found}")
        return {"size": _features(shapes[0])}

    def use_ports(self) -> None:
        """Give the shares of attention too."""
        self.weights = True

    def forward(self, query: Tensor, keys: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """(b, time, size), and maybe (b, other time, size) -> (b, time, size)."""
        keys = query if keys is None else keys
        output, weights = self.attention(query, keys, keys, need_weights=self.weights)
        return (output, weights) if self.weights else output
