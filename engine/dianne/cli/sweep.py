"""The command that tries a job with many options."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import here, job_of, takes

if TYPE_CHECKING:
    from dianne.jobs.sweep_run import SweepResult, Tried


@click.command()
@takes("NETWORKS DATASET KEY=VALUES... [trials=20] [KEY=VALUE]...")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def sweep(words: tuple[str, ...], as_json: bool) -> int:
    """Try a job with many options, each trial a job of the queue, and keep the best weights.

    A value is a range (1e-4..1e-2, with :log or :STEP behind it) or a choice (2,5,10).

    \b
      dianne sweep job.yaml learningRate=1e-4..1e-2:log latentDims=2,5,10 trials=20
      dianne sweep MLP Digits split=0.8 hidden=16..128:16 trials=10 tag=best
    """
    networks, dataset, options = job_of(words)
    from dianne.cli.learned import stop_on_signals
    from dianne.jobs.sweep import prepare
    from dianne.jobs.sweep_run import run
    from dianne.runtime.control import ensure

    prepared = prepare(here(), networks, dataset, options)
    with stop_on_signals("stopping the trials that run") as (stop, code):
        found = run(prepared, lambda: ensure(here()), _tell, lambda: bool(stop()))
    if as_json:
        show_json({**asdict(found), "rerun": _rerun(found)})
    else:
        _show(found)
    return code() or int(not found.tag)


def _tell(trial: Tried, metric: str) -> None:
    chosen = " ".join(f"{key}={shown(value)}" for key, value in trial.options.items())
    value = "" if trial.value is None else f", {metric} {trial.value:.5g}"
    say(f"trial {trial.number} {trial.status}: {chosen}{value}")


def _show(found: SweepResult) -> None:
    keys = list(dict.fromkeys(key for trial in found.trials for key in trial.options))
    made = table("trial", found.metric or "value", *keys, "status", "job", right=("trial", found.metric))
    for trial in found.trials:
        value = "" if trial.value is None else f"{trial.value:.5g}"
        chosen = (shown(trial.options.get(key, "")) for key in keys)
        row(made, trial.number, value, *chosen, trial.status, trial.job)
    show_table(made)
    for trial in (trial for trial in found.trials if trial.error):
        show(f"\ntrial {trial.number} failed: {trial.error}")
    if found.tag:
        names = " and ".join(f"{name}:{found.tag}" for name in found.networks)
        show(f"\nthe best is {names}; it is made again by:\n  {_rerun(found)}")
    else:
        say("no trial has finished, so nothing was tagged")


def shown(value: object) -> str:
    """A value of an option, short."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _best(found: SweepResult) -> Tried | None:
    return next((trial for trial in found.trials if trial.status == "finished"), None)


def _rerun(found: SweepResult) -> str:
    """The command that does the best trial again; under a tag of its own, as it began without weights."""
    from dianne.jobs.queue import Queue

    best = _best(found)
    if best is None:
        return ""
    job = Queue(here()).get(best.job)
    options = {**job.options, "strategy": job.strategy, "threads": job.resources["threads"]}
    words = [f"{key}={value}" for key, value in options.items() if key != "tag"]
    return shlex.join(["dianne", "learn", ",".join(job.networks), job.dataset, *words])
