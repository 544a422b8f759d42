"""Results as tables."""

from __future__ import annotations

from dianne.cli.console import row, show, show_json, show_table, table
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
