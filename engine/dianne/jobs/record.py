"""The record of a learn job: what it was, and how its loss went."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.store import Store
from dianne.workspace import Folder


@dataclass(frozen=True)
class Curve:
    """Values by iteration, in the order in which they were noted."""

    iterations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """How a job went.

    Attributes:
        id: the job's identifier.
        job: its networks, dataset, strategy, options and seed; empty if nobody wrote them down.
        terms: of the loss, by name.
        validations: metrics on the validation set, by name.
    """

    id: str
    job: dict[str, Any]
    terms: dict[str, Curve]
    validations: dict[str, Curve]


def read_record(folder: Folder, job: str) -> Record:
    """The record of a job, as far as it was written; the last line may still be on its way.

    Args:
        folder: the workspace.
        job: an identifier, the beginning of only one, or `NETWORK:TAG` for the job that made these weights.

    Raises:
        UsageError: there is no such job, or no such tag.
        DianneError: the record cannot be read.
    """
    identifier = _find(folder, job)
    place = _jobs(folder) / identifier
    terms: dict[str, Curve] = {}
    validations: dict[str, Curve] = {}
    path = place / "progress.jsonl"
    *lines, last = _read(path).split("\n")
    for number, line in enumerate([*lines, last], start=1):
        try:
            entry = json.loads(line)
            iteration = int(entry["iteration"])
            for key, curves in (("terms", terms), ("validation", validations)):
                for name, value in entry.get(key, {}).items():
                    curve = curves.setdefault(name, Curve())
                    curve.values.append(float(value))
                    curve.iterations.append(iteration)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number <= len(lines):
                raise DianneError(f"{display(path)}:{number}: is no line of a record: '{line}'") from error
    return Record(identifier, _described(place / "job.json"), terms, validations)


def _find(folder: Folder, job: str) -> str:
    known = sorted(path.name for path in _jobs(folder).glob("*") if path.is_dir())
    network, colon, tag = job.partition(":")
    if colon:
        maker = str(Store(folder.models).manifest(network, tag).job.get("id", ""))
        if maker not in known:
            place = display(_jobs(folder))
            raise UsageError(f"the job '{maker}', which made {job}, left no record in {place}/")
        return maker
    found = [job] if job in known else [name for name in known if job and name.startswith(job)]
    if len(found) > 1:
        raise UsageError(f"several jobs begin with '{job}': {', '.join(found)}")
    if not found:
        hint = suggest(job, known, "jobs")
        raise UsageError(f"there is no record of a job '{job}' in {display(_jobs(folder))}/{hint}")
    return found[0]


def _jobs(folder: Folder) -> Path:
    return folder.state / "jobs"


def _described(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(_read(path))
    except ValueError as error:
        raise DianneError(f"{display(path)}: its content was changed") from error
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DianneError(f"{display(path)}: cannot be read: {error.strerror}") from error
