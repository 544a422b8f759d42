"""The record of a job in the workspace's database, written while it runs; `curves` reads it."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from dianne.document import display
from dianne.errors import DianneError
from dianne.jobs import bell
from dianne.jobs.database import POINT, Database, reason, transaction
from dianne.jobs.ending import end, ending_of, notify
from dianne.jobs.entry import RUNNING
from dianne.learning.strategy import Terms
from dianne.workspace import Folder

MOST = 2000  # iterations that are written down of a job, evenly spread
PACE = 0.5  # seconds between writes
HURRY = 50  # milliseconds that a write waits for other writers; then it is tried again later


class Recorder:
    """Writes the record of a job while it runs. A record that cannot be written never stops the job.

    Use it in a `with`: it notes how the job ends. Whoever runs the job holds its lock meanwhile.

    Args:
        folder: the workspace.
        job: what it was asked to do; has an "id" and a "command". A job that was submitted keeps what it was
            asked then.
        total: how many iterations (or samples) it will do.
        note: told once if the record cannot be written.

    Attributes:
        stopping: whether somebody asked the job to stop.
    """

    def __init__(self, folder: Folder, job: Mapping[str, Any], total: int, note: Callable[[str], None]):
        self.folder = folder
        self.job = job
        self.total = total
        self.every = max(1, -(-total // MOST))
        self.note = note
        self.database = Database(folder)
        self.connection: sqlite3.Connection | None = None
        self.waiting: list[tuple[int, float, str, Terms | str]] = []
        self.latest: tuple[int, Terms] | None = None
        self.metrics: Mapping[str, float] = {}
        self.next_write = 0.0
        self.stopping = False
        self.ending: tuple[str, str, str | None] = ("finished", "finished", None)
        self.result: str | None = None

    @property
    def identifier(self) -> str:
        """Of the job."""
        return str(self.job["id"])

    # ------------------------------------------------------------------------------------------- the frame

    def __enter__(self) -> Recorder:
        try:
            self.connection = self.database.connect()
            with transaction(self.connection):
                self._begin(self.connection)
            self.connection.execute(f"PRAGMA busy_timeout = {HURRY}")
        except (OSError, sqlite3.Error, DianneError) as error:
            self._give_up(error)
        return self

    def _begin(self, connection: sqlite3.Connection) -> None:
        now, job = time.time(), self.identifier
        connection.execute(
            "INSERT INTO jobs (id, kind, status, asked, tag, foreground, submitted) "
            "VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT (id) DO NOTHING",
            (job, self.job["command"], RUNNING, json.dumps(self.job, default=str), self.job.get("tag"), now),
        )
        connection.execute(
            "UPDATE jobs SET status = ?, started = ?, ended = NULL, pid = ?, total = ?, "
            "attempts = attempts + foreground, stopping = stopping AND NOT foreground, error = NULL, "
            "signal = NULL WHERE id = ?",
            (RUNNING, now, os.getpid(), self.total, job),
        )
        notify(connection, job, "INFO", "started")

    def ended(self, result: Mapping[str, Any], stopped: str = "") -> None:
        """Say what the job found, and who stopped it, if somebody did."""
        if stopped:
            self.ending = ("stopped", f"stopped by {stopped}", None)
        self.result = json.dumps(result, default=str)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.ending, self.result = ending_of(error), None
        if self.connection is not None:
            self.connection.execute("PRAGMA busy_timeout = 30000")
            self._write(self._end)
        if self.connection is not None:
            self.connection.close()
        bell.ring(self.folder)

    def _end(self, connection: sqlite3.Connection) -> None:
        self._insert(connection)
        end(connection, self.identifier, *self.ending)
        connection.execute("UPDATE jobs SET result = ? WHERE id = ?", (self.result, self.identifier))

    # -------------------------------------------------------------------------------------------- progress

    def tick(self, iteration: int, seconds: float, terms: Terms) -> None:
        """Note an iteration, and what it gave if it is one of those that are written down."""
        if iteration % self.every == 0:
            self.waiting.append((iteration, seconds, "terms", terms))  # read later: a device would wait
        self.advance(iteration, seconds, terms)

    def advance(self, iteration: int, seconds: float, terms: Terms) -> None:
        """Note how far the job is."""
        self.latest = iteration, terms
        if seconds >= self.next_write:
            self.next_write = seconds + PACE
            self.flush()

    def validated(self, iteration: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Note an evaluation."""
        self.metrics = dict(metrics)
        self.waiting.append((iteration, seconds, "validation", json.dumps(self.metrics)))

    def flush(self) -> None:
        """Write what was noted, and see whether the job should stop."""
        self._write(self._insert)

    def _insert(self, connection: sqlite3.Connection) -> None:
        job = self.identifier
        connection.executemany(
            f"INSERT INTO progress ({POINT}) VALUES (?, ?, ?, ?, ?)",
            [
                (job, iteration, round(seconds, 3), kind, found if isinstance(found, str) else _text(found))
                for iteration, seconds, kind, found in self.waiting
            ],
        )
        if self.latest:
            iteration, terms = self.latest
            connection.execute(
                "UPDATE jobs SET iteration = ?, total = ?, terms = ?, metrics = ? WHERE id = ?",
                (iteration, self.total, _text(terms), json.dumps(self.metrics), job),
            )
        row = connection.execute("SELECT stopping FROM jobs WHERE id = ?", (job,)).fetchone()
        self.stopping = bool(row and row[0])

    def _write(self, what: Callable[[sqlite3.Connection], None]) -> None:
        if self.connection is None:
            return
        try:
            with transaction(self.connection):
                what(self.connection)
        except (OSError, sqlite3.Error) as error:
            if "locked" not in str(error):  # by another writer; the next time, then
                self._give_up(error)
        else:
            self.waiting.clear()

    def _give_up(self, error: Exception) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        text = reason(error) if isinstance(error, OSError | sqlite3.Error) else str(error)
        self.note(f"{display(self.database.path)}: the job's record cannot be written: {text}")


def _text(terms: Terms) -> str:
    """Terms with seven digits, as JSON; waits for the device."""
    return json.dumps({name: float(f"{float(term):.7g}") for name, term in terms.items()})
