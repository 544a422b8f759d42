"""torch's own classes by dotted name, with options that follow from their constructors."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model

from dianne.errors import UsageError, suggest
from dianne.options import FiniteFloat, Options

Numbers = Annotated[
    list[float],
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]}),
    BeforeValidator(lambda v: v.split(",") if isinstance(v, str) else v),
]


def torch_class(name: str, home: str, base: type) -> type[Any]:
    """The class that a dotted name means.

    Args:
        name: such as `torch.optim.RAdam`.
        home: the package in which such classes are, `torch.optim`.
        base: what the class must derive from.

    Raises:
        UsageError: the name leads outside of `home`, or to no such class.
    """
    package, _, last = name.rpartition(".")
    if package != home:
        raise UsageError(f"'{name}' is nothing of {home}; write {home}.Name")
    members = vars(importlib.import_module(home))
    classes = {
        key: value
        for key, value in members.items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    }
    if last not in classes:
        raise UsageError(f"{home} has no '{last}'{suggest(last, classes, 'classes')}")
    return classes[last]


def options_of(kind: type, base: type[Options], leave_out: Iterable[str]) -> type[Options]:
    """An options class with a field for each number, flag or text among a constructor's defaults.

    Args:
        kind: whose constructor is read.
        base: options that every such class has.
        leave_out: arguments that are not the user's to set.
    """
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        default: Any = parameter.default
        annotation: Any = type(default)
        limits: dict[str, Any] = {}
        if name in leave_out:
            continue
        if isinstance(default, tuple) and all(isinstance(item, int | float) for item in default):
            annotation, default = Numbers, list(default)
            limits = {"min_length": len(default), "max_length": len(default)}
        elif not isinstance(default, bool | int | float | str):
            continue
        elif type(default) is float or (type(default) is int and parameter.annotation not in (int, "int")):
            annotation, default = FiniteFloat, float(default)
        described = f"The argument {name} of {kind.__name__}."
        fields[name] = (annotation, Field(default, description=described, **limits))
    return create_model(kind.__name__, __base__=base, **fields)


def arguments_of(kind: type, options: Options) -> dict[str, Any]:
    """The arguments of a constructor that an object of its `options_of` holds."""
    known = inspect.signature(kind).parameters
    held = {name: getattr(options, name) for name in type(options).model_fields if name in known}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in held.items()}
