"""What happens to networks once, before they learn: statistics of the data, and modules that stay fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from dianne.data.dataset import Dataset
from dianne.errors import UsageError, suggest

_CHUNK = 4096  # samples that are looked at together


def fit_statistics(networks: Mapping[str, nn.Module], dataset: Dataset) -> None:
    """Let modules that describe the data (Normalization) find their statistics, unless they have them."""
    for network in networks.values():
        for module in network.modules():
            if hasattr(module, "fit") and not bool(module.get_buffer("fitted")):
                module.fit(_values(dataset, module.fits))  # type: ignore[operator,arg-type]


def _values(dataset: Dataset, part: str) -> Iterator[Tensor]:
    for start in range(0, len(dataset), _CHUNK):
        yield getattr(dataset.batch(slice(start, start + _CHUNK)), part)


def freeze(networks: Mapping[tuple[str, ...], nn.Module], patterns: list[str]) -> None:
    """Keep modules as they are: their weights get no updates, and they run in evaluation mode.

    Args:
        networks: by the names that a pattern can begin with (the network's name and its role).
        patterns: globs over `network.module`, `network`, or `module` in any network.

    Raises:
        UsageError: a pattern matches nothing, or nothing is left that learns.
    """
    places: dict[str, list[Any]] = {}
    for names, network in networks.items():
        for name in names:
            places.setdefault(name, []).append(network)
        for path, module in network.named_modules():
            for place in (path, *(f"{name}.{path}" for name in names)) if path else ():
                places.setdefault(place, []).append(module)
    for pattern in patterns:
        matching = [
            module for place, found in places.items() if fnmatchcase(place, pattern) for module in found
        ]
        if not matching:
            raise UsageError(f"fixed={pattern}: there is no such module{suggest(pattern, places, 'modules')}")
        for module in matching:
            module.requires_grad_(False)
            module.eval()
    if patterns and not any(w.requires_grad for network in networks.values() for w in network.parameters()):
        raise UsageError(f"fixed={','.join(patterns)}: nothing is left that learns")
