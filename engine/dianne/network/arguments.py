"""A module's arguments: the constructor's signature is the schema."""

from __future__ import annotations

import functools
import inspect
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError, create_model
from torch import nn

from dianne.errors import suggest
from dianne.network.catalog import inferable
from dianne.network.expressions import ExpressionError, Scalar, substitute
from dianne.network.file import NetworkFile, Node
from dianne.options import Options, explain, keys


@functools.cache
def schema(module: type[nn.Module]) -> type[BaseModel]:
    """An options class with a field for each argument of a constructor; inferable ones may be None."""
    hints = get_type_hints(module.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(module).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        kind = hints.get(name, Any)
        fields[name] = (kind | None, None) if name in inferable(module) else (kind, default)
    return create_model(module.__name__, __base__=Options, **fields)


def bind_arguments(
    file: NetworkFile, node: Node, module: type[nn.Module], parameters: dict[str, Scalar]
) -> dict[str, Any] | None:
    """The arguments of one module, computed and checked; None if something is wrong with them.

    What is wrong is noted in the file's document.
    """
    document, before = file.document, len(file.document.problems)
    model = schema(module)  # type: ignore[arg-type]  # every class can be hashed, whatever mypy says
    known = keys(model)
    values: dict[str, Any] = {}
    for key, written in node.arguments.items():
        if key not in known:
            hint = suggest(key, [*known, "after"], "keys")
            message = f"{node.name} ({node.type}): unknown key '{key}'{hint}"
            document.report((*node.path, key), message, of_key=True)
            continue
        try:
            values[key] = substitute(written, parameters)
        except ExpressionError as error:
            document.report((*node.path, key), f"{node.name} ({node.type}): {key}: {error}")
    if len(document.problems) > before:
        return None
    try:
        bound = model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0])
            written = node.arguments.get(key)
            computed = f" (from {written})" if isinstance(written, str) and "$" in written else ""
            message = f"{node.name} ({node.type}): {key}: {explain(detail)}{computed}"
            document.report((*node.path, *(part for part in detail["loc"] if part in known)), message)
        return None
    return {name: getattr(bound, name) for name in type(bound).model_fields}
