"""What is there before the first iteration, and what grows with networks and tags."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from benchmarks.workloads import workspace
from dianne.network.resolve import restore
from dianne.store import Manifest

TIMES = 5
MODULES = 1000
TAGS = 1000
JOB = (
    "learn", "Encoder,Decoder", "MNIST", "strategy=VariationalAutoEncoder", "latentDims=2", "tag=t",
    "clean=true", "maxIterations=1", "seed=1",
)  # fmt: skip
BY_HAND = """
from pathlib import Path
from benchmarks.peers import expert
from benchmarks.gate import Plan
from benchmarks.workloads import WORKLOADS
expert.learn(WORKLOADS["vae"], Path("."), lambda: print("done", flush=True), Plan(0, 1, 1, 2))
"""
LIBRARIES = "import torch, torch._dynamo"  # every optimizer of torch loads the second


def measure(folder: Path) -> str:
    """A table."""
    workspace(folder)
    dianne = [sys.executable, "-m", "dianne"]
    help_, first, hand, libraries = in_turn(
        folder,
        [*dianne, "--help"],
        [*dianne, *JOB],
        [sys.executable, "-c", BY_HAND],
        [sys.executable, "-c", LIBRARIES],
    )
    rows = {
        "`dianne --help`": f"{help_:.2f} s",
        "loading torch and its optimizers": f"{libraries:.2f} s",
        "command to the first iteration of the main job": f"{first:.2f} s",
        "script to the first iteration of the same by hand": f"{hand:.2f} s",
        f"{MODULES:,} modules": thousand_modules(),
        f"{TAGS:,} tags": thousand_tags(folder),
    }
    lines = [f"| {what} | {found} |" for what, found in rows.items()]
    return "\n".join(
        ["## Start, size and tags", "", f"Medians of {TIMES}.", "", "| | |", "|---|---|", *lines]
    )


def in_turn(folder: Path, *commands: list[str]) -> list[float]:
    """Seconds until each command has ended, or has written that its first iteration is done."""
    found: list[list[float]] = [[] for _ in commands]
    for _ in range(TIMES):
        for command, times in zip(commands, found, strict=True):
            begin = time.perf_counter()
            running = subprocess.Popen(
                command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=_environment(),
            )  # fmt: skip
            assert running.stdout is not None
            seconds = 0.0
            for line in running.stdout:
                if line.startswith(("iteration 1/", "done")):
                    seconds = time.perf_counter() - begin
            if running.wait():
                raise RuntimeError(f"{command} failed")
            times.append(seconds or time.perf_counter() - begin)
    return [statistics.median(times) for times in found]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


def median_ms(call: object) -> float:
    """Milliseconds of a call."""
    assert callable(call)
    times = []
    for _ in range(TIMES * 4):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def thousand_modules() -> str:
    """A chain of small layers from a file, beside the same in `nn.Sequential`."""
    lines = [f"  m{i}: {{type: Linear, output: 8}}" for i in range(MODULES)]
    text = "\n".join(["modules:", "  x: {type: Input, shape: [8]}", *lines, "  y: {type: Output}", ""])
    begin = time.perf_counter()
    graph = restore(text, "Long", {}, {}, {}).build(seed=1)
    seconds = time.perf_counter() - begin
    hand = nn.Sequential(*(nn.Linear(8, 8) for _ in range(MODULES)))
    x = torch.rand(4, 8)
    ratio = median_ms(lambda: graph(x)) / median_ms(lambda: hand(x))
    return f"read, checked and built in {seconds:.2f} s; forward {ratio:.2f} x that of `nn.Sequential`"


def thousand_tags(folder: Path) -> str:
    """Tags of one small network."""
    store = workspace(folder).store
    text = "modules:\n  x: {type: Input, shape: [2]}\n  y: {type: Output}\n"
    begin = time.perf_counter()
    for i in range(TAGS):
        store.put(f"tag{i}", Manifest("Small", text, {}), {"w": torch.tensor([float(i)])})
    stored = (time.perf_counter() - begin) / TAGS * 1000
    begin = time.perf_counter()
    store.tags("Small")
    return f"{stored:.1f} ms to store one; all listed in {time.perf_counter() - begin:.2f} s"
