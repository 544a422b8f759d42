"""Jobs as YAML files: what to learn, with which options, kept beside the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dianne import plugins
from dianne.binding import Given
from dianne.criteria import CRITERIA
from dianne.data.options import LearnDataOptions
from dianne.data.sampling import SAMPLING
from dianne.document import Document, load
from dianne.jobs.learn import LearnOptions
from dianne.learning.methods import METHODS
from dianne.network.reference import kind_of
from dianne.options import keys
from dianne.workspace import Folder

REQUIRED = ("networks", "dataset")


def read_job(path: Path) -> tuple[str, str, dict[str, Given]]:
    """Networks, dataset and options of a job file; keys of keys are joined (`Encoder: {learningRate: 1}`).

    Raises:
        ConfigError: it is no YAML, or says no networks or dataset.
    """
    document = load(path)
    problems_of_job(document)
    document.close()
    data = document.data
    networks = data["networks"]
    options = _flat(document, {key: value for key, value in data.items() if key not in REQUIRED}, ())
    return ",".join(networks) if isinstance(networks, list) else networks, data["dataset"], options


def problems_of_job(document: Document) -> None:
    """Note what a job file lacks."""
    for key in REQUIRED:
        value = document.data.get(key)
        fine = isinstance(value, str) or (
            key == "networks" and isinstance(value, list) and all(isinstance(name, str) for name in value)
        )
        if value is None:
            document.report((), f"has no '{key}'; a job file names 'networks' and a 'dataset'")
        elif not fine:
            document.report((key,), f"{key}: expected a name, found {value}")


def _flat(document: Document, options: dict[str, Any], path: tuple[str, ...]) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for key, value in options.items():
        place = (*path, key)
        if isinstance(value, dict):
            found |= _flat(document, value, place)
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            found[".".join(place)] = Given(text, document.where(place), document.where(place, of_key=True))
    return found


def job_schema(folder: Folder) -> dict[str, Any]:
    """A JSON Schema of job files, with which editors complete and check them."""
    found = plugins.strategies(folder)
    learning = [name for name, strategy in found.items() if strategy.kind == plugins.LEARNING]
    classes: list[Any] = [LearnOptions, LearnDataOptions]
    classes += [plugins.find(folder, name, plugins.LEARNING).Options for name in learning]  # type: ignore[attr-defined]
    classes += [part.Options for registry in (METHODS, CRITERIA, SAMPLING) for _, part in registry.items()]
    properties: dict[str, Any] = {}
    for options in classes:
        shown = options.model_json_schema(by_alias=True)["properties"]
        for key, info in keys(options).items():
            value = {k: v for k, v in shown[key].items() if k not in ("title", "default")}
            properties.setdefault(key, {**value, "description": info.description or kind_of(value)})
    names = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dianne job",
        "type": "object",
        "required": list(REQUIRED),
        "properties": {
            "networks": {"description": "names, in the order of the strategy's roles",
                         "anyOf": [{"type": "string"}, names]},
            "dataset": {"type": "string", "description": "name of a dataset"},
            "strategy": {"type": "string", "description": "how the networks learn", "examples": learning},
            **properties,
        },
        "additionalProperties": {
            "description": "a parameter of a network, or options aimed at a network or module",
            "type": ["number", "string", "boolean", "object"],
        },
    }  # fmt: skip
