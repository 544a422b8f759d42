"""The commands about jobs: submitted, listed, watched, stopped, run again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import here, job_of, plain, refuse, split, takes
from dianne.errors import UsageError

if TYPE_CHECKING:
    from dianne.jobs.entry import Entry
    from dianne.jobs.queue import Queue

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_SHORT = 8  # characters of an identifier that lists show; a beginning is enough everywhere
_NEWEST = 20  # jobs that are over, of the list of all


def _queue() -> Queue:
    from dianne.jobs.queue import Queue

    return Queue(here())


@click.command()
@takes("[learn|evaluate] NETWORKS DATASET [KEY=VALUE]...")
@_json
def submit(words: tuple[str, ...], as_json: bool) -> None:
    """Check a job and queue it for the runtime.

    A runtime is started in the background if there is none; it runs the job once there is room.

    \b
      dianne submit MLP MNIST tag=mlp
      dianne submit evaluate MLP MNIST tag=mlp
      dianne submit job.yaml learningRate=1e-4 cpus=2
    """
    from dianne.jobs.entry import KINDS

    kind, words = ("learn", words)
    first = "evaluate" if words[:1] == ("eval",) else "".join(words[:1])
    if first in KINDS:
        kind, words = first, words[1:]
    networks, dataset, options = job_of(words)
    say_queued(_queue().submit(kind, networks, dataset, options), as_json)


def say_queued(identifier: str, as_json: bool) -> None:
    """See that there is a runtime for a job that waits, and say how to follow it."""
    from dianne.runtime.control import ensure_for

    ensure_for(here(), identifier)
    if as_json:
        show_json({"job": identifier})
    else:
        show(f"queued {identifier}; follow it with: dianne watch {identifier}")


@click.command()
@takes("JOB [KEY=VALUE]...")
@_json
def resubmit(words: tuple[str, ...], as_json: bool) -> None:
    """Queue a job once more, with some options changed.

    \b
      dianne resubmit 3e29 learningRate=1e-4
    """
    (job,), options = split(words, "JOB")
    say_queued(_queue().resubmit(job, options), as_json)


# ------------------------------------------------------------------------------------------------- lists


@click.command()
@_json
def jobs(as_json: bool) -> None:
    """List the jobs that wait or run, and the last that are over."""
    from dianne.jobs.entry import ENDED, RUNNING, WAITING

    queue = _queue()
    over = queue.jobs(*ENDED, newest=_NEWEST)
    found = [*over, *queue.jobs(RUNNING), *queue.jobs(WAITING)]
    hidden = sum(count for status, count in queue.counts().items() if status in ENDED) - len(over)
    _show_jobs(found, as_json)
    if hidden > 0 and not as_json:
        say(f"and {hidden:,} before: dianne finished n=100")


@click.command()
@_json
def queued(as_json: bool) -> None:
    """List the jobs that wait, in the order of their turns."""
    _show_jobs(_queue().jobs("queued"), as_json)


@click.command()
@_json
def running(as_json: bool) -> None:
    """List the jobs that run."""
    _show_jobs(_queue().jobs("running"), as_json)


@click.command()
@takes("[n=20]")
@_json
def finished(words: tuple[str, ...], as_json: bool) -> None:
    """List the last n jobs that are over, however they ended.

    \b
      dianne finished n=100
    """
    from dianne.jobs.entry import ENDED

    _, options = split(words)
    refuse(options, "n")
    newest = str(options.get("n", _NEWEST))
    if not newest.isdecimal() or len(newest) > 9:
        raise UsageError(f"n={newest}: expected how many jobs to list, a whole number of at most 9 digits")
    _show_jobs(_queue().jobs(*ENDED, newest=int(newest)), as_json)


def _show_jobs(found: list[Entry], as_json: bool) -> None:
    if as_json:
        show_json([asdict(job) for job in found])
        return
    if not found:
        say("no such jobs in this workspace")
        return
    made = table("job", "what", "tag", "status", "done", "value", "took", right=("done", "took"))
    for column in made.columns:
        column.no_wrap = column.header != "what"
    for job in found:
        what = f"{job.kind} {','.join(job.networks)} on {job.dataset}"
        share = f"{job.iteration / job.total:.0%}" if job.total else ""
        row(made, job.id[:_SHORT], what, job.tag, job.status, share, _value(job), _took(job))
    show_table(made)


def _done(job: Entry) -> str:
    return f"{job.iteration:,}/{job.total:,}" if job.total else ""


def _value(job: Entry) -> str:
    """The first number that a job found: a metric, or the loss."""
    numbers = job.metrics if job.kind == "evaluate" else job.terms
    return next((f"{name} {value:.4g}" for name, value in numbers.items()), "")


def _took(job: Entry) -> str:
    import time

    if job.started is None:
        return ""
    seconds = (job.ended or time.time()) - job.started
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _when(seconds: float | None) -> str:
    import datetime

    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@_json
def notifications(as_json: bool) -> None:
    """List what happened last, newest at the end."""
    found = _queue().notifications()
    if as_json:
        show_json([asdict(one) for one in found])
        return
    made = table("time (UTC)", "job", "level", "message")
    for one in found:
        row(made, _when(one.time), one.job, one.level, one.message.partition("\n")[0])
    if found:
        show_table(made)
    else:
        say("nothing has happened in this workspace yet")


# ----------------------------------------------------------------------------------------------- one job


@click.command()
@takes("JOB")
@_json
def job(words: tuple[str, ...], as_json: bool) -> None:
    """Tell all about one job.

    It is named by its identifier, the beginning of that, or NETWORK:TAG for what made these weights.

    \b
      dianne job 3e29
      dianne job Encoder:vae
    """
    (name,) = plain(words, "JOB")
    found = _queue().get(name)
    if as_json:
        show_json(asdict(found))
        return
    takes = ", ".join(f"{key} {value:g}" for key, value in found.resources.items() if key != "cards")
    lines: dict[str, Any] = {
        "job": found.id, "kind": found.kind, "status": found.status, "networks": ", ".join(found.networks),
        "dataset": found.dataset, "strategy": found.strategy, "tag": found.tag, "takes": takes,
        "submitted": _when(found.submitted), "began": _when(found.started), "ended": _when(found.ended),
        "took": _took(found), "done": _done(found),
        "last": "  ".join(f"{key} {value:.5g}" for key, value in {**found.terms, **found.metrics}.items()),
    }  # fmt: skip
    made = table("", "")
    made.show_header = False
    for key, value in lines.items():
        if value:
            row(made, key, value)
    for number, (key, value) in enumerate(found.options.items()):
        row(made, "" if number else "options", f"{key}={value}")
    show_table(made)
    if found.status in ("failed", "interrupted"):
        show("")
        _show_failure(found)


def _show_failure(job: Entry) -> None:
    """The first real cause, the last lines of the log, and what to do."""
    from dianne.document import display
    from dianne.jobs.queue import log_of

    show(f"{job.status}: {job.error}" if job.error else f"{job.status}: its process is gone")
    log = log_of(here(), job.id)
    if log.is_file():
        show(f"\nthe end of {display(log)}:")
        for line in _tail(log):
            show(f"  {line}")
    show(f"\nrun it again:  dianne resubmit {job.id}\ngo on with it: dianne resume {job.id}")


def _tail(path: Path, lines: int = 8, most: int = 16384) -> list[str]:
    """The last lines of a file, however long it is; of a crash those with its name and place."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        found = file.read().decode(errors="replace").splitlines()
    told = [line for line in found if line.strip() and not line.startswith("Extension modules: ")]
    crash = [number for number, line in enumerate(told) if line.startswith("Fatal Python error: ")]
    if not crash:
        return told[-lines:]
    what, *places = told[crash[-1] :]
    own = next((at for at, line in enumerate(places) if line.startswith("Current thread ")), 0)
    return [what, *places[own:]][:lines]  # other threads may be told of first


@click.command()
@takes("JOB")
@_json
def watch(words: tuple[str, ...], as_json: bool) -> int:
    """Follow a job until it ends; Ctrl-C leaves it running.

    \b
      dianne watch 3e29
      dianne watch MLP:wide     # what makes these weights
    """
    (name,) = plain(words, "JOB")
    from dianne.cli.watch import follow, follow_points

    try:
        ended = (follow_points if as_json else follow)(_queue(), name)
    except KeyboardInterrupt:
        say("the job goes on")
        return 0
    if as_json:
        show_json(asdict(ended))
    else:
        say(f"{ended.id} {ended.status}")
    if ended.status == "failed" and not as_json:
        _show_failure(ended)
    return 1 if ended.status in ("failed", "interrupted") else 0


@click.command()
@takes("JOB")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@_json
def logs(words: tuple[str, ...], follow: bool, as_json: bool) -> None:
    """Print all that a submitted job printed.

    \b
      dianne logs 3e29 -f
    """
    import json
    import time

    (name,) = plain(words, "JOB")
    queue = _queue()
    with queue.log(name).open(encoding="utf-8", errors="replace") as file:
        over = False
        while True:
            for line in file:
                print(json.dumps(line) if as_json else line, end="\n" if as_json else "", flush=True)
            if over or not follow:
                return
            over = queue.get(name).over  # and what it printed until now is still to be read
            if not over:
                time.sleep(0.2)


@click.command()
@takes("[JOB]...")
@_json
def stop(words: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs that wait, and end those that run.

    These store their weights first; asked once more, they end at once. Without words: all that run.

    \b
      dianne stop 3e29
    """
    queue = _queue()
    names = list(words) or [job.id for job in queue.jobs("running")]
    stopped = []
    for name in names:
        try:
            stopped.append(queue.stop(name))
        except UsageError as error:
            if words:
                raise
            say(str(error))  # it has ended meanwhile, or is not to be stopped from here
    if as_json:
        show_json([job.id for job in stopped])
        return
    for job in stopped:
        show(f"cancelled {job.id}" if job.status == "queued" else f"stopping {job.id}")
    if not stopped:
        say("no job runs in this workspace")


@click.command()
@takes("JOB")
@_json
def result(words: tuple[str, ...], as_json: bool) -> None:
    """Print what a job found, as its own command would have.

    \b
      dianne result 3e29 --json
    """
    (name,) = plain(words, "JOB")
    queue = _queue()
    entry, found = queue.get(name), queue.result(name)
    if found is None:
        raise UsageError(f"the job {entry.id} is {entry.status}; it has no result")
    if as_json:
        show_json(found)
    elif entry.kind == "evaluate":
        from dianne.cli.results import show_evaluation

        show_evaluation(found)
    else:
        from dianne.cli.results import show_learned

        show_learned(found)


COMMANDS = (
    submit, resubmit, jobs, queued, running, finished, notifications, job, watch, logs, stop, result,
)  # fmt: skip
