"""What a worker does: the job that somebody submitted, told line by line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial

import torch

from dianne.evaluation.strategy import Evaluation
from dianne.jobs import evaluate, learn, resume
from dianne.jobs.checkpoint import read
from dianne.jobs.ending import end
from dianne.jobs.entry import Entry
from dianne.jobs.keeper import place_of
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.queue import Queue
from dianne.learning.loop import Report
from dianne.workspace import Folder

say = partial(print, flush=True)


def work(folder: Folder, job: Entry, stop: Callable[[], str]) -> None:
    """Run a job, and note in the database how it goes.

    Args:
        folder: the workspace.
        job: as it was submitted.
        stop: asked before every iteration of a learn job; a reason ends it, its weights stored.

    Raises:
        DianneError: what it needs is gone or has changed since it was submitted, or it failed.
    """
    torch.set_num_threads(job.resources["threads"])
    options = {**job.options, "strategy": job.strategy}
    lines = Lines()
    if job.kind == "learn":
        if place_of(folder, job.id) in resume.kept(folder):
            _go_on(folder, job, lines, stop)
            return
        prepared = learn.prepare(folder, job.networks, job.dataset, options)
        LearnRun(dataclasses.replace(prepared, identifier=job.id), lines, stop).run()
        return
    judged = evaluate.prepare(folder, job.networks, job.dataset, options)
    found = evaluate.run(dataclasses.replace(judged, identifier=job.id), lines.fetching, note=lines.note)
    say(json.dumps(found.metrics))


def _go_on(folder: Folder, job: Entry, lines: Lines, stop: Callable[[], str]) -> None:
    """The rest of a job that was interrupted."""
    if read(place_of(folder, job.id), lines.note).finished:  # killed when all was stored, but this
        with Queue(folder).database.writing() as session:
            end(session, job.id, "finished", "finished")
    else:
        resume.prepare(folder, job.id, lines, stop).run()


class Lines(learn.LearnWatcher):
    """Tells how a job goes, in lines."""

    def start(self, job: learn.PreparedLearn, batch_size: int) -> None:  # noqa: ARG002
        """What begins."""
        names = ", ".join(job.networks)
        say(f"learning {names} on {job.described.name} with {job.strategy.__name__}, tag {job.tag}")
        self.total = job.options.max_iterations

    def resumed(self, iteration: int, seconds: float) -> None:
        """Where it goes on."""
        say(f"going on after {iteration:,} iterations and {seconds:.1f} s")

    def note(self, message: str) -> None:
        """As it is."""
        say(message)

    def fetching(self, file: str, done: int, total: int | None) -> None:
        """Once a file is here."""
        if done == total:
            say(f"fetched {file}, {done:,} bytes")

    def report(self, report: Report) -> None:
        """Every `traceInterval` iterations."""
        terms = _listed(report.terms)
        say(f"iteration {report.iteration:,}/{self.total:,}  {terms}  {report.seconds:.1f} s")

    def validated(self, iteration: int, evaluation: Evaluation) -> None:
        """Each evaluation."""
        say(f"validation after {iteration:,} iterations: {_listed(evaluation.metrics)}")


def _listed(numbers: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:#.4g}" for name, value in numbers.items())
