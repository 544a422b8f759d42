"""How far the losses of every strategy are from the exact ones, compiled and in less precision.

    python -m benchmarks.same [iterations=200] [NAME ...]

Each strategy learns what its example says, in batches of 32. The table shows the largest difference of a
term, as a share of the loss where that is above 1: over the first 20 iterations, and over all of them.
Differences of rounding grow while networks learn, those of networks that learn against each other most.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.workloads import workspace
from dianne import Workspace
from dianne.plugins import LEARNING, find, strategies

MODES = {
    "again": {}, "compiled": {"compile": "always"}, "medium": {"precision": "medium"},
    "bf16": {"precision": "bf16"},
}  # fmt: skip
FIRST = 20
Terms = list[dict[str, float]]


def learn(space: Workspace, name: str, iterations: int, **options: Any) -> Terms:
    """The terms of every iteration."""
    example = dict(vars(find(space.folder, name, LEARNING))["example"])
    networks, dataset = example.pop("networks"), example.pop("dataset")
    given = {"tag": "t", "seed": 1, "batchSize": 32, "traceInterval": 1, "clean": True, **example, **options}
    result = space.learn(networks, dataset, strategy=name, maxIterations=iterations, **given)
    return [report.terms for report in result.history]


def furthest(exact: Terms, found: Terms) -> float:
    """The largest difference between terms, as a share of the loss where that is above 1."""
    return max(
        abs(value - other[key]) / max(1.0, abs(one["loss"]))
        for one, other in zip(exact, found, strict=True)
        for key, value in one.items()
    )


def main() -> None:
    """Print a table, a row as soon as it is known."""
    iterations = int(next((w.partition("=")[2] for w in sys.argv[1:] if w.startswith("iterations=")), 200))
    chosen = [word for word in sys.argv[1:] if "=" not in word]
    print(f"| strategy, {FIRST} and {iterations} iterations | {' | '.join(MODES)} |")
    print(f"|---|{'---|' * len(MODES)}")
    with tempfile.TemporaryDirectory() as folder:
        space = workspace(Path(folder))
        space.learn("LeNet5", "MNIST", tag="lenet5", maxIterations=1, seed=1)  # the target of an example
        learners = [name for name in sorted(strategies(space.folder)) if name.endswith(LEARNING)]
        for name in chosen or learners:
            exact = learn(space, name, iterations)
            cells = []
            for options in MODES.values():
                found = learn(space, name, iterations, **options)
                first, all_ = furthest(exact[:FIRST], found[:FIRST]), furthest(exact, found)
                cells.append(f"{first:.0e}, {all_:.0e}")
            print(f"| {name.removesuffix(LEARNING)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
