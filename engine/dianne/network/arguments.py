"""A module's arguments: the constructor's signature is the schema."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticSchemaGenerationError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from torch import nn

from dianne.errors import suggest
from dianne.network.catalog import MODULES, inferable
from dianne.network.expressions import ExpressionError, substitute
from dianne.network.file import NetworkFile, Node
from dianne.options import Options, explain, keys

if TYPE_CHECKING:
    from dianne.network.network import Network

_NOT_FOR_FILES = ("device", "dtype")  # a matter of the job


class _Plain(Options):
    """Keys as the constructor spells them, for classes that are not of the catalog."""

    model_config = ConfigDict(alias_generator=None, arbitrary_types_allowed=True)


@functools.cache
def schema(module: type[nn.Module]) -> type[BaseModel]:
    """An options class with a field for each argument of a constructor; inferable ones may be None."""
    ours = any(found is module for _, found in MODULES.items())
    constructor = _constructor(module)
    hints = _hints(constructor)
    fields: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in _NOT_FOR_FILES:
            continue
        if name == "mode" and issubclass(module, nn.RNNBase):
            continue  # LSTM, GRU or RNN, which the type says
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        kind = hints.get(name, Any)
        if name == "batch_first":
            default = True  # the first dimension is the batch, everywhere in a network
        fields[name] = (kind | None, None) if name in inferable(module) else (kind, default)
    return create_model(module.__name__, __base__=Options if ours else _Plain, **fields)


def _constructor(module: type[nn.Module]) -> Any:
    """The first constructor, from a class to its bases, that names its arguments (that of LSTM does not)."""
    for base in module.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        kinds = [p.kind for p in inspect.signature(constructor).parameters.values()]
        if not {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= set(kinds):
            return constructor
    return vars(object)["__init__"]


def _hints(constructor: Any) -> dict[str, Any]:
    """The kinds of a constructor's arguments, as far as pydantic can check them."""
    try:
        found = typing.get_type_hints(constructor, include_extras=True)
    except (NameError, TypeError):
        return {}
    kept = {}
    for name, kind in found.items():
        try:
            TypeAdapter(kind)
        except PydanticSchemaGenerationError:
            continue
        kept[name] = kind
    return kept


def bind_arguments(network: Network, node: Node, module: type[nn.Module]) -> dict[str, Any] | None:
    """The arguments of one module, computed and checked; None if something is wrong with them.

    What is wrong is noted in the network's document.
    """
    bound = _bind(network, node, schema(module))  # type: ignore[arg-type]  # a class can be hashed
    if bound is None:
        return None
    given = bound.model_fields_set | set(inferable(module)) | {"batch_first"}
    ours = isinstance(bound, Options) and not isinstance(bound, _Plain)
    # A class of torch gets what the file gives: some refuse arguments that they would not use.
    return {name: getattr(bound, name) for name in type(bound).model_fields if ours or name in given}


def bind_parameters(network: Network, node: Node, file: NetworkFile) -> dict[str, Any] | None:
    """The parameters of a network inside another; as `bind_arguments`."""
    bound = _bind(network, node, file.options())
    return None if bound is None else {name: getattr(bound, name) for name in type(bound).model_fields}


def _bind(network: Network, node: Node, model: type[BaseModel]) -> BaseModel | None:
    document, before = network.document, len(network.document.problems)
    known = keys(model)
    written = {**node.arguments, **_overridden(network.overrides, node, known)}
    values: dict[str, Any] = {}
    for key, text in written.items():
        if key not in known:
            hint = suggest(key, [*known, "after", "repeat", "share"], "keys")
            message = f"{node.origin} ({node.type}): unknown key '{key}'{hint}"
            document.report((*node.path, key), message, of_key=True)
            continue
        try:
            values[key] = substitute(text, network.parameters)
        except ExpressionError as error:
            document.report((*node.path, key), f"{node.origin} ({node.type}): {key}: {error}")
    unknown = len(document.problems) > before
    try:
        bound = model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors():
            key = str(detail["loc"][0])
            if unknown and detail["type"] == "missing":
                continue  # it is one of those that were said, misspelt
            text = written.get(key)
            computed = f" (from {text})" if isinstance(text, str) and "$" in text else ""
            message = f"{node.origin} ({node.type}): {key}: {explain(detail)}{computed}"
            items = [part for part in detail["loc"][1:] if isinstance(part, int)]
            if not items and isinstance(text, list):
                items = [index for index, item in enumerate(text) if isinstance(item, bool)][:1]
            document.report((*node.path, key, *items), message)
        return None
    return None if unknown else bound


def _overridden(overrides: Mapping[str, Any], node: Node, known: Mapping[str, Any]) -> dict[str, Any]:
    """What was set from outside: by the module's type, or, which counts more, by its name."""
    found: dict[str, Any] = {}
    for who in (node.type, node.origin, node.name):
        found |= {key: overrides[f"{who}.{key}"] for key in known if f"{who}.{key}" in overrides}
    return found
