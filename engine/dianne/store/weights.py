"""Weights between networks and the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dianne.store.errors import MisfitError

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network: all of them, or none.

    Args:
        module: the network.
        weights: by name.
        source: how messages name the weights, such as "Encoder:vae".

    Raises:
        MisfitError: names or shapes differ; lists every difference.
    """
    differences = list(_differences(module, weights))
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise MisfitError(f"{source} does not fit the network; nothing was loaded\n{lines}")
    module.load_state_dict(dict(weights), strict=False)  # shared weights have one name of several


def named_weights(module: nn.Module) -> dict[str, Tensor]:
    """All weights and buffers by name; those that modules share once, under the first of their names."""
    seen: set[int] = set()
    found = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            found[name] = value.detach()
    return found


def encode_weights(weights: Mapping[str, Tensor]) -> bytes:
    """The content of a file of weights (safetensors)."""
    import safetensors.torch
    import torch

    return safetensors.torch.save({
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in weights.items()
    })  # fmt: skip


def decode_weights(content: bytes) -> dict[str, Tensor]:
    """The weights in the content of a file, by name."""
    import safetensors.torch  # here, so that listing tags does not import torch

    return safetensors.torch.load(content)


def add(weights: Mapping[str, Tensor], deltas: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Weights with deltas added to them, in their own precision; a delta without a weight becomes one.

    Raises:
        MisfitError: shapes differ; lists every difference.
    """
    misfits = [
        f"  {name}: stored {tuple(weights[name].shape)}, the delta has {tuple(delta.shape)}"
        for name, delta in deltas.items()
        if name in weights and weights[name].shape != delta.shape
    ]
    if misfits:
        lines = "\n".join(misfits)
        raise MisfitError(f"the deltas do not fit {source}; nothing was added\n{lines}")
    sums = {n: (weights[n] + delta).to(weights[n].dtype) for n, delta in deltas.items() if n in weights}
    return {**weights, **deltas, **sums}


def _differences(module: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[str]:
    wanted = named_weights(module)
    for name, tensor in wanted.items():
        if name not in weights:
            yield f"{name}: missing from the tag"
        elif weights[name].shape != tensor.shape:
            yield f"{name}: stored {tuple(weights[name].shape)}, the network has {tuple(tensor.shape)}"
        elif weights[name].is_floating_point() != tensor.is_floating_point():
            stored, own = (str(one.dtype).removeprefix("torch.") for one in (weights[name], tensor))
            yield f"{name}: stored {stored}, the network has {own}"
    for name in weights:
        if name not in wanted:
            yield f"{name}: stored, but the network has no such weight"
