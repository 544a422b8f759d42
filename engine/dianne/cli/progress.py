"""How a job's progress looks: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.progress import TaskID

from dianne.cli.bar import job_bar
from dianne.cli.console import say, talk
from dianne.cli.downloads import Downloads
from dianne.evaluation.strategy import Evaluation
from dianne.jobs.learn import LearnWatcher, PreparedLearn
from dianne.learning.loop import Report
from dianne.learning.strategy import Terms

_REFRESH = 0.1  # seconds


class Screen(Downloads, LearnWatcher):
    """Shows a learn job to a person. Use it in a `with`, so that the bar goes when the job ends."""

    def __init__(self) -> None:
        super().__init__()
        self.task: TaskID | None = None
        self.batch_size = 0
        self.total = 0
        self.begin = 0.0
        self.next_refresh = 0.0
        self.lines = not talk.is_terminal

    def note(self, message: str) -> None:
        """One line above the bar."""
        say(message)

    def start(self, job: PreparedLearn, batch_size: int) -> None:
        """Say what begins, and put the bar up."""
        if self.bar:
            self.bar.stop()
        self.total = job.options.max_iterations
        self.batch_size = batch_size
        names = ", ".join(job.networks)
        say(f"learning {names} on {job.described.name} with {job.strategy.__name__}, tag {job.tag}")
        self.begin = time.perf_counter()
        if talk.is_terminal:
            self.lines = job.options.trace
            self.bar = job_bar()
            self.task = self.bar.add_task("", total=self.total)
            self.bar.start()

    def resumed(self, iteration: int, seconds: float) -> None:
        """Say where it goes on."""
        say(f"going on after {iteration:,} iterations")
        self.begin -= seconds

    def tick(self, iteration: int, terms: Terms) -> None:
        """Move the bar, ten times a second at most."""
        now = time.perf_counter()
        if self.bar is None or self.task is None or now < self.next_refresh:
            return
        self.next_refresh = now + _REFRESH
        text = self._text({name: float(term) for name, term in terms.items()}, iteration, now - self.begin)
        self.bar.update(self.task, completed=iteration, description=text)

    def report(self, report: Report) -> None:
        """One line, where lines are wanted."""
        if self.lines:
            text = self._text(report.terms, report.iteration, report.seconds)
            left = report.seconds / report.iteration * (self.total - report.iteration)
            say(f"iteration {report.iteration:,}/{self.total:,}  {text}  {_clock(left)} left")

    def validated(self, iteration: int, evaluation: Evaluation) -> None:
        """One line for each validation."""
        found = "  ".join(f"{name} {_number(value)}" for name, value in evaluation.metrics.items())
        say(f"validation after {iteration:,} iterations: {found}")

    def _text(self, terms: Mapping[str, float], iteration: int, seconds: float) -> str:
        parts = [f"{name} {_number(value)}" for name, value in terms.items()]
        if self.batch_size and seconds > 0:
            parts.append(f"{iteration * self.batch_size / seconds:,.0f} samples/s")
        return "  ".join(parts)


def _number(value: Any) -> str:
    return f"{value:#.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
