"""How a job ends, and what is told of it."""

from __future__ import annotations

import sqlite3
import time

from dianne.errors import DianneError


def end(
    session: sqlite3.Connection,
    identifier: str,
    status: str,
    message: str,
    error: str | None = None,
    by_signal: str | None = None,
) -> None:
    """Note that a job is over, and why."""
    session.execute(
        "UPDATE jobs SET status = ?, ended = ?, error = ?, signal = ? WHERE id = ?",
        (status, time.time(), error, by_signal, identifier),
    )
    notify(session, identifier, _LEVELS[status], message)


_LEVELS = {"finished": "SUCCESS", "failed": "DANGER", "stopped": "WARNING", "interrupted": "WARNING"}


def notify(session: sqlite3.Connection, job: str | None, level: str, message: str) -> None:
    """Note that something happened."""
    session.execute(
        "INSERT INTO notifications (time, job, level, message) VALUES (?, ?, ?, ?)",
        (time.time(), job, level, message),
    )


_GIVEN_UP = "given up: "


def give_up(session: sqlite3.Connection, identifier: str, sweep: str) -> None:
    """Note that a sweep ends a job, because others were better."""
    notify(session, identifier, "INFO", f"{_GIVEN_UP}other trials of the sweep {sweep} were better")


def not_to_resume(session: sqlite3.Connection) -> set[str]:
    """Jobs that nobody interrupted: they ended by themselves, wait, or were given up by a sweep."""
    rows = session.execute(
        "SELECT id FROM jobs WHERE status IN ('finished', 'failed', 'queued') AND signal IS NULL "
        "UNION SELECT job FROM notifications WHERE substr(message, 1, ?) = ?",
        (len(_GIVEN_UP), _GIVEN_UP),
    )
    return {str(row[0]) for row in rows}


def ending_of(error: BaseException) -> tuple[str, str, str | None]:
    """How a job ended that raised something: its status, a sentence, and the first real cause."""
    if isinstance(error, Exception):
        return ("failed", f"failed: {cause(error)}", cause(error))
    return ("stopped", "stopped at once", None)  # somebody was impatient


def cause(error: BaseException) -> str:
    """The first real cause of a fault: a DianneError says it; of others, what came before all else."""
    if isinstance(error, DianneError):
        return str(error)
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
