"""The process that follows a job for its trackers: `python -m dianne.jobs.tracking ID TRACKER...`.

It reads the database by the numbers of the rows, and keeps in `.dianne/track/<job>/` up to which each tracker
has them; so nothing is missed or doubled, however often it or a tracker is gone. It ends once the job is over
and all is delivered.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from dianne.errors import DianneError, UsageError
from dianne.jobs.ending import notify
from dianne.jobs.queue import Queue
from dianne.jobs.track import TRACKERS
from dianne.jobs.trackers.tracker import Tracker
from dianne.workspace import Folder, alone_in

GLANCE = 0.5  # seconds between looks at the job
FIRST, LONGEST = 0.5, 60.0  # seconds until a tracker that is down is tried again; twice as long each time
PATIENCE = 7 * 86400.0  # seconds after the end of a job for which a tracker may be down
MOST = 500  # points that are handed over at once

say = partial(print, flush=True)


class Follower:
    """Follows a job for one tracker.

    Args:
        queue: of the workspace.
        job: the job's identifier.
        name: of the tracker.
    """

    def __init__(self, queue: Queue, job: str, name: str):
        self.queue, self.job, self.name = queue, job, name
        self.path = queue.folder.state / "track" / job / f"{name}.json"
        self.kept: dict[str, Any] = {"position": 0, "done": False, "state": {}}
        if self.path.exists():
            self.kept = json.loads(self.path.read_text())
        module, kind = TRACKERS[name]
        made: type[Tracker] = getattr(import_module(module), kind)
        self.tracker = made(queue.folder, job, self.kept["state"])
        self.faults: tuple[type[Exception], ...] = (DianneError, *made.faults)
        self.begun = self.down = False

    def run(self) -> None:
        """Deliver until the job is over."""
        pause = FIRST
        while True:
            try:
                over = self.deliver()
            except UsageError as error:  # there is no such job
                say(f"{self.name}: {error}")
                return
            except self.faults as error:
                if self._give_up(error):
                    return
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)
            else:
                self._up()
                if over:
                    return
                pause = FIRST
                time.sleep(GLANCE)

    def deliver(self) -> bool:
        """Hand on what is new; whether that is all there will be.

        Raises:
            DianneError: the database cannot be read.
            Exception: one of the tracker's faults.
        """
        job = self.queue.get(self.job)  # before its points: if it is over, they are all there
        points = self.queue.progress(self.job, self.kept["position"])
        if self.kept["done"] and job.over and not points:
            return True
        if not self.begun:
            self.tracker.begin(job)
            self.begun = True
        for first in range(0, len(points), MOST):
            some = points[first : first + MOST]
            self.tracker.add(job, some)
            self._keep(position=some[-1].number, done=False)
        if job.over:
            self.tracker.end(job)
            self._keep(done=True)
        return job.over

    def _keep(self, **changed: Any) -> None:
        self.kept.update(changed)
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.kept))
        beside.replace(self.path)

    def _give_up(self, error: Exception) -> bool:
        """Note that the tracker is down, once; whether it has been so for too long."""
        first = (str(error).splitlines() or [type(error).__name__])[0]
        if not self.down:
            self.down = True
            self._tell("WARNING", f"{self.name} cannot be reached, and is tried again: {first}")
        try:
            ended = self.queue.get(self.job).ended
        except DianneError:  # the database cannot be read, and this is no time to judge
            return False
        if ended is None or time.time() - ended < PATIENCE:
            return False
        self._tell("WARNING", f"{self.name} was not reached: {first}; `dianne track {self.job}` tries again")
        return True

    def _up(self) -> None:
        if self.down:
            self.down = False
            self._tell("INFO", f"{self.name} is back, and has everything so far")

    def _tell(self, level: str, message: str) -> None:
        say(message)
        with suppress(DianneError), self.queue.database.writing() as session:
            notify(session, self.job, level, message)


def main(job: str, names: list[str]) -> None:
    """Follow a job until all trackers have everything; waits while another process does."""
    folder = Folder(Path())
    with alone_in(folder.state / "track" / job):
        threads = [threading.Thread(target=Follower(Queue(folder), job, name).run) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
