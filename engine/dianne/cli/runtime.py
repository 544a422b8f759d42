"""The commands about the runtime and the machine."""

from __future__ import annotations

import datetime
import platform
from dataclasses import asdict

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import Commands, here, split, takes

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command()
@takes("[cpus=N] [gpus=N] [port=N] [rpcPort=N] [host=ADDRESS] [maxBody=BYTES]")
@click.option("--allow-source", is_flag=True, help="Take strategies as source text over HTTP.")
def serve(words: tuple[str, ...], allow_source: bool) -> None:
    """Be the runtime of this workspace, in the foreground.

    It starts submitted jobs while there is room. `dianne submit` starts one in the background. Jobs go on
    when it ends.

    \b
      cpus=N gpus=N     what jobs may use; the whole machine if left out
      port=N rpcPort=N  of HTTP and JSON-RPC; 8080 and 9090 if left out and free
      host=ADDRESS      to listen on; that of this machine alone if left out
      maxBody=BYTES     of the largest request

    \b
      dianne serve cpus=4 port=8080
    """
    _, options = split(words)
    from dianne.binding import TYPED, Consumer, Given, bind
    from dianne.jobs.resources import Capacity
    from dianne.runtime import control
    from dianne.runtime.serving import Listening

    given = {key: Given(value, TYPED) for key, value in options.items()}
    if allow_source:
        given["allowSource"] = Given(True, TYPED)
    bound = bind("serve", [Consumer("jobs", Capacity), Consumer("server", Listening)], given)
    capacity, listening = bound.of("jobs", Capacity), bound.of("server", Listening)
    control.serve(here(), capacity, listening, _say_with_time)


def _say_with_time(message: str) -> None:
    say(f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M:%S}  {message}")


@click.group(cls=Commands)
def runtime() -> None:
    """Tell whether this workspace has a runtime, or stop it."""


@runtime.command()
@_json
def status(as_json: bool) -> int:
    """Tell whether this workspace has a runtime; exit code 1 if not."""
    from dianne.jobs.queue import Queue
    from dianne.runtime import control

    found, counts = control.status(here()), Queue(here()).counts()
    jobs = {word: counts.get(word, 0) for word in ("running", "queued")}
    if as_json:
        show_json({"runtime": asdict(found) if found else None, "jobs": jobs})
    elif found is None:
        show(f"this workspace has no runtime; jobs that wait for one: {jobs['queued']}")
    else:
        show(
            f"process {found.pid} since {_when(found.started)} UTC, cpus={found.cpus:g} gpus={found.gpus}; "
            f"jobs: {jobs['running']} running, {jobs['queued']} queued"
        )
    return 0 if found else 1


@runtime.command()
@_json
def stop(as_json: bool) -> None:
    """End this workspace's runtime. Jobs that run go on; `dianne stop` ends them."""
    from dianne.jobs.queue import Queue
    from dianne.runtime import control

    found = control.stop(here())
    running = Queue(here()).counts().get("running", 0)
    if as_json:
        show_json({"pid": found.pid, "running": running})
    else:
        going = f"; jobs that go on without it: {running}" if running else ""
        show(f"the runtime (process {found.pid}) has ended{going}")


@click.command()
@_json
def runtimes(as_json: bool) -> None:
    """List the runtime of this workspace."""
    from dianne.runtime import control

    found = control.status(here())
    if as_json:
        show_json([asdict(found)] if found else [])
    elif found is None:
        say("this workspace has no runtime; `dianne serve` or `dianne submit` start one")
    else:
        made = table("process", "began (UTC)", "cpus", "gpus", right=("process", "cpus", "gpus"))
        row(made, found.pid, _when(found.started), f"{found.cpus:g}", found.gpus)
        show_table(made)


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@_json
def devices(as_json: bool) -> None:
    """List what this machine has: cores, memory, graphics cards."""
    from dianne.jobs.resources import machine

    found = machine()
    about = {
        "name": platform.node(), "os": platform.system(), "arch": platform.machine(), **asdict(found)
    }  # fmt: skip
    if as_json:
        show_json(about)
        return
    made = table("device", "what it is", "number", right=("number",))
    row(made, "cpus", f"cores of {about['name']} ({about['os']}, {about['arch']})", found.cpus)
    row(made, "memory", "GiB", f"{found.memory / 2**30:.1f}")
    for number, name in enumerate(found.gpus):
        row(made, "gpu", name, number)
    show_table(made)


COMMANDS = (serve, runtime, runtimes, devices)
