"""What grows with networks, data, tags and jobs, and what a deployed network costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import jobs
from benchmarks.workloads import WORKLOADS, perceptron, workspace
from dianne.data.sampling import Sampler
from dianne.network.resolve import restore
from dianne.store import Manifest

MODULES = 1000
ROWS = 10_000_000
TAGS = 1000
JOBS = 10_000
TIMES = 20


def measure(folder: Path) -> str:
    """A table."""
    rows = {
        "a deployed Decoder": deployed(folder),
        f"a network of {MODULES:,} modules": modules(),
        f"a dataset of {ROWS:,} rows": rows_of_data(folder),
        f"{TAGS:,} tags": tags(folder),
        f"{JOBS:,} jobs": many_jobs(folder),
    }
    lines = [f"| {what} | {found} |" for what, found in rows.items()]
    return "\n".join(["## Size", "", f"Medians of {TIMES}.", "", "| | |", "|---|---|", *lines])


def ms(call: Callable[[], object]) -> float:
    """Milliseconds of a call."""
    times = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def deployed(folder: Path) -> str:
    """One image and a batch of a deployed network, beside the same in `nn.Sequential`."""
    space = workspace(folder)
    job = WORKLOADS["vae"]
    space.learn(job.networks, job.dataset, tag="t", maxIterations=1, seed=1, **job.options)
    network = space.deploy("Decoder", tag="t").module
    hand = nn.Sequential(*perceptron(2, 512, 512, 512, 784), nn.Sigmoid()).eval()
    found = []
    with torch.inference_mode():
        for batch in (1, 128):
            x = torch.randn(batch, 2)
            own, theirs = ms(lambda x=x: network(x)), ms(lambda x=x: hand(x))  # type: ignore[misc]
            found.append(
                f"{batch} at once in {own:.2f} ms, {batch / own:.0f} a ms ({own / theirs:.2f} x by hand)"
            )
    return "; ".join(found)


def modules() -> str:
    """A chain of small layers from a file, beside the same in `nn.Sequential`."""
    lines = [f"  m{i}: {{type: Linear, output: 8}}" for i in range(MODULES)]
    text = "\n".join(["modules:", "  x: {type: Input, shape: [8]}", *lines, "  y: {type: Output}", ""])
    begin = time.perf_counter()
    graph = restore(text, "Long", {}, {}, {}).build(seed=1)
    seconds = time.perf_counter() - begin
    hand = nn.Sequential(*(nn.Linear(8, 8) for _ in range(MODULES)))
    x = torch.rand(4, 8)
    ratio = ms(lambda: graph(x)) / ms(lambda: hand(x))
    return f"read, checked and built in {seconds:.2f} s; forward {ratio:.2f} x that of `nn.Sequential`"


def rows_of_data(folder: Path) -> str:
    """Rows of 8 numbers in a file of numpy's: until they are open, and batches of 128, shuffled."""
    space = workspace(folder)
    np.save(folder / "datasets" / "rows.npy", np.zeros((ROWS, 8), np.float32))
    (folder / "datasets" / "Rows.yaml").write_text("{type: Numpy, inputs: [rows.npy]}\n")
    plain = torch.from_numpy(np.load(folder / "datasets" / "rows.npy"))
    begin = time.perf_counter()
    dataset = space.dataset("Rows")
    opened = time.perf_counter() - begin
    sampler = Sampler(dataset, 128, "UNIFORM", seed=1)
    own = ms(lambda: next(sampler))
    theirs = ms(lambda: plain.index_select(0, torch.randint(ROWS, (128,))))
    return f"open after {opened:.2f} s; a batch of 128 in {own:.3f} ms ({theirs:.3f} ms from one tensor)"


def tags(folder: Path) -> str:
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


def many_jobs(folder: Path) -> str:
    """Finished jobs in the database."""
    space = workspace(folder)
    jobs.fill(space.folder, JOBS, points=20)
    return f"`dianne jobs` in {jobs.seconds('jobs', folder)[0]:.2f} s"
