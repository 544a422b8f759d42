"""What to do when a loss is no longer a number: keep good weights, and name the module where it began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dianne.learning.update import Update
from dianne.store import named_weights

KEEP_INTERVAL = 100  # iterations; copying the weights that often costs under 1 % of a small job


class GoodWeights:
    """A copy of the last weights that are known to have given a finite loss.

    Args:
        networks: by name.
    """

    def __init__(self, networks: Mapping[str, nn.Module]):
        self.networks = networks
        self.iteration: int | None = None
        self.weights: dict[str, dict[str, Tensor]] = {}
        self._candidate: tuple[int, dict[str, dict[str, Tensor]]] | None = None

    def before(self, iteration: int) -> None:
        """Copy the weights from time to time; they count as good once their loss is known."""
        if iteration % KEEP_INTERVAL == 0 and not (self._candidate and self._candidate[0] == iteration):
            copies = {name: copy_weights(network) for name, network in self.networks.items()}
            self._candidate = (iteration, copies)

    def stored(self, iteration: int, weights: Any) -> None:
        """Weights that were copied to be stored; they count as good once the next loss is known."""
        self._candidate = (iteration, weights)

    def after(self) -> None:
        """The loss of the weights seen by `before` was finite."""
        if self._candidate:
            self.iteration, self.weights = self._candidate
            self._candidate = None


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers by name, on the CPU."""
    return {name: value.cpu().clone() for name, value in named_weights(network).items()}


def first_bad_module(networks: Mapping[str, nn.Module], updates: Iterable[Update]) -> str | None:
    """Where values stop being finite, as `Decoder.hidden2`, when the last losses are computed again."""
    found: list[str] = []
    hooks = []
    for network_name, network in networks.items():
        for name, module in network.named_children():

            def look(_: nn.Module, __: Any, result: Any, place: str = f"{network_name}.{name}") -> None:
                if isinstance(result, Tensor) and not bool(torch.isfinite(result).all()):
                    found.append(place)

            hooks.append(module.register_forward_hook(look))
    try:
        with torch.no_grad():
            for update in updates:
                if not found and update.arguments:
                    update.loss(*update.arguments)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
