"""What a CUDA device did once, and does again in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class CudaGraph:
    """A graph of one CUDA device.

    Args:
        device: it.
        generators: streams of random numbers that every replay draws anew from, and moves on.
    """

    def __init__(self, device: torch.device, generators: Iterable[torch.Generator]):
        self.device = device
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)

    def capture(self, function: Callable[[], Any]) -> Any:
        """Take down what `function` does, which changes no tensor yet; gives what it gives.

        Other threads may go on with what they do.

        Raises:
            RuntimeError: it does what a graph cannot, such as looking at the value of a tensor.
        """
        with torch.cuda.device(self.device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
                return function()

    def replay(self) -> None:
        """Do it again, or for the first time."""
        self.graph.replay()
