"""A job as the database knows it: what it was asked to do, and how it goes."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

KINDS = ("learn", "evaluate")
WAITING, RUNNING = "queued", "running"
ENDED = ("finished", "failed", "stopped", "interrupted")
"""`stopped`: by somebody, its weights stored; `interrupted`: its process is gone, and nobody knows why."""


@dataclass(frozen=True)
class Entry:
    """A job. Times are seconds since 1970 (UTC), None until then.

    Attributes:
        id: its identifier.
        kind: "learn" or "evaluate".
        status: "queued", "running", "finished", "failed", "stopped" or "interrupted".
        networks: names, in the order of the roles.
        dataset: its name.
        strategy: the name of its class, or `module:Class` where it was asked for like that.
        options: as they were given, by key; and the seed, where it was drawn.
        tag: where its weights go, or which weights are judged.
        foreground: whether a person or a program runs it itself, not the runtime.
        resources: what it takes: "cpus", "gpus", "threads".
        submitted, started, ended: when.
        pid: of the process that runs it, or ran it last.
        attempts: how often it was started.
        stopping: whether somebody asked it to stop.
        iteration, total: done, and to do: iterations, or samples of an evaluation.
        terms: of the last loss that was noted.
        metrics: of the last evaluation, by name.
        error: why it failed, else None.
        signal: what killed it, such as "SIGKILL", else None.
    """

    id: str
    kind: str
    status: str
    networks: list[str]
    dataset: str
    strategy: str
    options: dict[str, Any]
    tag: str | None
    foreground: bool
    resources: dict[str, Any]
    submitted: float | None
    started: float | None
    ended: float | None
    pid: int | None
    attempts: int
    stopping: bool
    iteration: int
    total: int
    terms: dict[str, float]
    metrics: dict[str, float]
    error: str | None
    signal: str | None

    @property
    def over(self) -> bool:
        """Whether it neither waits nor runs."""
        return self.status in ENDED


@dataclass(frozen=True)
class Point:
    """Something noted of a job while it ran.

    Attributes:
        number: grows with every point; see `Queue.progress`.
        iteration: after which it was noted. It may fall: the job went back, and later points count.
        seconds: since the job began.
        kind: "terms" (of the loss) or "validation".
        numbers: by name.
    """

    number: int
    iteration: int
    seconds: float
    kind: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Notification:
    """Something that happened.

    Attributes:
        number: grows with every notification.
        time: seconds since 1970 (UTC).
        job: an identifier, or None.
        level: "INFO", "WARNING", "DANGER" or "SUCCESS".
        message: a sentence.
    """

    number: int
    time: float
    job: str | None
    level: str
    message: str


COLUMNS = (
    "id, kind, status, asked, tag, foreground, resources, submitted, started, ended, pid, attempts, "
    "stopping, iteration, total, terms, metrics, error, signal"
)
"""What `read` needs of a row; the result, which may be large, is read on its own."""


def read(row: sqlite3.Row) -> Entry:
    """The entry of a row with `COLUMNS`."""
    values: dict[str, Any] = dict(row)
    asked = json.loads(values.pop("asked"))
    seed = {"seed": asked["seed"]} if asked.get("seed") is not None else {}  # drawn
    for key in ("resources", "terms", "metrics"):
        values[key] = json.loads(values[key])
    for key in ("foreground", "stopping"):
        values[key] = bool(values[key])
    return Entry(
        networks=list(asked.get("networks") or []),
        dataset=str(asked.get("dataset") or ""),
        strategy=str(asked.get("strategy") or ""),
        options={**(asked.get("options") or {}), **seed},
        **values,
    )
