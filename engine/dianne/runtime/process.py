"""The runtime: one background process of a workspace that starts its jobs and sees how they end.

It keeps nothing to itself: what waits and what runs is in the database, and each worker holds the lock of its
job. So it may die at any moment. Its workers go on; the next runtime finds them, takes jobs up again whose
workers died, and goes on with the queue.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from dianne.errors import DianneError
from dianne.jobs import bell
from dianne.jobs.ending import end, notify
from dianne.jobs.entry import RUNNING, WAITING, Entry
from dianne.jobs.queue import Queue, log_of
from dianne.jobs.resources import VISIBLE, narrowed
from dianne.jobs.schedule import Need, Room, choose
from dianne.workspace import SAFE_PATH, Folder

MOST_ATTEMPTS = 3  # interruptions in a row may be the job's fault
GLANCE = 1.0  # seconds between looks at workers that are no children of this process
RETRY = 5.0  # seconds until the database is tried again


@dataclass
class Runtime:
    """Starts jobs while there is room.

    Args:
        folder: the workspace; this process has its lock.
        room: for the jobs of each kind.
        say: is told what happens.
    """

    folder: Folder
    room: Room
    say: Callable[[str], None]
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    asked_to_end: bool = False

    def run(self) -> None:
        """Work the queue until SIGTERM or SIGINT; workers that run then go on by themselves.

        Raises:
            OSError: the bell cannot be made.
        """
        self.queue = Queue(self.folder)
        ear = bell.listen(self.folder)
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes us up, no more
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        while not self.asked_to_end:
            patience = self._look_around()
            ready, _, _ = select.select([ear, woken], [], [], patience)
            for handle in ready:
                os.read(handle, 4096)

    def _end(self, *_: object) -> None:
        self.asked_to_end = True

    def _look_around(self) -> float | None:
        """Do all there is to do; returns after how many seconds to look again, None if nobody rings."""
        try:
            self._reap()
            self.queue.settle(self.workers)
            self._take_up()
            self._start()
            adopted = any(job.id not in self.workers for job in self._running())
        except DianneError as error:
            self.say(f"error: {error}")
            return RETRY
        return GLANCE if adopted else None

    def _running(self) -> list[Entry]:
        return [job for job in self.queue.jobs(RUNNING) if not job.foreground]

    # --------------------------------------------------------------------------------------------- starting

    def _start(self) -> None:
        """Start what waits, as far as there is room."""
        waiting: dict[str, Entry] = {}
        running: list[Entry] = []
        for job in self.queue.jobs(WAITING, RUNNING):  # at once: between two looks a job could begin unseen
            if job.foreground:
                continue
            if job.status == RUNNING or job.id in self.workers:  # its worker may not have come so far
                running.append(job)
            elif self.room.holds(_need(job)):
                waiting[job.id] = job
            else:
                self._fail(job, f"it takes more than this runtime may use ({self.room})")
        for need in choose(map(_need, waiting.values()), map(_need, running), self.room):
            self._spawn(waiting[need.job], need)

    def _spawn(self, job: Entry, need: Need) -> None:
        """Start the worker of a job, in a session of its own: signals to this process are not for it."""
        resources = {**job.resources, "cards": list(need.cards)}
        with self.queue.database.writing() as session:
            session.execute("UPDATE jobs SET resources = ? WHERE id = ?", (json.dumps(resources), job.id))
        log = log_of(self.folder, job.id)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as output:
                self.workers[job.id] = subprocess.Popen(
                    [sys.executable, "-X", "faulthandler", *SAFE_PATH, "-m", "dianne.jobs.worker", job.id],
                    cwd=self.folder.root, env=environment(resources), start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                )  # fmt: skip
        except OSError as error:
            self._fail(job, f"its worker cannot be started: {error.strerror}")
            return
        self.say(f"{job.id} started: {job.kind} {','.join(job.networks)} on {job.dataset}")

    # ----------------------------------------------------------------------------------------------- ending

    def _reap(self) -> None:
        """See which workers have ended, and why those did that could not say so."""
        for identifier, worker in list(self.workers.items()):
            code = worker.poll()
            if code is None:
                continue
            del self.workers[identifier]
            job = self.queue.get(identifier)
            if job.status == RUNNING or (job.status == WAITING and code):
                self._bury(job, code)
            self.say(f"{identifier} {self.queue.get(identifier).status}")

    def _bury(self, job: Entry, code: int) -> None:
        """Note why a worker ended without a word."""
        name = signal.Signals(-code).name if code < 0 else None
        if job.stopping:
            with self.queue.database.writing() as session:
                end(session, job.id, "stopped", "stopped at once")
        elif name:
            self._fail(job, f"killed by {name}{_MEANING.get(name, '')}", name)
        else:
            self._fail(job, f"its worker ended with code {code} and said no more")

    def _fail(self, job: Entry, why: str, by_signal: str | None = None) -> None:
        with self.queue.database.writing() as session:
            end(session, job.id, "failed", f"failed: {why}", why, by_signal)

    def _take_up(self) -> None:
        """Let jobs go on whose workers died while there was no runtime."""
        for job in self.queue.jobs("interrupted"):
            if job.foreground or job.id in self.workers:
                continue
            if job.attempts >= MOST_ATTEMPTS:
                self._fail(job, f"was interrupted {job.attempts} times, and nobody knows why")
                continue
            with self.queue.database.writing() as session:
                session.execute(
                    "UPDATE jobs SET status = ?, ended = NULL WHERE id = ? AND status = 'interrupted'",
                    (WAITING, job.id),
                )
                notify(session, job.id, "INFO", "queued again after an interruption")
            self.say(f"{job.id} was interrupted; it goes on")


_MEANING = {
    "SIGKILL": " (by somebody, or by the system for want of memory)",
    "SIGSEGV": " (a fault in compiled code)",
}


def _need(job: Entry) -> Need:
    has = job.resources
    return Need(job.id, job.kind, has.get("cpus", 1), has.get("gpus", 0), tuple(has.get("cards", ())))


def environment(resources: dict[str, object]) -> dict[str, str]:
    """The variables of a worker: how many threads compute, and which graphics cards it sees."""
    threads = str(resources["threads"])
    cards = resources["cards"]
    assert isinstance(cards, list)
    return {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        VISIBLE: narrowed(cards, os.environ.get(VISIBLE)),
        "PYTHONUNBUFFERED": "1",
    }
