"""What commands that learn have in common: how they are stopped, and what they say at the end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dianne.cli.console import say, show, show_json

if TYPE_CHECKING:
    from dianne.jobs.learn import LearnResult


@contextmanager
def stop_on_signals() -> Iterator[tuple[Callable[[], str], Callable[[], int]]]:
    """Let the first Ctrl-C (or SIGTERM) end a job after its iteration; a second one ends it at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        say("stopping after this iteration; once more to stop at once")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield (
            lambda: signal.Signals(received[0]).name if received else "",
            lambda: 128 + received[0] if received else 0,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def as_values(result: LearnResult) -> dict[str, Any]:
    """What a learn job gave, for machines."""
    return {
        "job": result.job, "tag": result.tag, "networks": result.networks,
        "iterations": result.iterations, "loss": result.loss, "seconds": round(result.seconds, 3),
        "stopped": result.stopped,
        "validations": {n: found.metrics for n, found in result.validations.items()},
    }  # fmt: skip


def show_learned(result: LearnResult, as_json: bool) -> None:
    """Print what a learn job gave."""
    if as_json:
        show_json(as_values(result))
        return
    if result.stopped:
        say(f"stopped by {result.stopped}")
    if result.iterations:
        stored = " and ".join(f"{name}:{result.tag}" for name in result.networks)
        speed = result.seconds / result.iterations * 1000
        took = f"{result.iterations:,} iterations in {result.seconds:.1f} s, {speed:.1f} ms each"
        show(f"stored {stored} after {took}")
        show("  ".join(f"{name} {value:.5g}" for name, value in result.loss.items()))
