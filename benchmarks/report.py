"""What was measured, as a page."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from benchmarks.gate import Plan
from benchmarks.workloads import Workload

LIBRARIES = ("torch", "lightning", "pythae", "keras", "jax")


def machine(threads: int, clock: str) -> str:
    """Where and when."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    special = ", ".join(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags)
    versions = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"# Results\n\n{day}. {model}, {os.cpu_count()} cores ({special}); {threads} threads, {clock} time. "
        f"Python {platform.python_version()}, {versions}. Load average at the start: {load}.\n\n"
        "Made by `python -m benchmarks out=benchmarks/RESULTS.md`. All peers of a table learn the same "
        "networks from the same data, in turns of a few iterations, each in a process of its own. "
        "`x dianne`: how many times as long as dianne it took in the same round, median and range over the "
        "rounds; above 1 is slower."
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def workload(
    load: Workload, plan: Plan, times: dict[str, list[float]], results: dict[str, dict[str, Any]]
) -> str:
    """A table."""
    ours = times["dianne"]
    average = os.getloadavg()[0]
    lines = [
        f"## {load.name}: {load.networks} on {load.dataset}, batches of {load.batch}",
        "",
        f"{plan.rounds} rounds of {plan.chunk} iterations; load average {average:.1f}.",
        "",
        "| | ms per iteration | x dianne | range | test loss | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for peer, found in times.items():
        ratios = [theirs / own for theirs, own in zip(found, ours, strict=True)]
        loss = results[peer]["loss"]
        lines.append(
            f"| {peer} | {statistics.median(found):.2f} | {statistics.median(ratios):.2f} | "
            f"{min(ratios):.2f} to {max(ratios):.2f} | {'' if loss is None else f'{loss:.4g}'} | "
            f"{results[peer]['memory']:.0f} MB |"
        )
    return "\n".join([*lines, "", *goals(load, times)])


def goals(load: Workload, times: dict[str, list[float]]) -> list[str]:
    """What was wanted, and whether it was reached: how many times as long as ours the others take."""
    libraries = [peer for peer in load.peers if peer in times]
    best = min(libraries, key=lambda peer: statistics.median(times[peer]), default="")
    wanted = [("dianne", "by hand", 1.1), ("dianne", best, 1.8)]
    if load.name == "vae":
        lower = [peer for peer in ("dianne medium", "dianne bf16") if peer in times]
        wanted[0] = ("dianne", "by hand", 1.4)
        wanted += [("dianne", "expert", 1.0)]
        if lower:
            wanted.append((min(lower, key=lambda peer: statistics.median(times[peer])), "by hand", 2.8))
    lines = []
    for ours, peer, goal in wanted:
        if peer in times:
            found = statistics.median(b / a for a, b in zip(times[ours], times[peer], strict=True))
            verdict = "reached" if found >= goal else f"missed by {1 - found / goal:.0%}"
            lines.append(f"* {peer} at least {goal} x as long as {ours}: {found:.2f}, {verdict}")
    return lines
