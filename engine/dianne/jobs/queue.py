"""The jobs of a workspace: submitted, listed, stopped, run again.

The commands, the Python interface and the servers are skins of this object. Only `submit` and `resubmit`
import torch: they check the whole job.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from dianne.document import display
from dianne.errors import UsageError, suggest
from dianne.jobs import bell
from dianne.jobs.database import Database
from dianne.jobs.ending import end, notify
from dianne.jobs.entry import COLUMNS, RUNNING, WAITING, Entry, Notification, Point, read
from dianne.jobs.lock import has_runtime, held
from dianne.workspace import Folder

RESOURCES = ("cpus", "gpus", "threads")
"""Options that say what a job takes of the machine, not what it does."""


class Queue:
    """The jobs of a workspace. Any number of processes and threads may use it at the same time.

    An identifier may be given by its beginning, wherever it is the beginning of only one, and a learn job as
    `NETWORK:TAG`, for the one that made these weights.

    Args:
        folder: the workspace.
    """

    def __init__(self, folder: Folder):
        self.folder = folder
        self.database = Database(folder)

    # ------------------------------------------------------------------------------------------- asking

    def submit(
        self, kind: str, networks: str | Iterable[str], dataset: str, options: Mapping[str, Any]
    ) -> str:
        """Check a job as if it began now, and queue it; the runtime runs it once there is room.

        A learn job without `seed` gets one here, so that it learns the same however often it is started.

        Args:
            kind: "learn" or "evaluate".
            networks: names, in the order of the strategy's roles.
            dataset: its name.
            options: by key; `cpus`, `gpus` and `threads` among them say what it takes of the machine.

        Returns:
            The job's identifier, known at once.

        Raises:
            DianneError: something that was asked for does not exist or fit; nothing was queued.
        """
        from dianne.jobs.submission import check

        asked, tag, resources = check(self.folder, kind, networks, dataset, options)
        identifier = str(asked["id"])
        with self.database.writing() as session:
            session.execute(
                "INSERT INTO jobs (id, kind, status, asked, tag, foreground, resources, submitted) "
                "VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
                (identifier, kind, WAITING, json.dumps(asked), tag, json.dumps(resources), time.time()),
            )
            notify(session, identifier, "INFO", "submitted")
        bell.ring(self.folder)
        return identifier

    def resubmit(self, job: str, options: Mapping[str, Any]) -> str:
        """Queue a job that was asked for before once more, as a new one; raises as `submit`.

        Args:
            job: a job, in the foreground or not.
            options: by key; they replace those of the job.
        """
        entry = self.get(job)
        before = {key: value for key, value in entry.resources.items() if key in RESOURCES}
        given = {**before, **entry.options, "strategy": entry.strategy, **options}
        return self.submit(entry.kind, entry.networks, entry.dataset, given)

    def resume(self, job: str) -> Entry:
        """Queue a submitted job again that failed or was stopped or interrupted; it goes on where it was.

        Raises:
            UsageError: it cannot be resumed: it runs, waits, has finished, or was run in the foreground.
        """
        entry = self.get(job)
        if entry.foreground:
            raise UsageError(f"the job {entry.id} was run in the foreground; resume it there")
        with self.database.writing() as session:
            changed = session.execute(
                "UPDATE jobs SET status = ?, stopping = 0, attempts = 0, ended = NULL, error = NULL, "
                "signal = NULL WHERE id = ? AND status IN ('failed', 'stopped', 'interrupted')",
                (WAITING, entry.id),
            ).rowcount
            if changed:
                notify(session, entry.id, "INFO", "queued again")
        if not changed:
            raise UsageError(f"the job {entry.id} is {entry.status}; there is nothing to resume")
        bell.ring(self.folder)
        return self.get(entry.id)

    def stop(self, job: str) -> Entry:
        """Cancel a job that waits, or ask one that runs to store its weights and end.

        One that runs ends after its iteration; asked once more, it ends at once.

        Returns:
            The job as it was before.

        Raises:
            UsageError: there is no such job, or it is over.
        """
        entry = self.get(job)
        if entry.foreground and entry.kind == "evaluate" and entry.status == RUNNING:
            raise UsageError(f"the evaluation {entry.id} is run in the foreground; stop it there")
        with self.database.writing() as session:
            cancelled = session.execute(
                "UPDATE jobs SET status = 'stopped', ended = ? WHERE id = ? AND status = ?",
                (time.time(), entry.id, WAITING),
            ).rowcount
            asked = session.execute(
                "UPDATE jobs SET stopping = 1 WHERE id = ? AND status = ?", (entry.id, RUNNING)
            ).rowcount
            if cancelled:
                notify(session, entry.id, "WARNING", "cancelled")
        if not cancelled and not asked:
            raise UsageError(f"the job {entry.id} is {self.get(entry.id).status}; there is nothing to stop")
        if asked and not entry.foreground and entry.pid and held(self.folder, entry.id):
            os.kill(entry.pid, signal.SIGTERM)
        return entry

    # ------------------------------------------------------------------------------------------- looking

    def jobs(self, *statuses: str, newest: int | None = None) -> list[Entry]:
        """Jobs in the order in which they came: all, or those of some statuses.

        Args:
            statuses: see `Entry`.
            newest: only so many, the last ones.
        """
        if not self.database.exists:
            return []
        which = f"WHERE status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        order = "DESC LIMIT ?" if newest is not None else ""
        limit = [newest] if newest is not None else []
        self.settle()
        with self.database.reading() as session:
            rows = session.execute(
                f"SELECT {COLUMNS} FROM jobs {which} ORDER BY number {order}", [*statuses, *limit]
            ).fetchall()
        return [read(row) for row in (reversed(rows) if newest is not None else rows)]

    def counts(self) -> dict[str, int]:
        """How many jobs there are of each status; of statuses without any there is no entry."""
        if not self.database.exists:
            return {}
        self.settle()
        with self.database.reading() as session:
            return dict(session.execute("SELECT status, COUNT(*) FROM jobs GROUP BY status").fetchall())

    def get(self, job: str) -> Entry:
        """A job.

        Raises:
            UsageError: there is none, or several begin like this.
        """
        if not self.database.exists:
            raise UsageError(f"there is no job '{job}'; nothing was learned or submitted here yet")
        self.settle()
        with self.database.reading() as session:
            identifier = find(session, self.folder, job)
            return read(session.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (identifier,)).fetchone())

    def knows(self, job: str) -> bool:
        """Whether `get` finds a job."""
        try:
            self.get(job)
        except UsageError:
            return False
        return True

    def result(self, job: str) -> dict[str, Any] | None:
        """What a job found, as its command prints with --json; None until it has ended well."""
        entry = self.get(job)
        with self.database.reading() as session:
            (text,) = session.execute("SELECT result FROM jobs WHERE id = ?", (entry.id,)).fetchone()
        return None if text is None else dict(json.loads(text))

    def progress(self, job: str, after: int = 0) -> list[Point]:
        """What was noted of a job while it runs or ran, oldest first.

        Args:
            job: a job.
            after: only points with a greater number, to ask for what is new.
        """
        entry = self.get(job)
        with self.database.reading() as session:
            rows = session.execute(
                "SELECT number, iteration, seconds, kind, numbers FROM progress "
                "WHERE job = ? AND number > ? ORDER BY number",
                (entry.id, after),
            ).fetchall()
        return [Point(**{**row, "numbers": json.loads(row["numbers"])}) for row in rows]

    def notifications(self, after: int = 0, newest: int = 20) -> list[Notification]:
        """What happened, oldest first: the newest so many of those with a number greater than `after`."""
        if not self.database.exists:
            return []
        with self.database.reading() as session:
            rows = session.execute(
                "SELECT number, time, job, level, message FROM notifications WHERE number > ? "
                "ORDER BY number DESC LIMIT ?",
                (after, newest),
            ).fetchall()
        return [Notification(**row) for row in reversed(rows)]

    def log(self, job: str) -> Path:
        """The file with all that a submitted job printed, from the first byte on.

        Raises:
            UsageError: there is no such job, or it has no log: it has not begun, or ran in the foreground.
        """
        entry = self.get(job)
        path = log_of(self.folder, entry.id)
        if not path.is_file():
            where = "it printed where it was run" if entry.foreground else "it has not begun"
            raise UsageError(f"the job {entry.id} has no log; {where}")
        return path

    def settle(self, workers: Container[str] | None = None) -> None:
        """Note which jobs are called running although their process is gone.

        A runtime sees how its workers end, so while there is one, others leave submitted jobs to it.

        Args:
            workers: from the runtime: the jobs whose workers it sees itself.
        """
        with self.database.reading() as session:
            running = session.execute(
                "SELECT id, attempts, foreground FROM jobs WHERE status = ?", (RUNNING,)
            ).fetchall()
        left = workers is None and has_runtime(self.folder)
        gone = [
            (job, attempts)
            for job, attempts, foreground in running
            if (foreground or not (left or job in (workers or ()))) and not held(self.folder, job)
        ]
        if not gone:
            return
        with self.database.writing() as session:
            for job, attempts in gone:  # unless it has ended since, or was started again
                if session.execute(
                    "SELECT 1 FROM jobs WHERE id = ? AND attempts = ? AND status = ?",
                    (job, attempts, RUNNING),
                ).fetchone():
                    end(session, job, "interrupted", "interrupted: its process is gone")


def log_of(folder: Folder, identifier: str) -> Path:
    """Where the log of a submitted job is."""
    return folder.state / "jobs" / identifier / "log"


def find(session: sqlite3.Connection, folder: Folder, job: str) -> str:
    """The identifier that `job` means: it, its beginning, or `NETWORK:TAG` for what made these weights.

    Raises:
        UsageError: it means nothing, or several.
    """
    if ":" in job:
        return _maker(session, folder, job)
    exact = session.execute("SELECT id FROM jobs WHERE id = ?", (job,)).fetchall()
    like = "SELECT id FROM jobs WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 20"
    found = exact or (session.execute(like, (len(job), job)).fetchall() if job else [])
    if len(found) > 1:
        raise UsageError(f"several jobs begin with '{job}': {', '.join(row[0] for row in found)}")
    if not found:
        known = [row[0] for row in session.execute("SELECT id FROM jobs ORDER BY number DESC LIMIT 1000")]
        raise UsageError(f"there is no job '{job}'{suggest(job, known, 'jobs')}")
    return str(found[0][0])


def _maker(session: sqlite3.Connection, folder: Folder, weights: str) -> str:
    from dianne.store import Store, addresses

    network, _, tag = weights.partition(":")
    if not Store(folder.models).has(network, addresses.entry(tag)[0]):  # nothing was stored yet
        for identifier, asked in session.execute(
            "SELECT id, asked FROM jobs WHERE tag = ? ORDER BY number DESC", (tag,)
        ):
            if network in json.loads(asked).get("networks", ()):
                return str(identifier)
    maker = str(Store(folder.models).manifest(network, tag).job.get("id", ""))
    if not session.execute("SELECT 1 FROM jobs WHERE id = ?", (maker,)).fetchone():
        raise UsageError(
            f"the job '{maker}', which made {weights}, left no record in {display(folder.state)}/"
        )
    return maker
