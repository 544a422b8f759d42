"""Where module types register, and what the engine asks of one."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

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
    """Whether a type takes the results of several modules; one that is not of the catalog may."""
    if any(found is module for _, found in MODULES.items()):
        return bool(getattr(module, "joins", False))
    parameters = list(inspect.signature(module.forward).parameters.values())
    return len(parameters) > 2 or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def port_names(module: nn.Module, result: Any) -> list[str]:
    """The names under which parts of a module's result can be taken: `name.port` in a file."""
    numbers = [str(index) for index in range(len(result))] if isinstance(result, tuple) else []
    return [*getattr(module, "ports", ()), *numbers]


def pick(module: nn.Module, result: Any, port: str) -> Tensor:
    """One part of a module's result; without a port the whole, or the first of several."""
    if not port:
        return result[0] if isinstance(result, tuple) else result  # type: ignore[no-any-return]
    if hasattr(module, "port"):
        return module.port(result, port)  # type: ignore[no-any-return,operator]
    names = list(getattr(module, "ports", ()))
    return result[names.index(port) if port in names else int(port)]  # type: ignore[no-any-return]
