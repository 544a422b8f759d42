"""How a job went, read from its record for pictures.

After a retry or a resumption iterations are counted again: what was noted later counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dianne.jobs.queue import Queue
from dianne.workspace import Folder


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
        job: its networks, dataset, strategy, options and tag.
        terms: of the loss, by name.
        validations: metrics on the validation set, by name.
    """

    id: str
    job: dict[str, Any]
    terms: dict[str, Curve]
    validations: dict[str, Curve]


def read_record(folder: Folder, job: str) -> Record:
    """The record of a job, as far as it was written.

    Args:
        folder: the workspace.
        job: an identifier, the beginning of only one, or `NETWORK:TAG` for the job that made these weights.

    Raises:
        UsageError: there is no such job, or no such tag.
        DianneError: the record cannot be read.
    """
    queue = Queue(folder)
    entry = queue.get(job)
    terms: dict[str, Curve] = {}
    validations: dict[str, Curve] = {}
    for point in queue.progress(entry.id):
        curves = terms if point.kind == "terms" else validations
        for name, value in point.numbers.items():
            curves.setdefault(name, Curve()).add(point.iteration, value)
    asked = {
        "networks": entry.networks, "dataset": entry.dataset, "strategy": entry.strategy,
        "options": entry.options, "tag": entry.tag,
    }  # fmt: skip
    return Record(entry.id, asked, terms, validations)
