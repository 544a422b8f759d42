"""What jobs found, for people; from what they say to machines, so that it can be shown again later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dianne.cli.console import row, say, show, show_table, table


def show_learned(found: Mapping[str, Any]) -> None:
    """What a learn job stored."""
    if found["stopped"]:
        say(f"stopped by {found['stopped']}")
    done, seconds = found["iterations"], found["seconds"]
    if done:
        stored = " and ".join(f"{name}:{found['tag']}" for name in found["networks"])
        took = f"{done:,} iterations in {seconds:.1f} s, {seconds / done * 1000:.1f} ms each"
        show(f"stored {stored} after {took}")
        show("  ".join(f"{name} {value:.5g}" for name, value in found["loss"].items()))
    if found.get("profile"):
        _show_profile(found["job"], found["profile"], done)


def _show_profile(job: str, profile: Mapping[str, float], iterations: int) -> None:
    """Where the time of a job went, and where its trace is."""
    made = table("part", "share", "ms per iteration", right=("share", "ms per iteration"))
    total = sum(profile.values())
    for part, seconds in profile.items():
        row(made, part, f"{seconds / total:.1%}", f"{seconds / max(iterations, 1) * 1000:.3f}")
    show("")
    show_table(made)
    show(f"a trace of some iterations: .dianne/jobs/{job}/trace.json")


def show_evaluation(found: Mapping[str, Any]) -> None:
    """Metrics, and all confusions of a classification."""
    confusion, labels = found.get("confusionMatrix"), found.get("labels")
    made = table("metric", "value", right=("value",))
    for name, value in found["metrics"].items():
        row(made, name, f"{value:.2%}" if confusion is not None else f"{value:.4f}")
    show_table(made)
    if confusion and labels:
        show("")
        columns = [str(label) for label in labels]
        made = table("true \\ found", *columns, right=tuple(columns))
        for label, counts in zip(columns, confusion, strict=True):
            row(made, label, *(count or "·" for count in counts))
        show_table(made)
    if "outputs" in found:
        show("")
        show_results(found["outputs"])
    each = found["secondsPerSample"] * 1e6
    show(f"\n{found['size']:,} samples in {found['seconds']:.1f} s ({each:.0f} µs each)")
    if "stored" in found:
        show(f"kept under {found['stored']}")


def show_results(results: Any) -> None:
    """Each of (b, ...) results on a line, shortened."""
    import numpy as np

    for index, result in enumerate(np.asarray(results)):
        values = result.flatten()[:12].tolist()
        more = " …" if result.size > 12 else ""
        show(f"[{index}] {list(result.shape)} {' '.join(f'{value:.4g}' for value in values)}{more}")
