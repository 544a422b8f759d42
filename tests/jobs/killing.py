"""Jobs that die: in processes of their own, at an instant that a test chooses, and go on in the next."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from dianne import Workspace
from dianne.jobs import resume
from dianne.jobs.learn import LearnWatcher
from dianne.jobs.selftest import PRELOAD

Death = tuple[str, float]
"""("iteration", n): at the end of the n-th of a process; ("step", n): before the n-th file that it syncs or
puts in place; ("seconds", s): so long after it began to learn."""

MODULES = {
    "Coder": """
  image:  {type: Input, shape: [1, 4, 4]}
  hidden: {type: Linear, output: 5}
  tanh:   {type: Tanh}
  drop:   {type: Dropout, rate: 0.2}
  params: {type: Linear, output: 4}
  latent: {type: MultivariateGaussian, stdevActivation: SoftPlus}""",
    "Painter": """
  latent:  {type: Input, shape: [2]}
  hidden:  {type: Linear, output: 5}
  tanh:    {type: Tanh}
  pixels:  {type: Linear, output: 16}
  sigmoid: {type: Sigmoid}""",
    "Judge": """
  image:  {type: Input, shape: [1, 4, 4]}
  hidden: {type: Linear, output: 5}
  norm:   {type: BatchNormalization}
  score:  {type: Linear, output: 1}
  real:   {type: Sigmoid}""",
    "Classifier": """
  image:   {type: Input, shape: [1, 4, 4]}
  scale:   {type: Normalization}
  hidden:  {type: Linear, output: 5}
  norm:    {type: BatchNormalization}
  drop:    {type: Dropout, rate: 0.3}
  scores:  {type: Linear, output: 10}
  classes: {type: LogSoftmax}""",
    "Reader": """
  letter: {type: Input, shape: [5]}
  lstm:   {type: LSTMCell, output: 4}
  scores: {type: Linear, output: 5}
  next:   {type: LogSoftmax}""",
}
FILES = {
    **{
        f"networks/{name}.yaml": f"modules:{text}\n  output: {{type: Output}}\n"
        for name, text in MODULES.items()
    },
    "datasets/Small.yaml": "{type: sklearn, loader: load_digits, frame: [4, 4], "
    "labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}",
    "datasets/Text.yaml": "{type: CharSequenceDataset, file: text.txt}",
    "datasets/text.txt": "abba-cab cab " * 20,
}


def workspace_in(folder: Path) -> Workspace:
    """A workspace with small networks."""
    for file, text in FILES.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    return Workspace(folder)


def bits(workspace: Workspace) -> dict[str, tuple[int, str]]:
    """The weights under all tags: their iteration, and the sha256 of their file."""
    store = workspace.store
    return {
        f"{network}:{tag}": (manifest.iteration, manifest.blob)
        for network in store.networks()
        for tag, manifest in store.tags(network).items()
    }


def learn_until_done(workspace: Workspace, job: tuple, deaths: Iterable[Death]) -> list[str]:
    """Begin a job, and go on with it after each death; gives how each process ended."""
    ends = []
    for death in [*deaths, None]:
        ends.append(_attempt(workspace, job, death))
        if ends[-1] != "killed":
            return ends
    raise AssertionError(ends)


def _attempt(workspace: Workspace, job: tuple, death: Death | None) -> str:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, "sklearn.datasets"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_in_process, args=(workspace.folder.root, job, death, theirs))
    process.start()
    theirs.close()
    process.join()
    if process.exitcode in (-signal.SIGKILL, -signal.SIGALRM):
        return "killed"
    return ours.recv() if ours.poll() else f"exit code {process.exitcode}"


def _in_process(root: Path, job: tuple, death: Death | None, connection: Connection) -> None:
    torch.set_num_threads(1)
    workspace, watcher = Workspace(root), _Doomed(death)
    if resume.kept(workspace.folder):
        result = workspace.resume(watcher=watcher)
    else:  # it died before its first checkpoint
        shutil.rmtree(workspace.folder.state, ignore_errors=True)
        networks, dataset, options = job
        result = workspace.learn(networks, dataset, watcher=watcher, **options)
    connection.send(f"done after {result.iterations}")


class _Doomed(LearnWatcher):
    """Kills its process."""

    def __init__(self, death: Death | None):
        self.kind, self.left = death or ("", 0.0)

    def start(self, *_: Any) -> None:
        if self.kind == "step":
            os.fsync, os.replace = self.counted(os.fsync), self.counted(os.replace)
        if self.kind == "seconds":  # the signal ends the process as SIGKILL does, inside of whatever it does
            signal.setitimer(signal.ITIMER_REAL, self.left)

    def tick(self, *_: Any) -> None:
        if self.kind == "iteration":
            self.count()

    def counted(self, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.count()
            return function(*arguments)

        return call

    def count(self) -> None:
        self.left -= 1
        if self.left < 1:
            os.kill(os.getpid(), signal.SIGKILL)
