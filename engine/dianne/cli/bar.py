"""The bar of a job."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dianne.cli.console import talk


def job_bar() -> Progress:
    """A bar that counts iterations, ten times a second at most; it goes when the job ends."""
    return Progress(
        TextColumn("{task.completed:,}/{task.total:,}"),
        BarColumn(bar_width=30),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=talk,
        transient=True,
    )
