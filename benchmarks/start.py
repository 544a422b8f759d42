"""How long it takes until something happens: a command's help, and the first iteration of a job."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.workloads import workspace

TIMES = 5
WANTED = 0.5  # seconds
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
TORCH = "import torch"
READ = """
import time
begin = time.perf_counter()
import gzip, os, pathlib
for path in pathlib.Path(os.environ["DIANNE_DATASETS"], "MNIST").glob("train*"):
    len(gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes())
print(time.perf_counter() - begin)
"""


def measure(folder: Path) -> str:
    """A table."""
    workspace(folder)
    dianne = [sys.executable, "-m", "dianne"]
    help_, torch, first, hand = in_turn(
        folder,
        [*dianne, "--help"],
        [sys.executable, "-c", TORCH],
        [*dianne, *JOB],
        [sys.executable, "-c", BY_HAND],
    )
    read = float(subprocess.run([sys.executable, "-c", READ], capture_output=True, check=True).stdout)
    rows = {
        "`dianne --help`": f"{help_:.2f} s",
        "`import torch`": f"{torch:.2f} s",
        "reading the files of MNIST": f"{read:.2f} s",
        "command to the first iteration of the main job": f"{first:.2f} s",
        "script to the first iteration of the same by hand": f"{hand:.2f} s",
    }
    lines = [f"| {what} | {found} |" for what, found in rows.items()]
    beyond = first - torch - read
    verdict = "reached" if beyond < WANTED else f"missed by {beyond - WANTED:.2f} s"
    goal = f"* under {WANTED} s to the first iteration beyond torch and reading: {beyond:.2f}, {verdict}"
    return "\n".join(["## Start", "", f"Medians of {TIMES}.", "", "| | |", "|---|---|", *lines, "", goal])


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
