"""A network as a `torch.nn.Module`: named modules, run in the order of their wires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from torch import Tensor, nn

from dianne.errors import UsageError

Shape = tuple[int, ...]


class ShapeError(UsageError):
    """A network was given samples of a shape that it does not take."""


class Graph(nn.Module):
    """Runs modules in order, each on the results of the modules before it.

    Weights are named by module, such as `hidden1.weight`.

    Args:
        name: of the network, for messages.
        modules: by name, in an order in which each comes after what it takes.
        after: for each module the names of those whose results it takes; none for an input.
        inputs: the shape of a sample for each input, in the order of `forward`'s arguments.
        outputs: the modules whose results `forward` returns.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        after: Mapping[str, list[str]],
        inputs: Mapping[str, Shape],
        outputs: Iterable[str],
    ):
        super().__init__()
        self.network = name
        self.inputs = dict(inputs)
        self.outputs = list(outputs)
        for key, module in modules.items():
            # Not add_module: a module may bear the name of one of nn.Module's own methods ("half").
            self._modules[key] = module
        named = dict(modules)
        slots = {key: slot for slot, key in enumerate([*inputs, *(k for k in modules if k not in inputs)])}
        self._slots = len(slots)
        self._plan = [
            (named[key], tuple(slots[source] for source in after[key]), slots[key])
            for key in modules
            if key not in inputs
        ]
        self._returned = [slots[key] for key in self.outputs]
        self._chain = all(
            sources == (slot - 1,) and slot == position + 1
            for position, (_, sources, slot) in enumerate(self._plan)
        ) and self._returned == [len(self._plan)]

    def forward(self, *samples: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Results for a batch.

        Args:
            samples: for each input a tensor (b, *shape); another shape of as many values is reshaped.

        Returns:
            One tensor (b, ...) for a single output, else a tuple in the order of `outputs`.

        Raises:
            ShapeError: a tensor does not have the values that its input takes.
        """
        values = self._checked(samples)
        if self._chain:
            value = values[0]
            for module, _, _ in self._plan:
                value = module(value)
            return value
        values.extend([values[0]] * (self._slots - len(values)))
        for module, sources, slot in self._plan:
            values[slot] = module(*[values[source] for source in sources])
        results = tuple(values[slot] for slot in self._returned)
        return results[0] if len(results) == 1 else results

    def _checked(self, samples: tuple[Tensor, ...]) -> list[Tensor]:
        if len(samples) != len(self.inputs):
            names = ", ".join(self.inputs)
            raise ShapeError(f"{self.network} takes {len(self.inputs)} inputs ({names}), got {len(samples)}")
        values = []
        for (key, shape), sample in zip(self.inputs.items(), samples, strict=True):
            if sample.shape[1:] != shape:
                if prod(sample.shape[1:]) != prod(shape) or sample.dim() == 0:
                    found = list(sample.shape[1:])
                    raise ShapeError(f"{self.network}.{key} takes samples of {list(shape)}, got {found}")
                sample = sample.reshape(len(sample), *shape)
            values.append(sample)
        return values
