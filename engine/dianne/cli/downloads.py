"""How downloads look: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TypeVar

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from dianne.cli.console import say, talk

Own = TypeVar("Own", bound="Downloads")


class Downloads:
    """Shows downloads to a person. Use it in a `with`, so that the bar goes at the end."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.download: TaskID | None = None

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def fetching(self, file: str, done: int, total: int | None) -> None:
        """A bar for a download, or a line when it is done."""
        if not talk.is_terminal:
            if done == total:
                say(f"fetched {file}, {done:,} bytes")
            return
        if self.bar is None:
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=talk, transient=True
            )
            self.bar.start()
        if self.download is None or self.bar.tasks[self.download].description != file:
            self.download = self.bar.add_task(file, total=total)
        self.bar.update(self.download, completed=done, total=total)
