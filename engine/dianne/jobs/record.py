"""The record of a job: what it was asked to do, and how it went, beside the workspace's other state.

`.dianne/jobs/<id>/job.json` holds networks, dataset, strategy, options and seed;
`.dianne/jobs/<id>/progress.jsonl` a line for each iteration that is written down, and for each evaluation.
After a retry iterations are counted again: of equal ones the later line counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dianne.document import display
from dianne.learning.strategy import Terms
from dianne.workspace import Folder

MOST = 2000  # iterations that are written down of a job, evenly spread


def folder_of(folder: Folder, job: str) -> Path:
    """Where the record of a job is."""
    return folder.state / "jobs" / job


class Recorder:
    """Writes the record of a job while it runs. A record that cannot be written never stops the job.

    Args:
        folder: the workspace.
        job: what it was asked to do; has an "id".
        iterations: how many it will do.
        note: told once if the record cannot be written.
    """

    def __init__(self, folder: Folder, job: Mapping[str, Any], iterations: int, note: Callable[[str], None]):
        self.path = folder_of(folder, job["id"])
        self.every = -(-iterations // MOST)
        self.note = note
        self.broken = False
        self.waiting: list[str] = []
        self._write("job.json", "w", json.dumps(job, indent=1, default=str) + "\n")

    def tick(self, iteration: int, seconds: float, terms: Terms) -> None:
        """Note an iteration, if it is one of those that are written down."""
        if iteration % self.every == 0:
            numbers = {name: float(f"{float(term):.7g}") for name, term in terms.items()}
            self._add({"iteration": iteration, "seconds": round(seconds, 3), "terms": numbers})

    def validated(self, iteration: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Note an evaluation."""
        self._add({"iteration": iteration, "seconds": round(seconds, 3), "validation": dict(metrics)})

    def _add(self, entry: Mapping[str, Any]) -> None:
        self.waiting.append(json.dumps(entry))
        if len(self.waiting) >= 50:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        if self.waiting:
            self._write("progress.jsonl", "a", "\n".join(self.waiting) + "\n")
            self.waiting.clear()

    def _write(self, name: str, mode: str, text: str) -> None:
        if self.broken:
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / name).open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            self.broken = True
            self.note(f"{display(self.path)}: the job's record cannot be written: {error.strerror}")
