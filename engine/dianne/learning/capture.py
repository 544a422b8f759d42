"""Whole updates as CUDA graphs: all that a device does in an update, handed over in one call.

A graph does again what was done while it was captured, in the same memory and with the same Python numbers,
whatever Python says by then. So an update is captured once it was asked the same several times in a row, its
graph is taken only if it gives what the update gave without it, and replayed only while the same is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from dianne.learning.cuda_graph import CudaGraph
from dianne.learning.execution import Execution
from dianne.learning.strategy import LossFunction, Terms
from dianne.learning.trainer import Trainer

STEADY = 5  # times in a row that the same is asked before an update is captured
TOLERANCE = 1e-3  # of the largest value; a device may add in another order from call to call
DEEPEST = 5  # level of values within values that is looked at
LONGEST = 100  # list or dict that is looked at; a longer one counts as changed
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_OURS = ("dianne.", "torch.", "builtins", "collections", "functools", "numpy", "pathlib")


@dataclass(frozen=True)
class Replay:
    """A captured update.

    Attributes:
        asked: what it does; it holds for nothing else.
        graph: does it.
        given: the tensors that it reads, one for each that the update is called with.
        terms: the tensors that it writes.
    """

    asked: Any
    graph: CudaGraph
    given: list[Tensor]
    terms: Terms

    def __call__(self, given: list[Tensor]) -> Terms:
        """The terms for some tensors; the weights are changed."""
        if given:
            torch._foreach_copy_(self.given, given)
        self.graph.replay()
        return {name: term.clone() for name, term in self.terms.items()}


class Capture:
    """Captures an update when it can, and replays it.

    Args:
        compute: computes the loss and changes the weights; gives detached terms, and waits for no device.
        loss: of the update, a method of its strategy.
        trainers: of the update.
        networks: all that the loss may use.
        execution: how they are computed.
    """

    def __init__(
        self,
        compute: Callable[[tuple[Any, ...]], Terms],
        loss: LossFunction,
        trainers: list[Trainer],
        networks: tuple[nn.Module, ...],
        execution: Execution,
    ):
        self.compute = compute
        self.name = getattr(loss, "__name__", "an update")
        self.owner = getattr(loss, "__self__", None)  # others may look at anything
        self.trainers = trainers
        self.networks = networks
        self.execution = execution
        self.on = self.owner is not None
        self.replay: Replay | None = None
        self._asked: Any = None  # the last time
        self._times = 0  # in a row that the same was asked

    def __call__(self, arguments: tuple[Any, ...]) -> Terms | None:
        """The terms, the weights being changed; None where the update must be computed as ever."""
        leaves, shape = _pytree.tree_flatten(arguments)
        given = list({id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor)}.values())
        if not self.on or any(tensor.requires_grad for tensor in given):  # of gradients that began before
            return None
        asked = (shape, [_argument(leaf, leaves) for leaf in leaves], *self._surroundings())
        if self.replay and asked == self.replay.asked:
            return self.replay(given)
        self._times = self._times + 1 if asked == self._asked else 1
        self._asked = asked
        return self._capture(arguments, asked, given) if self._times > STEADY else None

    @cached_property
    def _of_modules(self) -> list[tuple[dict[str, Any], str]]:
        """Where modules keep plain values: whether they learn, how much they drop, ..."""
        modules = [vars(module) for network in self.networks for module in network.modules()]
        return [(own, key) for own in modules for key, value in own.items() if isinstance(value, _PLAIN)]

    def _surroundings(self) -> tuple[Any, ...]:
        """What an update may look at beside arguments and the values of tensors."""
        return (
            _numbers(vars(self.owner)),
            [own.get(key) for own, key in self._of_modules],
            self.execution.compiling.on,
            [(_Same(trainer.optimizer), _numbers(trainer.settings())) for trainer in self.trainers],
        )

    def _capture(self, arguments: tuple[Any, ...], asked: Any, given: list[Tensor]) -> Terms | None:
        """Compute an update as ever and by its graph; the terms, if they are the same."""
        put_back, graph = self._remember(), self.execution.new_graph()
        expected, reached = graph.warm_up(lambda: self.compute(arguments)), self._weights()
        put_back()
        own = {id(tensor): tensor.clone() for tensor in given}
        copied = _pytree.tree_map_only(Tensor, lambda tensor: own[id(tensor)], arguments)
        try:
            terms = graph.capture(lambda: self.compute(copied))
            self.replay = Replay(asked, graph, [own[id(tensor)] for tensor in given], terms)
            found = self.replay(given)
        except (RuntimeError, NotImplementedError) as error:
            fault = str(error).strip().split("\n")[0]
        else:
            if self._surroundings() != asked[2:]:
                fault = "the loss changes numbers of its strategy"
            elif not _same([*found.values(), *self._weights()], [*expected.values(), *reached]):
                fault = "its graph gives something else"
            else:
                return found
        put_back()
        self._give_up(fault)
        return None

    def _give_up(self, reason: str) -> None:
        """Compute as ever from now on."""
        self.on, self.replay = False, None
        self.execution.note(f"{self.name} is not captured as a CUDA graph, and takes longer: {reason}")

    def _weights(self) -> list[Tensor]:
        return [weight.detach().clone() for trainer in self.trainers for weight in trainer.weights]

    def _remember(self) -> Callable[[], None]:
        """What puts all that an update changes back to where it stands now."""
        tensors = [value for value in vars(self.owner).values() if isinstance(value, Tensor)]
        for network in self.networks:
            tensors += [*network.parameters(), *network.buffers()]
        for trainer in self.trainers:
            for state in trainer.optimizer.state.values():
                tensors += [value for value in state.values() if isinstance(value, Tensor)]
        before = [tensor.detach().clone() for tensor in tensors]
        put_numbers_back = self.execution.remember()

        def put_back() -> None:
            with torch.no_grad():
                for tensor, value in zip(tensors, before, strict=True):
                    tensor.copy_(value)
            for trainer in self.trainers:
                for weight in trainer.weights:
                    weight.grad = None
            put_numbers_back()

        return put_back


class _Same:
    """An object that equals nothing but itself; it is held, so that no other takes its place in memory."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: object):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def _argument(leaf: Any, leaves: list[Any]) -> Any:
    """What must stay the same of an argument: of a tensor all but its values."""
    if not isinstance(leaf, Tensor):
        return _numbers(leaf)
    first = next(place for place, other in enumerate(leaves) if other is leaf)
    return first, leaf.shape, leaf.dtype, leaf.device


def _numbers(value: Any, level: int = 0) -> Any:
    """Plain values as they are, and of all others which object it is; what a user wrote is looked into."""
    if isinstance(value, _PLAIN):
        return value
    if level < DEEPEST and isinstance(value, list | tuple | dict):
        if len(value) > LONGEST:
            return _Same(object())
        if isinstance(value, dict):
            return {key: _numbers(part, level + 1) for key, part in value.items()}
        return [_numbers(part, level + 1) for part in value]
    theirs = not type(value).__module__.startswith(_OURS) and not isinstance(value, Tensor | nn.Module)
    if level < DEEPEST and theirs and hasattr(value, "__dict__"):
        return _Same(value), _numbers(vars(value), level + 1)
    return _Same(value)


def _same(found: list[Tensor], expected: list[Tensor]) -> bool:
    """Whether tensors have the same values, but for the order of additions."""
    for one, other in zip(found, expected, strict=True):
        largest = float(other.abs().max()) if other.numel() else 0.0
        if not torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True):
            return False
    return True
