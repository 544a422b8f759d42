"""A job is checked when it is submitted as if it began now, and described so that it can begin later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dianne.binding import Consumer, bind
from dianne.errors import UsageError, suggest
from dianne.jobs import evaluate, learn
from dianne.jobs.entry import KINDS
from dianne.jobs.prepare import given_options, layered, plain, typed
from dianne.jobs.resources import Resources, filled, machine
from dianne.options import keys
from dianne.seeds import new_seed
from dianne.workspace import Folder


def check(
    folder: Folder, kind: str, networks: str | Iterable[str], dataset: str, options: Mapping[str, Any]
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """What a job is asked to do, its tag, and the resources that it takes; raises as `Queue.submit`."""
    if kind not in KINDS:
        raise UsageError(f"there is no kind of job '{kind}'{suggest(kind, KINDS, 'kinds')}")
    own = {key: options[key] for key in keys(Resources) if key in options}
    resources = _resources(own, learns=kind == "learn" and plain(options.get("device")) != "cpu")
    given = {key: value for key, value in options.items() if key not in own and value is not None}
    prepared: learn.PreparedLearn | evaluate.PreparedEvaluate
    if kind == "learn":
        prepared = learn.prepare(folder, networks, dataset, given)
        names = [member.name for member in prepared.team]
        tag = prepared.tag
        check_card(prepared.options.device, resources.gpus or 0)
        given.setdefault("seed", new_seed())
    else:
        prepared = evaluate.prepare(folder, networks, dataset, given)
        names, tag = prepared.names, prepared.options.tag
    asked = {
        "id": prepared.identifier,
        "command": kind,
        "networks": names,
        "dataset": dataset,
        "strategy": prepared.strategy_name,
        "options": given_options(given),
    }
    return asked, tag, resources.model_dump()


def check_card(device: str, gpus: int) -> None:
    """Raise UsageError if a job is to compute on a graphics card that it would not see."""
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= gpus:
        sees = f"cuda:0 to cuda:{gpus - 1}" if gpus > 1 else "cuda:0" if gpus else "no graphics card"
        raise UsageError(
            f"device={device}: with gpus={gpus} the job sees {sees}; give gpus={int(number or 0) + 1}, or "
            "leave device out"
        )


def _resources(given: Mapping[str, Any], learns: bool) -> Resources:
    """What a job takes; raises UsageError if the machine has less."""
    bound = bind("submit", [Consumer("resources", Resources)], layered(typed(given)))
    has = machine()
    found = filled(bound.of("resources", Resources), has, learns)
    for key, wanted, there in (("cpus", found.cpus or 0, has.cpus), ("gpus", found.gpus or 0, len(has.gpus))):
        if wanted > there:
            raise UsageError(f"{key}={wanted:g}: this machine has {there}; `dianne devices` lists them")
    return found
