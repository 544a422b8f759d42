"""Recipes: all that a job was made from, so that it can be made again when files have changed since.

A recipe is written into every manifest and checkpoint of its job. It holds options as they were given, the
texts of networks and dataset descriptor, the code of the strategy and of a user's modules, seed, starting
weights and threads.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from dianne.binding import Given
from dianne.errors import UsageError
from dianne.jobs.learn import PreparedLearn, prepare
from dianne.jobs.prepare import Recorded, as_written, given_options, written
from dianne.network.network import Network
from dianne.workspace import Folder


def asked_of(job: PreparedLearn, seed: int) -> dict[str, Any]:
    """What a job was asked to do; the seed is where its random numbers come from.

    The options are those that a user gave; `recipe_of` says all in their place.
    """
    return {
        "id": job.identifier,
        "command": "learn",
        "networks": [member.name for member in job.team],
        "dataset": job.described.name,
        "strategy": job.strategy_name,
        "options": given_options(job.given),
        "seed": seed,
    }


def recipe_of(
    job: PreparedLearn,
    seed: int,
    starts: Mapping[str, str | None],
    best: Mapping[str, float],
    data: str,
    device: torch.device,
) -> dict[str, Any]:
    """The recipe of a job.

    Args:
        job: prepared.
        seed: where its random numbers come from.
        starts: by role, the manifest of the weights that a network starts from.
        best: the best evaluation that the tag had before.
        data: fingerprint of the data.
        device: where it computes.
    """
    return {
        **asked_of(job, seed),
        "options": as_written(job.bound),
        "given": [
            [key, written(value.value), value.origin, value.key_origin] for key, value in job.given.items()
        ],
        "texts": {
            name: text
            for network in job.networks.values()
            for name, text in {network.name: network.file.document.text, **network.texts()}.items()
        },
        "descriptor": job.described.document.text,
        "code": code_of(job.strategy, job.evaluation),
        "modules": module_code(job.networks.values()),
        "starts": dict(starts),
        "best": dict(best),
        "data": data,
        "threads": torch.get_num_threads(),
        "device": str(device),
        "versions": versions(),
    }


def prepared(folder: Folder, recipe: Mapping[str, Any], **changes: Any) -> PreparedLearn:
    """The job of a recipe; raises UsageError if something that it needs is gone.

    Args:
        folder: the workspace.
        recipe: as `recipe_of` made it.
        changes: options that count in place of those given.
    """
    given: dict[str, Any] = {
        key: Given(value, origin, key_origin) for key, value, origin, key_origin in recipe["given"]
    }
    recorded = Recorded(recipe["texts"], recipe["descriptor"])
    return prepare(folder, recipe["networks"], recipe["dataset"], {**given, **changes}, recorded)


def code_of(*classes: type | None) -> dict[str, str]:
    """The source files that make up some classes, by file name; the engine's own and torch's are left out."""
    return {place.rpartition("/")[2]: text for place, text in _sources(*classes)}


def module_code(networks: Iterable[Network]) -> dict[str, str]:
    """The source files of the modules in some networks, and of modules in these, as `layers/scale.py`."""
    graphs = [network.build_without_data() for network in networks]
    return dict(_sources(*(type(module) for graph in graphs for module in graph.modules())))


def _sources(*classes: type | None) -> Iterator[tuple[str, str]]:
    """The source files of classes and their bases: path, from the outermost package on, and text."""
    for kind in dict.fromkeys(base for one in classes if one for base in one.__mro__):
        name = kind.__module__
        theirs = name.partition(".")[0] in ("dianne", "torch", *sys.stdlib_module_names)
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and file.endswith(".py") and (not theirs or name.startswith("dianne.strategies.")):
            path = Path(file)
            depth = 1 + name.count(".") + (path.stem == "__init__")
            yield "/".join(path.parts[-depth:]), path.read_text(encoding="utf-8", errors="replace")


def versions() -> dict[str, str]:
    """Those of dianne, torch and Python."""
    return {
        "dianne": importlib.metadata.version("dianne"),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def check_data(recipe: Mapping[str, Any], now: str) -> None:
    """Raise UsageError if the data have another fingerprint than when the job began."""
    if recipe["data"] != now:
        raise UsageError(
            f"the data of {recipe['dataset']} changed since the job {recipe['id']} began: their fingerprint "
            f"was {recipe['data']}, and is {now}; bring the old files back, or start a new job"
        )


def other_versions(recipe: Mapping[str, Any]) -> list[str]:
    """What is of another version than when the job began, in words."""
    then, now = recipe["versions"], versions()
    return [f"{name} {then[name]} then, {now[name]} now" for name in then if then[name] != now.get(name)]


def other_code(recipe: Mapping[str, Any], job: PreparedLearn) -> list[str]:
    """The source files of strategy, evaluation and modules that are others than when the job began."""
    now = code_of(job.strategy, job.evaluation)
    changed = _changed(recipe["code"], now)
    if "modules" in recipe:  # jobs of an older dianne did not note them
        changed |= _changed(recipe["modules"], module_code(job.networks.values()))
    return sorted(changed)


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    return {name for name in {**then, **now} if then.get(name) != now.get(name)}
