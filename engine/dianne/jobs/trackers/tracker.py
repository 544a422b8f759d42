"""The contract between the process that follows a job and a tracker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from dianne.jobs.entry import Entry, Point
from dianne.workspace import Folder


class Tracker(ABC):
    """Delivers what is known of one job.

    A method may raise one of `faults`, and is called again later with the same; what it has delivered by then
    must not count twice. `state` is kept whenever a method has returned.

    Args:
        folder: the workspace.
        job: the job's identifier.
        state: what the tracker wants to know when it goes on, as JSON.
    """

    faults: ClassVar[tuple[type[Exception], ...]] = (OSError,)
    """What is raised while a tracker is down; all else is a fault of ours."""

    def __init__(self, folder: Folder, job: str, state: dict[str, Any]):
        self.folder = folder
        self.job = job
        self.state = state

    @abstractmethod
    def begin(self, job: Entry) -> None:
        """The job has begun, or goes on."""

    @abstractmethod
    def add(self, job: Entry, points: list[Point]) -> None:
        """Some points, in their order."""

    @abstractmethod
    def end(self, job: Entry) -> None:
        """The job is over, and all its points were delivered."""


def told(job: Entry) -> dict[str, str]:
    """What a job was asked to do, as texts by key."""
    about = {"networks": ",".join(job.networks), "dataset": job.dataset, "strategy": job.strategy}
    return {**about, **{key: str(value) for key, value in job.options.items()}}


def named(point: Point) -> dict[str, float]:
    """The numbers of a point, those of an evaluation as `validation/accuracy`."""
    before = "validation/" if point.kind == "validation" else ""
    return {before + name: value for name, value in point.numbers.items()}


def final(job: Entry) -> dict[str, float]:
    """What a job found in the end, as `final/loss`."""
    return {f"final/{name}": value for name, value in {**job.terms, **job.metrics}.items()}
