"""Server-sent events: how jobs go on, and what happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from time import monotonic
from typing import Any

import anyio
from anyio import to_thread

from dianne.jobs.entry import RUNNING, Entry, Notification
from dianne.runtime.server.services import Services

_EVERY = 0.25  # seconds between looks at the database
_ALIVE = 15.0  # seconds of silence after which a comment keeps the connection open


class Events:
    """What one listener has not heard yet.

    Args:
        services: where jobs are.
        job: listen to this one only, and end with it.
        after: the number of the last notification that was heard; those from now on if left out.
    """

    def __init__(self, services: Services, job: str | None, after: int | None):
        self.services = services
        self.job = job
        newest = services.queue.notifications(newest=1) if after is None else []
        self.after = after if after is not None else newest[-1].number if newest else 0
        self._heard: dict[str, tuple[int, dict[str, float], dict[str, float]]] = {}
        self._over = False

    async def stream(self) -> AsyncIterator[str]:
        """Events as text, until the listener goes, the job is over or the server closes."""
        last = monotonic()
        yield ": listening\n\n"
        while not self._over and not self.services.closing.is_set():
            found = await to_thread.run_sync(self._new)
            for event in found:
                yield event
            if found:
                last = monotonic()
            elif monotonic() - last > _ALIVE:
                last = monotonic()
                yield ": alive\n\n"
            await anyio.sleep(_EVERY)

    def _new(self) -> list[str]:
        """What happened since the last look; of a job's progress only the newest."""
        queue = self.services.queue
        jobs = [queue.get(self.job)] if self.job else queue.jobs(RUNNING)
        self._over = bool(self.job) and jobs[0].over
        events = list(self._progress(jobs))
        for found in queue.notifications(self.after, newest=1000):
            self.after = found.number
            if self.job in (None, found.job):
                events.append(_event("notification", _told(found), found.number))
        return events

    def _progress(self, jobs: list[Entry]) -> Iterator[str]:
        for job in jobs:
            state = (job.iteration, job.terms, job.metrics)
            if job.iteration and self._heard.get(job.id) != state:
                self._heard[job.id] = state
                yield _event("progress", {
                    "jobId": job.id, "iteration": job.iteration, "total": job.total, "terms": job.terms,
                    "metrics": job.metrics,
                })  # fmt: skip


def _told(found: Notification) -> dict[str, Any]:
    return {"jobId": found.job, "level": found.level, "message": found.message, "time": found.time}


def _event(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    identifier = f"id: {number}\n" if number is not None else ""
    return f"event: {kind}\n{identifier}data: {json.dumps({'type': kind, **data})}\n\n"
