"""A network as a `torch.nn.Module`: named modules, run in the order of their wires."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from dianne.errors import UsageError
from dianne.network import cells
from dianne.network.catalog import pick, samplewise

Shape = tuple[int, ...]
State = dict[str, Tensor]
Result = Tensor | tuple[Tensor, ...]


class ShapeError(UsageError):
    """A network was given samples of a shape that it does not take."""


@dataclass(frozen=True)
class Wires:
    """How modules are connected.

    Attributes:
        inputs: the shape of a sample for each input, in the order of `forward`'s arguments.
        outputs: the modules whose results are returned.
        after: the references that each module takes, `name` or `name.port`, in the order in which the
            modules run; without inputs.
        several: the modules whose result is a tuple.
        memories: the size of the state of each Memory.
    """

    inputs: Mapping[str, Shape]
    outputs: Sequence[str]
    after: Mapping[str, Sequence[str]]
    several: frozenset[str] = frozenset()
    memories: Mapping[str, int] | None = None


class Graph(nn.Module):
    """Runs modules in order, each on the results of the modules before it.

    Weights are named by module, such as `hidden1.weight`. A graph with a Memory, or with a graph inside that
    has one, runs over sequences step by step: its inputs give the shape of one step. A graph with layers that
    have a state (LSTM, GRU) takes whole sequences: time is a dimension of its inputs, of any extent.

    Attributes:
        recurrent: whether it runs step by step.
        stateful: whether it has a state at all, which `unroll` takes and gives.
        is_cell: whether it is an LSTMCell.
        at_once: whether it is to learn from sequences in one call, as such a cell.

    Args:
        name: of the network, for messages.
        modules: by name.
        wires: their connections.
    """

    def __init__(self, name: str, modules: Mapping[str, nn.Module], wires: Wires):
        super().__init__()
        self.network = name
        self.inputs = dict(wires.inputs)
        self.outputs = list(wires.outputs)
        self.ports = tuple(self.outputs) if len(self.outputs) > 1 else ()
        self.memories = dict(wires.memories or {})
        for key, module in modules.items():
            # Not add_module: a module may bear the name of one of nn.Module's own methods ("half").
            self._modules[key] = module
        self.recurrent: bool
        graphs = [module for module in modules.values() if isinstance(module, Graph)]
        self.recurrent = bool(self.memories) or any(graph.recurrent for graph in graphs)
        self._plan_steps(modules, wires)
        self.stateful = bool(self.memories or self._inner)
        self.is_cell = cells.is_cell(modules, wires)
        self.at_once = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep own attributes apart from modules of the same name, such as `training`."""
        object.__setattr__(self, name, value)

    def _plan_steps(self, modules: Mapping[str, nn.Module], wires: Wires) -> None:
        """Number the results, so that running is a walk through a list of (function, sources, target)."""
        slots = {key: slot for slot, key in enumerate([*wires.inputs, *self.memories])}
        used = {ref for refs in wires.after.values() for ref in refs} | set(wires.outputs)
        ports: dict[str, list[str]] = {}
        for ref in sorted(used):
            ports.setdefault(ref.split(".")[0], []).append(ref)
        self._slots = len(slots)
        self._plan: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._inner: dict[int, str] = {}  # position in the plan of a module that has a state, and its name

        def add(name: str, step: Callable[..., Any], sources: tuple[int, ...]) -> None:
            slots[name] = self._slots
            self._plan.append((step, sources, self._slots))
            self._slots += 1

        for key, refs in wires.after.items():
            if key in self.memories:
                continue
            module, several = modules[key], key in wires.several
            if isinstance(module, nn.Identity):  # an Output passes on what it gets
                slots[key] = slots[refs[0]]
                continue
            if self._carries(module):
                self._inner[len(self._plan)] = key
            whole = f"{key} whole" if several else key
            add(whole, module, tuple(slots[ref] for ref in refs))
            for ref in ports.get(key, []):
                port = ref.partition(".")[2]
                if port or several:
                    add(ref, _picker(module, port), (slots[whole],))
        others = [step for position, (step, _, _) in enumerate(self._plan) if position not in self._inner]
        self._by_module = not self.memories and all(_samplewise(step) for step in others)
        self._returned = [slots[key] for key in self.outputs]
        self._remembered = {key: slots[wires.after[key][0]] for key in self.memories}
        chained = self._returned == [self._slots - 1] and all(
            sources == (position,) and target == position + 1
            for position, (_, sources, target) in enumerate(self._plan)
        )
        self._chain = [module for module, _, _ in self._plan] if chained else []
        self._entrance = next(iter(self.inputs.values()))

    def _carries(self, module: nn.Module) -> bool:
        """Whether a module's state is carried from step to step, or from sequence to sequence.

        Step by step only states of steps are: a layer over sequences sees a whole one in each step.
        """
        if self.recurrent:
            return isinstance(module, Graph) and module.recurrent
        return getattr(module, "stateful", False) is True

    def forward(self, *samples: Tensor) -> Result:
        """Results for a batch.

        Args:
            samples: for each input a tensor (b, *shape), or (b, time, *shape) for a graph with a Memory;
                another shape of as many values is reshaped.

        Returns:
            One tensor (b, ...) or (b, time, ...) for a single output, else a tuple in the order of `outputs`.

        Raises:
            ShapeError: a tensor does not have the values that its input takes.
        """
        if self.recurrent:
            return self.unroll(*samples)[0]
        if self._chain and len(samples) == 1:
            value = samples[0]
            if value.shape[1:] != self._entrance:
                (value,) = self._checked(samples)
            for module in self._chain:
                value = module(value)
            return value
        values: list[Any] = self._checked(samples)
        values.extend([values[0]] * (self._slots - len(values)))
        for module, sources, target in self._plan:
            values[target] = module(*[values[source] for source in sources])
        return self._results(values)

    def _results(self, values: list[Any]) -> Result:
        results = tuple(values[slot] for slot in self._returned)
        return results[0] if len(results) == 1 else results

    # ------------------------------------------------------------------------------------------ sequences

    def unroll(self, *sequences: Tensor, state: State | None = None) -> tuple[Result, State]:
        """Run over time.

        Args:
            sequences: for each input a tensor (b, time, ...).
            state: of all memories and layers; zeros if left out.

        Returns:
            Results (b, time, ...), and the state after the last step.

        Raises:
            ShapeError: a tensor is no sequence of what its input takes.
        """
        self._check_sequences(sequences)
        state = self.zero_state(len(sequences[0]), sequences[0]) if state is None else state
        if not self.recurrent:
            values, after = self._run(sequences, state)
            return self._results(values), after
        if len({sequence.shape[1] for sequence in sequences}) > 1:
            found = ", ".join(str(sequence.shape[1]) for sequence in sequences)
            raise ShapeError(f"{self.network} takes sequences of one length, got {found} steps")
        if self.at_once and self.training and cells.can_run(self, sequences[0]):
            return cells.run(self, sequences[0], state)
        if self._by_module:
            return self._unroll_modules(sequences, state)
        steps: list[tuple[Tensor, ...]] = []
        for samples in zip(*(sequence.unbind(1) for sequence in sequences), strict=True):
            result, state = self.step(*samples, state=state)
            steps.append(result if isinstance(result, tuple) else (result,))
        results = tuple(torch.stack(values, dim=1) for values in zip(*steps, strict=True))
        return (results[0] if len(results) == 1 else results), state

    def step(self, *samples: Tensor, state: State) -> tuple[Result, State]:
        """One step in time: samples (b, *shape) and a state give results (b, ...) and the next state.

        For graphs that are `recurrent`.
        """
        values, after = self._run(samples, state)
        after |= {key: values[slot] for key, slot in self._remembered.items()}
        return self._results(values), after

    def _run(self, samples: tuple[Tensor, ...], state: State) -> tuple[list[Any], State]:
        """All values of one run, and the next states of the modules inside."""
        values: list[Any] = [*self._checked(samples), *(state[key] for key in self.memories)]
        values.extend([values[0]] * (self._slots - len(values)))
        after: State = {}
        for position, (module, sources, target) in enumerate(self._plan):
            arguments = [values[source] for source in sources]
            if position not in self._inner:
                values[target] = module(*arguments)
                continue
            key = self._inner[position]
            run: Any = self._modules[key]
            inner = _inside(key, state)
            values[target], inner = (run.step if self.recurrent else run.unroll)(*arguments, state=inner)
            after |= _outside(key, inner)
        return values, after

    def _unroll_modules(self, sequences: tuple[Tensor, ...], state: State) -> tuple[Result, State]:
        """Unroll one module after the other: all but those with a state see all steps as one batch."""
        extent = sequences[0].shape[:2]
        values: list[Any] = self._checked(tuple(sequence.flatten(0, 1) for sequence in sequences))
        values.extend([values[0]] * (self._slots - len(values)))
        after: State = {}
        for position, (module, sources, target) in enumerate(self._plan):
            arguments = [values[source] for source in sources]
            key = self._inner.get(position)
            if key is None:
                values[target] = module(*arguments)
                continue
            run: Any = self._modules[key]
            steps = (value.reshape(*extent, *value.shape[1:]) for value in arguments)
            result, inner = run.unroll(*steps, state=_inside(key, state))
            values[target] = _of_each(result, lambda value: value.flatten(0, 1))
            after |= _outside(key, inner)
        results = self._results(values)
        return _of_each(results, lambda value: value.reshape(*extent, *value.shape[1:])), after

    def zero_state(self, batch: int, like: Tensor) -> State:
        """The state before a sequence: zeros, batch first, by name (`lstm1/h` for what is inside others)."""
        state = {key: like.new_zeros(batch, size) for key, size in self.memories.items()}
        for key in self._inner.values():
            module: Any = self._modules[key]
            state |= {f"{key}/{name}": value for name, value in module.zero_state(batch, like).items()}
        return state

    # --------------------------------------------------------------------------------------------- shapes

    def _checked(self, samples: tuple[Tensor, ...]) -> list[Tensor]:
        if len(samples) != len(self.inputs):
            count, names = len(self.inputs), ", ".join(self.inputs)
            inputs = "input" if count == 1 else "inputs"
            raise ShapeError(f"{self.network} takes {count} {inputs} ({names}), got {len(samples)}")
        values = []
        for (key, shape), sample in zip(self.inputs.items(), samples, strict=True):
            if sample.shape[1:] != shape and not self._is_sequence(sample, shape):
                if prod(sample.shape[1:]) != prod(shape) or sample.dim() == 0:
                    found = list(sample.shape[1:])
                    raise ShapeError(f"{self.network}.{key} takes samples of {list(shape)}, got {found}")
                sample = sample.reshape(len(sample), *shape)
            values.append(sample)
        return values

    def _check_sequences(self, sequences: tuple[Tensor, ...]) -> None:
        for (key, shape), sequence in zip(self.inputs.items(), sequences, strict=False):
            step = shape if self.recurrent else shape[1:]
            if sequence.dim() < 2 or (self.recurrent and prod(sequence.shape[2:]) != prod(step)):
                wanted = ", ".join(map(str, ("batch", "time", *step)))
                found = list(sequence.shape)
                raise ShapeError(f"{self.network}.{key} takes sequences ({wanted}), got {found}")

    def _is_sequence(self, sample: Tensor, shape: Shape) -> bool:
        """Whether a sample differs only in its extent in time, which is free for layers over sequences."""
        layers = self.stateful and not self.recurrent
        return layers and sample.dim() == 1 + len(shape) > 2 and sample.shape[2:] == shape[1:]


def _samplewise(step: Callable[..., Any]) -> bool:
    """Whether a step of a plan gives the same for a sample whatever else is in the batch."""
    if isinstance(step, Graph):
        return all(_samplewise(inner) for inner, _, _ in step._plan)
    return not isinstance(step, nn.Module) or samplewise(step)


def _inside(key: str, state: State) -> State:
    """The part of a state that belongs to a module, under the module's own names."""
    mine = f"{key}/"
    return {name.removeprefix(mine): value for name, value in state.items() if name.startswith(mine)}


def _outside(key: str, state: State) -> State:
    """The way back from `_inside`."""
    return {f"{key}/{name}": value for name, value in state.items()}


def _of_each(result: Result, change: Callable[[Tensor], Tensor]) -> Result:
    return tuple(change(value) for value in result) if isinstance(result, tuple) else change(result)


def _picker(module: nn.Module, port: str) -> Callable[[Any], Tensor]:
    """What takes one part out of a module's result."""
    if hasattr(module, "port"):
        return lambda result: pick(module, result, port)
    names = list(getattr(module, "ports", ()))
    index = names.index(port) if port in names else int(port or 0)
    return lambda result: result[index]
