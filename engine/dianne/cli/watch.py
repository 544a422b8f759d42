"""A job as it runs: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import asdict

from rich.progress import TaskID

from dianne.cli.bar import job_bar
from dianne.cli.console import say, show_json, talk
from dianne.jobs.entry import WAITING, Entry
from dianne.jobs.queue import Queue
from dianne.runtime import control

_GLANCE = 0.2  # seconds between looks
_LINE = 5.0  # seconds between plain lines


def follow_points(queue: Queue, name: str) -> Entry:
    """Print what is noted of a job, one JSON object a line, until it is over; returns it as it is then."""
    number = 0
    while True:
        job = queue.get(name)  # before its points, so that none is noted behind the last look
        for point in queue.progress(job.id, after=number):
            number = point.number
            show_json(asdict(point))
        if job.over:
            return job
        time.sleep(_GLANCE)


def follow(queue: Queue, name: str) -> Entry:
    """Show how a job goes until it is over; returns it as it is then."""
    job = queue.get(name)
    say(f"{job.kind} {', '.join(job.networks)} on {job.dataset} with {job.strategy}, tag {job.tag}")
    if job.status == WAITING and control.status(queue.folder) is None:
        say("no runtime works the queue; start one with: dianne serve")
    shown = _Bar() if talk.is_terminal else _Lines()
    try:
        while not job.over:
            shown.show(job)
            time.sleep(_GLANCE)
            job = queue.get(job.id)
    finally:
        shown.close()
    if job.total:
        say(_text(job))
    return job


def _text(job: Entry) -> str:
    parts = [f"{name} {value:#.4g}" for name, value in {**job.terms, **job.metrics}.items()]
    return "  ".join([f"{job.iteration:,}/{job.total:,}", *parts])


class _Bar:
    def __init__(self) -> None:
        self.bar = job_bar()
        self.task: TaskID | None = None
        self.waits = talk.status("waiting for its turn")
        self.waits.start()

    def show(self, job: Entry) -> None:
        """Move the bar; it comes up once the job runs."""
        if not job.total:
            return
        if self.task is None:
            self.waits.stop()
            self.task = self.bar.add_task("", total=job.total)
            self.bar.start()
        numbers = {**job.terms, **job.metrics}
        text = "  ".join(f"{name} {value:#.4g}" for name, value in numbers.items())
        self.bar.update(self.task, completed=job.iteration, total=job.total, description=text)

    def close(self) -> None:
        """Put everything away."""
        self.waits.stop()
        self.bar.stop()


class _Lines:
    def __init__(self) -> None:
        self.next = 0.0
        self.status = ""

    def show(self, job: Entry) -> None:
        """A line when its status changes, and every few seconds."""
        if job.status != self.status:
            self.status = job.status
            say(job.status)
        if job.iteration and time.monotonic() >= self.next:
            self.next = time.monotonic() + _LINE
            say(_text(job))

    def close(self) -> None:
        """Nothing is left open."""
