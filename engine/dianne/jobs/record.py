"""The record of a job: what it was asked to do, and how it went, beside the workspace's other state.

`.dianne/jobs/<id>/job.json` holds networks, dataset, strategy, options and seed;
`.dianne/jobs/<id>/progress.jsonl` a line for each iteration that is written down, and for each evaluation.
After a retry iterations are counted again: the later lines count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.learning.strategy import Terms
from dianne.store import Store
from dianne.workspace import Folder

MOST = 2000  # iterations that are written down of a job, evenly spread


def _jobs(folder: Folder) -> Path:
    return folder.state / "jobs"


class Recorder:
    """Writes the record of a job while it runs. A record that cannot be written never stops the job.

    Args:
        folder: the workspace.
        job: what it was asked to do; has an "id".
        iterations: how many it will do.
        note: told once if the record cannot be written.
    """

    def __init__(self, folder: Folder, job: Mapping[str, Any], iterations: int, note: Callable[[str], None]):
        self.path = _jobs(folder) / job["id"]
        self.every = -(-iterations // MOST)
        self.note = note
        self.broken = False
        self.waiting: list[str] = []
        self._write("job.json", "w", json.dumps(job, indent=1, default=str) + "\n")
        written = _read(self.path / "progress.jsonl")
        if torn := written.rpartition("\n")[2]:  # the job was killed while it wrote a line
            self._write("progress.jsonl", "w", written[: -len(torn)])

    def tick(self, iteration: int, seconds: float, terms: Terms) -> None:
        """Note an iteration, if it is one of those that are written down."""
        if iteration % self.every == 0:
            numbers = {name: float(f"{float(term):.7g}") for name, term in terms.items()}
            self._add({"iteration": iteration, "seconds": round(seconds, 3), "terms": numbers})

    def validated(self, iteration: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Note an evaluation."""
        self._add({"iteration": iteration, "seconds": round(seconds, 3), "validation": dict(metrics)})

    def _add(self, entry: Mapping[str, Any]) -> None:
        self.waiting.append(json.dumps(entry))
        if len(self.waiting) >= 50:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        if self.waiting:
            self._write("progress.jsonl", "a", "\n".join(self.waiting) + "\n")
            self.waiting.clear()

    def _write(self, name: str, mode: str, text: str) -> None:
        if self.broken:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / name).open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.broken = True
            self.note(f"{display(self.path)}: the job's record cannot be written: {error.strerror}")


@dataclass(frozen=True)
class Curve:
    """Values by iteration, in the order in which they were noted."""

    iterations: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, iteration: int, value: float) -> None:
        """Add a value; those of later iterations were of a try that was given up."""
        while self.iterations and self.iterations[-1] >= iteration:
            self.iterations.pop()
            self.values.pop()
        self.iterations.append(iteration)
        self.values.append(value)


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
                    curve.add(iteration, float(value))
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
