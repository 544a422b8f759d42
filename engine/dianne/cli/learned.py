"""What commands that learn have in common: how they are stopped, and what they say at the end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dianne.cli.console import say, show_json
from dianne.cli.results import show_learned as show_summary

if TYPE_CHECKING:
    from dianne.jobs.learn import LearnResult


@contextmanager
def stop_on_signals(
    message: str = "stopping after this iteration; once more to stop at once",
) -> Iterator[tuple[Callable[[], str], Callable[[], int]]]:
    """Let the first Ctrl-C (or SIGTERM) end a job after its iteration; a second one ends it at once."""
    received: list[int] = []

    def note(number: int, _: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        say(message)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield (
            lambda: signal.Signals(received[0]).name if received else "",
            lambda: 128 + received[0] if received else 0,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_learned(result: LearnResult, as_json: bool) -> None:
    """Print what a learn job gave."""
    if as_json:
        show_json(result.summary())
    else:
        show_summary(result.summary())
