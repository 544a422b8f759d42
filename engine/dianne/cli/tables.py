"""Results as tables."""

from __future__ import annotations

from torch import Tensor

from dianne.cli.console import row, show, show_json, show_table, table
from dianne.evaluation.strategy import Evaluation
from dianne.jobs.learn import LearnResult
from dianne.jobs.trial import Trial
from dianne.network.network import Network


def show_network(network: Network, as_json: bool) -> None:
    """Modules, shapes and weights."""
    rows = network.rows()
    if as_json:
        show_json({
            "name": network.name, "parameters": network.parameters,
            "modules": [
                {"name": r.module, "type": r.type, "after": r.after, "shape": r.shape, "weights": r.weights}
                for r in rows
            ],
        })  # fmt: skip
        return
    show(f"{network.name}: {network.file.description}" if network.file.description else network.name)
    if network.parameters:
        show("  ".join(f"{key}={value}" for key, value in network.parameters.items()))
    show("")
    made = table("module", "type", "after", "shape", "weights", right=("weights",))
    for r in rows:
        row(made, r.module, r.type, ", ".join(r.after), list(r.shape), f"{r.weights:,}" if r.weights else "")
    row(made, "total", "", "", "", f"{sum(r.weights for r in rows):,}")
    show_table(made)


def show_evaluation(found: Evaluation, as_json: bool) -> None:
    """Metrics, and all confusions of a classification."""
    if as_json:
        entries = {
            "strategy": found.strategy, "size": found.size, "metrics": found.metrics,
            "seconds": round(found.seconds, 3), "secondsPerSample": found.seconds / found.size,
        }  # fmt: skip
        if found.outputs is not None:
            entries["outputs"] = found.outputs.tolist()
        if found.stored:
            entries["stored"] = found.stored
        if found.confusion:
            entries |= {"confusionMatrix": found.confusion, "labels": found.labels}
        show_json(entries)
        return
    made = table("metric", "value", right=("value",))
    for name, value in found.metrics.items():
        share = found.confusion is not None
        row(made, name, f"{value:.2%}" if share else f"{value:.4f}")
    show_table(made)
    if found.confusion and found.labels:
        show("")
        columns = [str(label) for label in found.labels]
        made = table("true \\ found", *columns, right=tuple(columns))
        for label, counts in zip(columns, found.confusion, strict=True):
            row(made, label, *(count or "·" for count in counts))
        show_table(made)
    if found.outputs is not None:
        show("")
        show_results(found.outputs)
    each = found.seconds / found.size * 1e6
    show(f"\n{found.size:,} samples in {found.seconds:.1f} s ({each:.0f} µs each)")
    if found.stored:
        show(f"kept under {found.stored}")


def show_trial(trial: Trial, as_json: bool) -> None:
    """What was looked at, and what was wrong."""
    if as_json:
        show_json({
            "strategy": trial.strategy, "networks": trial.networks, "samples": trial.samples,
            "fine": trial.fine, "checks": trial.checks,
        })  # fmt: skip
        return
    networks = ", ".join(f"{name} ({role})" for role, name in trial.networks.items())
    show(f"{trial.strategy} with {networks}, on made-up samples of {trial.samples}\n")
    for check, faults in trial.checks.items():
        show(f"  {'wrong' if faults else 'fine ':5}  {check}")
        for fault in faults:
            show("         " + fault.replace("\n", "\n         "))


def show_profile(result: LearnResult) -> None:
    """Where the time of a job went, and where its trace is."""
    made = table("part", "share", "ms per iteration", right=("share", "ms per iteration"))
    total = sum(result.profile.values())
    for part, seconds in result.profile.items():
        row(made, part, f"{seconds / total:.1%}", f"{seconds / max(result.iterations, 1) * 1000:.3f}")
    show_table(made)
    show(f"a trace of some iterations: .dianne/jobs/{result.job}/trace.json")


def show_results(results: Tensor) -> None:
    """Each result on a line, shortened."""
    for index, result in enumerate(results):
        values = result.flatten()[:12].tolist()
        more = " …" if result.numel() > 12 else ""
        show(f"[{index}] {list(result.shape)} {' '.join(f'{value:.4g}' for value in values)}{more}")
