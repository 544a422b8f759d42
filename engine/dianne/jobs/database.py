"""The database of a workspace's jobs, `.dianne/jobs.db`: what each was asked to do, and how it goes.

Any number of processes read and write it at the same time: the commands, the runtime, its workers. Readers
never wait. A database of an older version is brought up to date when it is first opened; so are the records
that jobs left in files before there was one.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from dianne.document import display
from dianne.errors import DianneError
from dianne.workspace import Folder

PATIENCE = 30.0  # seconds to wait for another writer
POINT = "job, iteration, seconds, kind, numbers"  # the columns of a point of progress

_VERSION_1 = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    asked TEXT NOT NULL,
    tag TEXT,
    foreground INTEGER NOT NULL,
    resources TEXT NOT NULL DEFAULT '{}',
    submitted REAL,
    started REAL,
    ended REAL,
    pid INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    stopping INTEGER NOT NULL DEFAULT 0,
    iteration INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    terms TEXT NOT NULL DEFAULT '{}',
    metrics TEXT NOT NULL DEFAULT '{}',
    result TEXT,
    error TEXT,
    signal TEXT
);
CREATE INDEX jobs_by_status ON jobs (status, number);
CREATE TABLE progress (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    iteration INTEGER NOT NULL,
    seconds REAL NOT NULL,
    kind TEXT NOT NULL,  -- terms or validation
    numbers TEXT NOT NULL
);
CREATE INDEX progress_by_job ON progress (job, number);
CREATE TABLE notifications (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    job TEXT,
    level TEXT NOT NULL,
    message TEXT NOT NULL
);
"""
_MIGRATIONS = (_VERSION_1,)  # what leads from each version to the next


class Database:
    """Opens the jobs of a workspace.

    Args:
        folder: the workspace.
    """

    def __init__(self, folder: Folder):
        self.folder = folder
        self.path = folder.state / "jobs.db"

    @property
    def exists(self) -> bool:
        """Whether there is anything to read: a database, or records of before there was one."""
        return self.path.exists() or (self.folder.state / "jobs").is_dir()

    def connect(self) -> sqlite3.Connection:
        """A connection, for one thread; close it. The database is made or brought up to date if need be.

        Raises:
            sqlite3.Error, OSError: it cannot be opened or written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            if _version(connection) != len(_MIGRATIONS):
                self._migrate(connection)
            connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last moments
        except BaseException:
            connection.close()
            raise
        return connection

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """The database as it is at one moment; raises DianneError if it cannot be read."""
        return self._session("DEFERRED")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction: all of it is written, or nothing; raises DianneError if it cannot be."""
        return self._session("IMMEDIATE")

    @contextmanager
    def _session(self, kind: str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self.connect()) as connection, transaction(connection, kind):
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise DianneError(f"{display(self.path)}: cannot be used: {reason(error)}") from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        _write_ahead(connection)
        with transaction(connection):
            version = _version(connection)  # another process may have been here first
            if version > len(_MIGRATIONS):
                raise DianneError(
                    f"{display(self.path)}: was written by a newer dianne (version {version}, this one reads "
                    f"up to {len(_MIGRATIONS)}); upgrade dianne"
                )
            for script in _MIGRATIONS[version:]:
                for statement in script.split(";\n"):
                    connection.execute(statement)
            if version == 0:
                _take_over(connection, self.folder.state / "jobs")
            connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at once; SQLite does not wait for others by itself here."""
    end = time.monotonic() + PATIENCE
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All that is executed inside is written, or nothing; other writers wait unless it is DEFERRED."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def reason(error: Exception) -> str:
    """Why a database or a file cannot be used, in the system's words."""
    return str(error.strerror if isinstance(error, OSError) else error)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


# ---------------------------------------------------------------------------- records of before there was one


def _take_over(connection: sqlite3.Connection, place: Path) -> None:
    """Take over what jobs wrote into `.dianne/jobs/<id>/`."""
    old = {path.parent for name in ("job.json", "progress.jsonl") for path in place.glob(f"*/{name}")}
    for path in sorted(old, key=lambda path: (path.stat().st_mtime, path.name)):
        asked, log = _object(_text(path / "job.json")), path / "progress.jsonl"
        entries = [entry for line in _text(log).splitlines() if "iteration" in (entry := _object(line))]
        identifier, began = path.name, path.stat().st_mtime
        _take_over_progress(connection, identifier, entries)
        last = next((entry for entry in reversed(entries) if "terms" in entry), {"iteration": 0, "terms": {}})
        connection.execute(
            "INSERT INTO jobs (id, kind, status, asked, tag, foreground, submitted, started, ended, "
            "iteration, total, terms) VALUES (?, ?, 'finished', ?, ?, 1, ?, ?, ?, ?, ?, ?)",
            (
                identifier, asked.get("command", "learn"), json.dumps(asked), asked.get("tag", identifier),
                began, began, log.stat().st_mtime if log.is_file() else began, last["iteration"],
                last["iteration"], json.dumps(last["terms"]),
            ),
        )  # fmt: skip


def _take_over_progress(
    connection: sqlite3.Connection, identifier: str, entries: Iterable[dict[str, Any]]
) -> None:
    for entry in entries:
        for kind in ("terms", "validation"):
            if isinstance(entry.get(kind), dict):
                seconds, numbers = entry.get("seconds", 0.0), json.dumps(entry[kind])
                connection.execute(
                    f"INSERT INTO progress ({POINT}) VALUES (?, ?, ?, ?, ?)",
                    (identifier, entry["iteration"], seconds, kind, numbers),
                )


def _text(path: Path) -> str:
    """What a file holds, as far as it can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _object(text: str) -> dict[str, Any]:
    """A line of JSON; what is spoilt counts for nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
