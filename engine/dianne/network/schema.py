"""A JSON Schema of network files, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from dianne.network.arguments import schema
from dianne.network.catalog import MODULES
from dianne.network.file import NetworkFile
from dianne.network.library import Library
from dianne.network.reference import Entry, entries
from dianne.network.wiring import MAX_REPEAT

_NAME = "^[A-Za-z_][A-Za-z0-9_-]*$"
_COMPUTED = {"type": "string", "pattern": r"\$\{", "description": "computed from parameters: ${2 * hidden}"}


def network_schema(library: Library) -> dict[str, Any]:
    """The schema; types are those of the catalog, of torch, and the network files of a library."""
    catalog = entries()
    definitions = {found.name: _of_catalog(found) for found in catalog}
    meanings = {found.name: found.text.split("\n")[0] for found in catalog}
    for name in library.networks():
        file = library.file(name)
        if file is not None and name not in definitions:
            definitions[name] = _of_file(file)
            meanings[name] = file.description
    types = [{"const": name, "description": meanings[name]} for name in definitions]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dianne network",
        "type": "object",
        "additionalProperties": False,
        "required": ["modules"],
        "properties": {
            "name": {"type": "string", "description": "the file's own name"},
            "description": {"type": "string", "description": "one sentence for people"},
            "parameters": {
                "type": "object",
                "description": "names and defaults that a job can override; null for one that must be given",
                "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_]*$"},
                "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            },
            "modules": {
                "type": "object",
                "description": "modules by name; each follows the one above it, unless it says 'after'",
                "minProperties": 1,
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"$ref": "#/$defs/module"},
            },
        },
        "$defs": {
            "module": {
                "type": "object",
                "anyOf": [{"required": ["type"]}, {"required": ["share"]}],
                "properties": {**_WIRING, "type": {"anyOf": [{"oneOf": types}, *_FOREIGN]}},
                "allOf": [_when(name) for name in definitions],
            },
            **{f"type {name}": definition for name, definition in definitions.items()},
        },
    }


_WIRING: dict[str, Any] = {
    "type": {"type": "string"},
    "after": {
        "description": "the module or modules whose results this one takes; name.port for a part",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
    },
    "share": {"type": "string", "description": "use the weights of this other module"},
    "repeat": {
        "description": "so many of this module in a row, named name1, name2, ...",
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_REPEAT}, _COMPUTED],
    },
}
_FOREIGN = [
    _COMPUTED,
    {"type": "string", "pattern": r"^torch\.nn\.", "description": "a class of torch, by its dotted name"},
    {"type": "string", "pattern": ":", "description": "a class of your own: package.module:Class"},
]


def _when(name: str) -> dict[str, Any]:
    test = {"properties": {"type": {"const": name}}, "required": ["type"]}
    return {"if": test, "then": {"$ref": f"#/$defs/type {name}"}}


def _of_catalog(found: Entry) -> dict[str, Any]:
    shown = schema(MODULES.get(found.name)).model_json_schema(by_alias=True)  # type: ignore[arg-type]
    meanings = {argument.key: argument.meaning for argument in found.arguments}
    properties = {
        key: {"description": meanings.get(key, ""), "anyOf": [_plain(value), _COMPUTED]}
        for key, value in shown.get("properties", {}).items()
    }
    return _definition(found.text, properties, shown.get("required", []))


def _of_file(file: NetworkFile) -> dict[str, Any]:
    properties = {key: {"type": ["number", "string", "boolean"]} for key in file.parameters}
    required = [key for key, default in file.parameters.items() if default is None]
    return _definition(file.description, properties, required)


def _definition(text: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "description": text,
        "properties": {**_WIRING, **properties},
        "required": required,
        "additionalProperties": False,
    }


def _plain(shown: dict[str, Any]) -> dict[str, Any]:
    """A property without pydantic's titles; items of lists may be computed too."""
    kept = {key: value for key, value in shown.items() if key not in ("title", "default")}
    if "items" in kept:
        kept["items"] = {"anyOf": [_plain(kept["items"]), _COMPUTED]}
    if "anyOf" in kept:
        kept["anyOf"] = [_plain(option) for option in kept["anyOf"] if option.get("type") != "null"]
    return kept
