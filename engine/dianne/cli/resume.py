"""The commands that do a job's rest, or the job again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.jobs import say_queued
from dianne.cli.learned import show_learned, stop_on_signals
from dianne.cli.words import here, split, takes
from dianne.errors import UsageError

if TYPE_CHECKING:
    from dianne.jobs.rerun import Rerun

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command()
@takes("[JOB] | --selftest NETWORKS DATASET [KEY=VALUE]...")
@click.option("--selftest", "as_test", is_flag=True, help="Kill a job again and again, and compare.")
@click.option("--kills", type=click.IntRange(1), help="Kills of the self-test; 5 if left out.")
@_json
def resume(words: tuple[str, ...], as_test: bool, kills: int | None, as_json: bool) -> int:
    """Go on with a job that was interrupted; it ends with the same bits as one that never was.

    One that was submitted waits for its turn again.

    \b
      dianne resume                  the newest one
      dianne resume 3f2a             by its identifier, or the beginning of it
      dianne resume Encoder:vae      the job that made these weights
      dianne resume --selftest MLP MNIST batchSize=64
    """
    if as_test:
        return _selftest(words, kills or 5, as_json)
    if kills:
        raise UsageError("--kills goes with --selftest only; leave it out")
    plain, options = split(words, "JOB", optional=1)
    if options:
        raise UsageError(f"a job goes on with the options that it began with; leave {', '.join(options)} out")
    from dianne.jobs.queue import Queue

    queue = Queue(here())
    if plain and queue.knows(plain[0]) and not queue.get(plain[0]).foreground:
        say_queued(queue.resume(plain[0]).id, as_json)
        return 0
    from dianne.cli.progress import Screen
    from dianne.jobs.resume import prepare

    with Screen() as screen, stop_on_signals() as (stop, code):
        result = prepare(here(), plain[0] if plain else None, screen, stop).run()
    show_learned(result, as_json)
    return code()


def _selftest(words: tuple[str, ...], kills: int, as_json: bool) -> int:
    (networks, dataset), options = split(words, "NETWORKS", "DATASET")
    from dianne.jobs.selftest import selftest

    proof = selftest(here(), networks, dataset, options, kills, say)
    if as_json:
        show_json({
            "job": proof.job, "iterations": proof.iterations, "kills": proof.kills, "same": proof.same,
            "differences": proof.differences,
        })  # fmt: skip
        return 0 if proof.fine else 1
    made = table("weights", "killed and resumed", "first difference")
    for name, same in proof.same.items():
        row(made, name, "the same bits" if same else "other bits", proof.differences.get(name))
    show_table(made)
    times = "once" if len(proof.kills) == 1 else f"{len(proof.kills)} times"
    show(f"{proof.iterations:,} iterations, killed {times}")
    return 0 if proof.fine else 1


@click.command()
@takes("NETWORK:TAG [tag=TAG]")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and stop.")
@_json
def rerun(words: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Do the job again that made some weights, and compare.

    What it learns goes under tag=; rerun-TAG if left out.

    \b
      dianne rerun Encoder:vae
    """
    (weights,), options = split(words, "NETWORK:TAG")
    unknown = [key for key in options if key != "tag"]
    if unknown:
        raise UsageError(f"a job is done again with its own options; leave {', '.join(unknown)} out")
    from dianne.cli.progress import Screen
    from dianne.jobs.rerun import prepare, run

    again = prepare(here(), weights, options.get("tag"))
    if dry_run:
        _show_plan(again, as_json)
        return 0
    with Screen() as screen, stop_on_signals() as (stop, code):
        run(again, screen, stop)
    assert again.result is not None
    if as_json:
        show_json({**again.result.summary(), "same": again.same, "reasons": again.reasons})
        return code() or int(not all(again.same.values()))
    for name, same in again.same.items():
        show(
            f"{name}:{again.job.tag} and {name}:{again.tag} have {'the same bits' if same else 'other bits'}"
        )
    if not all(again.same.values()):
        for reason in again.reasons or ["nothing that was written down differs; another kind of machine?"]:
            show(f"  {reason}")
    return code() or int(not all(again.same.values()))


def _show_plan(again: Rerun, as_json: bool) -> None:
    """What would be done."""
    job = again.manifest.job
    options = {key: value for key, value, *_ in job["given"] if key not in ("tag", "seed")}
    options["seed"] = job["seed"]
    if as_json:
        show_json({
            "networks": job["networks"], "dataset": job["dataset"], "options": options,
            "iterations": again.iterations, "tag": again.job.tag, "reasons": again.reasons,
        })  # fmt: skip
        return
    given = [f"{key}={value}" for key, value in options.items()]
    show(" ".join(["learn", ",".join(job["networks"]), job["dataset"], *given]))
    show(f"{again.iterations:,} iterations, stored under {again.job.tag}")
    for reason in again.reasons:
        show(f"its bits may differ: {reason}")
