"""A CUDA graph without a CUDA device: the calls of torch's kernels, made again.

As a real one it changes nothing while it captures, refuses to give a tensor's value to Python, keeps memory
and numbers as they were, and draws new random numbers with every replay.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from dianne import criteria
from dianne.learning import update
from dianne.learning.execution import Execution

LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "equal"}  # kernels that wait for their results


class Tape:
    """Takes the place of `dianne.learning.cuda_graph.CudaGraph`."""

    def __init__(self, _: torch.device, generators: Iterable[torch.Generator]):
        self.generators = [torch.default_generator, *generators]
        self.calls: list[Callable[[], None]] = []
        self.replays = 0

    def warm_up(self, function: Callable[[], Any]) -> Any:
        return function()

    def capture(self, function: Callable[[], Any]) -> Any:
        states = [generator.get_state() for generator in self.generators]
        recorder = Recorder(self.calls)
        try:
            with recorder:
                return function()
        finally:
            with torch.no_grad():
                for tensor, value in recorder.before.values():
                    tensor.copy_(value)
            for generator, state in zip(self.generators, states, strict=True):
                generator.set_state(state)

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for call in self.calls:
                call()


class Recorder(TorchDispatchMode):
    def __init__(self, calls: list[Callable[[], None]]):
        super().__init__()
        self.calls = calls
        self.before: dict[int, tuple[Tensor, Tensor]] = {}  # what was written to, and what it held

    def __torch_dispatch__(self, kernel, types, args=(), kwargs=None):
        named = dict(kwargs or {})
        if kernel._schema.name.split("::")[1] in LOOKS:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
        self._keep_what_is_written(kernel._schema, args, named)
        results = kernel(*args, **named)
        self.calls.append(lambda: again(kernel, args, named, results))
        return results

    def _keep_what_is_written(self, schema, args, named) -> None:
        given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | named
        quiet = schema.name == "aten::native_batch_norm"  # writes to its statistics, and does not say so
        for argument in schema.arguments:
            if quiet or (argument.alias_info is not None and argument.alias_info.is_write):
                for tensor in _pytree.tree_leaves(given.get(argument.name)):
                    if isinstance(tensor, Tensor):
                        self.before.setdefault(id(tensor), (tensor, tensor.detach().clone()))


def again(kernel, args, named, results) -> None:
    """Call a kernel, and put what it gives where it was put before."""
    found = kernel(*args, **named)
    if any(result.alias_info is not None for result in kernel._schema.returns):
        return  # it is there
    for own, new in zip(_pytree.tree_leaves(results), _pytree.tree_leaves(found), strict=True):
        if isinstance(own, Tensor):
            own.copy_(new)


def capture_on_tape(monkeypatch) -> list[Tape]:
    """Let jobs from now on capture what they do as on a CUDA device; gives all tapes that they make."""
    tapes: list[Tape] = []
    begin = Execution.__init__

    def begin_captured(self, *arguments, **more) -> None:
        begin(self, *arguments, **more)
        self.captures = self.options.capture == "auto"

    def new_graph(self) -> Tape:
        tapes.append(Tape(self.device, self.generators))
        return tapes[-1]

    monkeypatch.setattr(Execution, "__init__", begin_captured)
    monkeypatch.setattr(Execution, "new_graph", new_graph)
    for module in (criteria, update):
        monkeypatch.setattr(module, "at_hand", lambda _: False)
    return tapes
