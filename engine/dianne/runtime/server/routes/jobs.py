"""Jobs: submit, look, stop, run again, listen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from dianne.jobs.entry import Entry, Notification, Point
from dianne.runtime.server.events import Events
from dianne.runtime.server.forms import Changes, PathName, Submission, Submitted
from dianne.runtime.server.replies import looked_up
from dianne.runtime.server.services import Services

Status = Literal["queued", "running", "finished", "failed", "stopped", "interrupted"]
_Number = Annotated[int, Query(ge=0, lt=2**63)]


def routes(services: Services) -> APIRouter:
    """The routes of jobs. A job is named by its identifier, its beginning, or NETWORK:TAG that it made."""
    router = APIRouter(tags=["jobs"])
    queue = services.queue

    @router.get("/jobs")
    def jobs(status: Annotated[list[Status], Query()] = [], newest: _Number = 100) -> list[Entry]:  # noqa: B006
        """The newest jobs, oldest first: all, or those of some statuses."""
        return queue.jobs(*status, newest=newest)

    @router.post("/jobs", status_code=201)
    def submit(job: Submission) -> Submitted:
        """Queue a job; it is checked first as if it began now."""
        return Submitted(id=services.submit(job.kind, job.networks, job.dataset, job.options))

    @router.get("/jobs/{job}")
    def get(job: PathName) -> Entry:
        """A job: what it was asked to do, and how it goes."""
        with looked_up():
            return queue.get(job)

    @router.post("/jobs/{job}/stop")
    def stop(job: PathName) -> Entry:
        """Cancel a job that waits, or ask one that runs to store its weights and end."""
        return queue.stop(get(job).id)

    @router.post("/jobs/{job}/resume")
    def resume(job: PathName) -> Entry:
        """Queue a job again that failed or was stopped; it goes on where it was."""
        return queue.resume(get(job).id)

    @router.post("/jobs/{job}/resubmit", status_code=201)
    def resubmit(job: PathName, changes: Changes) -> Submitted:
        """Queue a job once more, as a new one, with some options changed."""
        return Submitted(id=queue.resubmit(get(job).id, services.checked(changes.options)))

    @router.get("/jobs/{job}/result")
    def result(job: PathName) -> dict[str, Any] | None:
        """What a job found; null until it has ended well."""
        return queue.result(get(job).id)

    @router.get("/jobs/{job}/progress")
    def progress(job: PathName, after: _Number = 0) -> list[Point]:
        """What was noted of a job, oldest first; only points with a number greater than `after`."""
        return queue.progress(get(job).id, after)

    @router.get("/jobs/{job}/log", response_class=PlainTextResponse)
    def log(job: PathName) -> FileResponse:
        """All that a submitted job printed."""
        identifier = get(job).id
        with looked_up():
            return FileResponse(queue.log(identifier), media_type="text/plain; charset=utf-8")

    @router.get("/notifications")
    def notifications(
        after: _Number = 0, newest: Annotated[int, Query(ge=0, le=1000)] = 20
    ) -> list[Notification]:
        """What happened, oldest first."""
        return queue.notifications(after, newest)

    @router.get("/events", response_class=StreamingResponse)
    def events(
        job: Annotated[str | None, Query(max_length=200)] = None,
        last_event_id: Annotated[int | None, Header(ge=0, lt=2**63)] = None,
    ) -> StreamingResponse:
        """Progress and notifications as they come: of all jobs, or of one until it ends."""
        listener = Events(services, get(job).id if job else None, last_event_id)
        return StreamingResponse(listener.stream(), media_type="text/event-stream")

    return router
