"""What the tests of the server put into its workspace, and what they say about responses."""

from __future__ import annotations

import threading

import httpx2
import torch

from dianne.jobs.queue import Queue
from dianne.jobs.record import Recorder
from dianne.store import Manifest, Store
from dianne.workspace import Folder

SUM = """\
modules:
  point:  {type: Input, shape: [2]}
  sums:   {type: Linear, output: 3}
  output: {type: Output}
"""
MIRROR = """\
modules:
  image:  {type: Input, shape: [%s]}
  output: {type: Output}
"""
LIMIT = 1_000_000  # bytes of a body


def put(folder: Folder, bias: float = 0.0) -> str:
    """Weights of a network that gives both values of a point and their sum, all plus `bias`."""
    weights = {
        "sums.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]),
        "sums.bias": torch.full((3,), float(bias)),
    }
    return Store(folder.models).put("t", Manifest("Sum", SUM, {}, labels=["x", "y", "sum"]), weights)


class Worker(threading.Thread):
    """Runs one job that waits, in a few lines: two iterations, or an evaluation of ten samples."""

    def __init__(self, folder: Folder, job: str, result: dict[str, object]):
        super().__init__()
        self.folder, self.job, self.result = folder, job, result
        self.start()

    def run(self) -> None:
        entry = Queue(self.folder).get(self.job)
        asked = {"id": entry.id, "command": entry.kind, "tag": entry.tag}
        with Recorder(self.folder, asked, 2, print) as record:
            record.tick(1, 0.1, {"loss": torch.tensor(2.0), "kl": torch.tensor(0.5)})
            record.tick(2, 0.2, {"loss": torch.tensor(1.0), "kl": torch.tensor(0.25)})
            record.ended(self.result)


def error(response: httpx2.Response, status: int) -> str:
    """The text of a fault with that status."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    return response.json()["error"]
