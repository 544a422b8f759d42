"""The main job on a CUDA device, beside a loop by hand on the same device."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from benchmarks.workloads import WORKLOADS, workspace

ITERATIONS = 5000
TIMES = 3
FASTER, SECONDS = 8.0, 1.5  # what is wanted: so many times, and in so many seconds


def measure(folder: Path, device: str = "cuda", iterations: int = ITERATIONS) -> str:
    """A table, or a line that says why there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        return "## GPU\n\nNot measured: torch finds no CUDA device on this machine."
    ways = {
        "a loop by hand, data on the device": lambda: by_hand(folder, device, iterations),
        "dianne, `capture=never`": lambda: ours(folder, device, iterations, "never"),
        "dianne": lambda: ours(folder, device, iterations, "auto"),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(TIMES):
        for way, learn in ways.items():
            found[way].append(learn())
    seconds = {way: statistics.median(times) for way, times in found.items()}
    first, *_, last = seconds.values()
    rows = [f"| {way} | {one:.2f} s | {one / last:.2f} |" for way, one in seconds.items()]
    reached = "reached" if first / last >= FASTER and last < SECONDS else "missed"
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return "\n".join([
        "## GPU", "", f"{iterations:,} iterations of the main job on {name}; medians of {TIMES}.", "",
        "| | seconds | times as long |", "|---|---|---|", *rows, "",
        f"* {FASTER:g} x a loop by hand, under {SECONDS} s: {first / last:.2f} x, {last:.2f} s, {reached}",
    ])  # fmt: skip


def by_hand(folder: Path, device: str, iterations: int) -> float:
    """Seconds of the loop that a careful user would write."""
    workload = WORKLOADS["vae"]
    networks = [network.to(device) for network in workload.build()]
    inputs = workload.data(folder, "train").inputs.to(device)
    (loss, _), *_ = workload.updates(networks)
    optimizer = torch.optim.Adam([w for network in networks for w in network.parameters()], lr=workload.rate)
    begin = time.perf_counter()
    for _ in range(iterations):
        x = inputs[torch.randint(len(inputs), (workload.batch,), device=device)]
        optimizer.zero_grad()
        found = loss(x, x)
        found.backward()
        optimizer.step()
    float(found.detach())  # waits for the device
    return time.perf_counter() - begin


def ours(folder: Path, device: str, iterations: int, capture: str) -> float:
    """Seconds of the job from its first iteration to its last, what it stores included."""
    workload = WORKLOADS["vae"]
    options = {**workload.options, "device": device, "capture": capture, "maxIterations": iterations}
    result = workspace(folder).learn(workload.networks, workload.dataset, tag="gpu", clean=True, **options)
    return result.seconds
