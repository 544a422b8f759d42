"""What to do when a loss is no longer a number: keep good weights, and name the module where it began."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
            copies = {name: _copies(network) for name, network in self.networks.items()}
            self._candidate = (iteration, copies)

    def stored(self, iteration: int, weights: Any) -> None:
        """Weights that were copied to be stored; they count as good once the next loss is known."""
        self._candidate = (iteration, weights)

    def after(self) -> None:
        """The loss of the weights seen by `before` was finite."""
        if self._candidate:
            self.iteration, self.weights = self._candidate
            self._candidate = None

    def put_back(self) -> None:
        """Give the networks the good weights again."""
        self._candidate = None
        for name, network in self.networks.items():
            network.load_state_dict(self.weights[name], strict=False)  # shared weights have one name

    def state_dict(self) -> dict[str, Any]:
        """The good weights, and those of which it is not known yet."""
        return {"iteration": self.iteration, "weights": self.weights, "candidate": self._candidate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these weights."""
        self.iteration, self.weights = state["iteration"], state["weights"]
        self._candidate = state["candidate"]


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers by name, on the CPU."""
    return {name: value.to("cpu", copy=True) for name, value in named_weights(network).items()}


def _copies(network: nn.Module) -> dict[str, Tensor]:
    """The same where the network is, so that nobody waits for its device."""
    return {name: value.clone() for name, value in named_weights(network).items()}


def first_bad_module(networks: Mapping[str, nn.Module], updates: Iterable[Update]) -> str | None:
    """Where values stop being finite, in words such as "come from Decoder.hidden2".

    Results are looked at first, when the last losses are computed again. Where these are fine, or where the
    weights were spoilt by the gradients of the step before, it is a gradient that was not finite.
    """
    spoilt = _last_bad_gradient(networks)
    if spoilt:
        return f"are gradients of {spoilt}"
    result = _first_bad_result(networks, updates)
    return f"come from {result}" if result else None


def _children(networks: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    for network_name, network in networks.items():
        for name, module in network.named_children():
            yield f"{network_name}.{name}", module


def _last_bad_gradient(networks: Mapping[str, nn.Module]) -> str | None:
    """The last module with a gradient that is not finite: gradients flow backwards, so it began there."""
    bad = [
        place
        for place, module in _children(networks)
        if any(w.grad is not None and not bool(torch.isfinite(w.grad).all()) for w in module.parameters())
    ]
    return bad[-1] if bad else None


def _first_bad_result(networks: Mapping[str, nn.Module], updates: Iterable[Update]) -> str | None:
    found: list[str] = []

    def look(place: str, result: Any) -> None:
        if isinstance(result, Tensor) and not bool(torch.isfinite(result).all()):
            found.append(place)

    with _watching(networks, look), torch.no_grad():
        for update in updates:
            if not found and update.arguments:
                update.loss(*update.arguments)
    return found[0] if found else None


@contextmanager
def _watching(networks: Mapping[str, nn.Module], look: Callable[[str, Any], None]) -> Iterator[None]:
    """Show every module's result, with the module's place, while networks run."""

    def hook(place: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, result: look(place, result)

    handles = [module.register_forward_hook(hook(place)) for place, module in _children(networks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
