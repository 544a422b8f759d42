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
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self.graph.register_generator_state(generator)

    def warm_up(self, function: Callable[[], Any]) -> Any:
        """Do it on the stream of the capture, where gradients and libraries are at home then."""
        torch.cuda.synchronize(self.stream.device)
        with torch.cuda.stream(self.stream):
            result = function()
        torch.cuda.synchronize(self.stream.device)
        return result

    def capture(self, function: Callable[[], Any]) -> Any:
        """Take down what `function` does, which changes no tensor yet; gives what it gives.

        Other threads may go on with what they do.

        Raises:
            RuntimeError: it does what a graph cannot, such as looking at the value of a tensor.
        """
        capturing = torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local")
        with torch.cuda.device(self.stream.device), capturing:
            return function()

    def replay(self) -> None:
        """Do it again, or for the first time."""
        self.graph.replay()
