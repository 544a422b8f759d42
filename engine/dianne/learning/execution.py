"""How updates are computed: on which device, in which precision, compiled or not, with how many threads.

No strategy knows of it: networks are wrapped, and whatever they give is float32 on the job's device.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import field_validator
from torch import Tensor, nn

from dianne.errors import UsageError
from dianne.learning.compiling import Compiling
from dianne.learning.cuda_graph import CudaGraph
from dianne.learning.memory import kept_memory
from dianne.network.catalog.convolution import Kernels
from dianne.network.graph import Graph
from dianne.options import Options, Threads
from dianne.seeds import global_states, set_global_states

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ExecutionOptions(Options):
    """How a job computes."""

    device: str = "auto"
    """Where a job computes: cpu, cuda, cuda:1; auto takes CUDA where there is any."""
    precision: Literal["float32", "medium", "bf16", "fp16"] = "float32"
    """Of what networks compute; weights stay float32. medium: products of matrices alone may be bfloat16."""
    compile: Literal["never", "auto", "always"] = "never"
    """Compile the networks; auto does it in long jobs, and only if it is found to be faster."""
    capture: Literal["auto", "never"] = "auto"
    """Hand whole updates to a CUDA device in one call (CUDA graphs), where they always do the same."""
    threads: Threads | None = None
    """Threads on the CPU; as many as it has cores if left out."""

    @field_validator("device")
    @classmethod
    def _known(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"expected auto, cpu, cuda or cuda:N, found '{device}'")
        return device


def find_device(options: ExecutionOptions) -> torch.device:
    """The device of a job.

    Raises:
        UsageError: this machine does not have it, or it cannot do with that precision.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    name = options.device if options.device != "auto" else "cuda" if count else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        found = ", ".join(f"cuda:{number}" for number in range(count)) or "no CUDA device"
        raise UsageError(f"device={name}: torch finds {found} on this machine; leave device out, or give cpu")
    if device.type == "cpu" and options.precision == "fp16":
        raise UsageError("precision=fp16 is for CUDA devices; the CPU computes in bf16")
    return device


class Execution:
    """How the networks and updates of one job are computed.

    Args:
        options: device, precision, compile, threads.
        total: iterations of the job.
        note: tells the user something.

    Raises:
        UsageError: as `find_device`.
    """

    def __init__(
        self,
        options: ExecutionOptions | None = None,
        total: int = 1,
        note: Callable[[str], None] = lambda _: None,
    ):
        self.options = options or ExecutionOptions(device="cpu")
        self.device = find_device(self.options)
        self.lower = _AUTOCAST.get(self.options.precision)
        self.compiling = Compiling(self.options.compile, total, note)
        self.captures = self.device.type == "cuda" and self.options.capture == "auto"
        self.note = note
        self.evaluating = False
        self.generators: list[torch.Generator] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Threads, precision of products and freed memory, for as long as the job learns."""
        threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        if self.options.precision == "medium":
            torch.set_float32_matmul_precision("medium")
        try:
            with kept_memory():
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Networks compute in float32, and take and give tensors on the CPU, for as long as it is entered."""
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        self.evaluating = True
        try:
            yield
        finally:
            self.evaluating = False
            torch.set_float32_matmul_precision(precision)

    def generator(self, seed: int) -> torch.Generator:
        """A stream of random numbers on the device."""
        self.generators.append(torch.Generator(self.device).manual_seed(seed))
        return self.generators[-1]

    def remember(self) -> Callable[[], None]:
        """What puts all streams of random numbers back to where they stand now."""
        known, own = global_states(), [generator.get_state() for generator in self.generators]

        def put_back() -> None:
            set_global_states(known)
            for generator, state in zip(self.generators, own, strict=True):
                generator.set_state(state)

        return put_back

    def new_graph(self) -> CudaGraph:
        """What captures an update; it draws from all streams of random numbers that there are by now."""
        return CudaGraph(self.device, self.generators)

    def scaler(self) -> torch.amp.GradScaler | None:
        """What keeps the small gradients of fp16 from becoming zeros; none for other precisions."""
        return torch.amp.GradScaler(self.device.type) if self.lower is torch.float16 else None

    def place(self, network: nn.Module) -> None:
        """Move a network to the device, and let it compute as the options say."""
        if self.device.type != "cpu":
            move(network, self.device)
        else:
            run_cells_at_once(network)
            if not put_planes_last(network) and self.lower is None and self.compiling.mode == "never":
                return  # it runs as it is
        stateful = getattr(network, "stateful", False)
        network.forward = self._wrapped(network.forward, self.compiling.choice(network.forward, stateful))
        if stateful:
            network.unroll = self._wrapped(network.unroll, network.unroll)  # type: ignore[assignment,arg-type]

    def _wrapped(self, eager: Callable[..., Any], chosen: Callable[..., Any]) -> Callable[..., Any]:
        def run(*values: Any, **more: Any) -> Any:
            if self.evaluating:
                return moved(eager(*moved(values, self.device), **moved(more, self.device)), "cpu")
            if self.lower is None:
                return moved(chosen(*values, **more), self.device)
            with torch.autocast(self.device.type, self.lower):
                result = chosen(*values, **more)
            return moved(result, self.device, torch.float32)

        return run


def move(network: nn.Module, device: torch.device) -> None:
    """Move a network; what modules share (weights, statistics of BatchNormalization) stays shared."""
    owners: dict[int, list[tuple[dict[str, Any], str]]] = {}
    for module in network.modules():
        for values in (module._parameters, module._buffers):
            for key, value in values.items():
                owners.setdefault(id(value), []).append((values, key))
    network.to(device)
    for (first, key), *others in owners.values():
        for values, name in others:
            values[name] = first[key]


def run_cells_at_once(network: nn.Module) -> None:
    """Let a network's cells learn from whole sequences."""
    for module in network.modules():
        if isinstance(module, Graph) and module.is_cell:
            module.at_once = True


def put_planes_last(network: nn.Module) -> bool:
    """Let a network's convolutions learn with planes last in memory, as oneDNN likes them on a CPU.

    Not beside a user's modules: those may take views that need planes first. Tells whether it was done.
    """
    modules = list(network.modules())
    kernels = [module for module in modules if isinstance(module, Kernels)]
    ours = all(type(module).__module__.startswith(("dianne.network.", "torch.nn.")) for module in modules)
    if not (ours and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        return False
    for module in kernels:
        module.planes_last = True
    return bool(kernels)


def moved(value: Any, device: torch.device | str, dtype: torch.dtype | None = None) -> Any:
    """Tensors, alone or in tuples and dicts, on a device; those of floats in a type, if one is given.

    They are contiguous, so that everybody can take views of them.
    """
    if isinstance(value, Tensor):
        return value.to(device, dtype if value.is_floating_point() else None).contiguous()
    if isinstance(value, tuple):
        return tuple(moved(part, device, dtype) for part in value)
    if isinstance(value, dict):
        return {key: moved(part, device, dtype) for key, part in value.items()}
    return value
