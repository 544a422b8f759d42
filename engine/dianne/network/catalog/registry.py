"""Where module types register, and what the engine asks of one."""

from __future__ import annotations

from typing import Any

from torch import nn

from dianne.registry import Registry

MODULES: Registry[type[nn.Module]] = Registry("module type")


def infer(module: type[nn.Module], *shapes: tuple[int, ...]) -> dict[str, Any]:
    """The arguments of a type that follow from the shapes of what comes in.

    Raises:
        ValueError: the type does not take these shapes.
    """
    method = getattr(module, "infer", None)
    return dict(method(*shapes)) if method else {}


def inferable(module: type[nn.Module]) -> frozenset[str]:
    """The names of arguments that may be left out because `infer` gives them."""
    return frozenset(getattr(module, "inferred", ()))


def joins(module: type[nn.Module]) -> bool:
    """Whether a type takes the results of several modules."""
    return bool(getattr(module, "joins", False))
