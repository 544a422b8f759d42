"""The command that hands a job's metrics on to trackers."""

from __future__ import annotations

import click

from dianne.cli.console import show, show_json
from dianne.cli.words import here, plain, takes


@click.command()
@takes("JOB [TRACKERS]")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def track(words: tuple[str, ...], as_json: bool) -> None:
    """Hand the metrics of a job on to trackers, in the background: what they have not got yet.

    Learning with track=... does it at once; this is for a job that was not tracked, or after a restart of the
    machine. TRACKERS are tensorboard, mlflow or both; those of the job's own track= if left out.

    \b
      dianne track MLP:wide tensorboard,mlflow
    """
    name, *rest = plain(words, "JOB", "TRACKERS", optional=1)
    from dianne.errors import UsageError
    from dianne.jobs.queue import Queue
    from dianne.jobs.track import check, start

    job = Queue(here()).get(name)
    trackers = [part.strip() for part in (rest[0] if rest else str(job.options.get("track", ""))).split(",")]
    if not all(trackers):
        raise UsageError(f"the job {job.id} has no trackers; name some: dianne track {job.id} tensorboard")
    check(trackers)
    start(here(), job.id, trackers)
    if as_json:
        show_json({"job": job.id, "trackers": trackers})
    else:
        show(f"handing {job.id} on to {' and '.join(trackers)}")
