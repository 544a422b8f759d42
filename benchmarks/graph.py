"""What a network from a file costs beside the same module written by hand.

    python -m benchmarks.graph

Both run in turns in one process (file, hand, hand, file), so that whatever else the machine does hits both.
The table shows medians over many rounds, and the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from dianne import Workspace
from dianne.network.resolve import restore

ROUNDS = 200
SECONDS = 0.002  # of one of the four parts of a round
LONGEST = 15.0  # seconds for all rounds
FORK = """
modules:
  x: {type: Input, shape: [64]}
  a: {type: Linear, output: 64}
  left: {type: ReLU}
  b: {type: Linear, output: 64, after: x}
  right: {type: Tanh}
  sum: {type: Accumulate, after: [left, right]}
  c: {type: Linear, output: 10}
  y: {type: Output}
"""


class Gaussian(nn.Module):
    """Means as they are, deviations through SoftPlus."""

    def forward(self, x: Tensor) -> Tensor:
        mean, stdev = x.chunk(2, dim=-1)
        return torch.cat((mean, functional.softplus(stdev)), dim=-1)


class Fork(nn.Module):
    """The network FORK."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.left, self.right = nn.ReLU(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.left(self.a(x)) + self.right(self.b(x)))  # type: ignore[no-any-return]


def by_hand() -> dict[str, nn.Module]:
    """The same networks in plain torch, by name; their weights in the same order."""
    hidden = [layer for _ in range(3) for layer in (nn.Linear(512, 512), nn.ReLU())]
    hidden[0] = nn.Linear(784, 512)
    return {
        "MLP": nn.Sequential(
            nn.Flatten(), nn.Linear(784, 50), nn.Sigmoid(), nn.Linear(50, 10), nn.LogSoftmax(1)
        ),
        "Encoder": nn.Sequential(nn.Flatten(), *hidden, nn.Linear(512, 4), Gaussian()),
        "LeNet5": nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(), nn.Linear(1024, 10), nn.LogSoftmax(1),
        ),
        "Fork": Fork(),
    }  # fmt: skip


def pairs() -> Iterator[tuple[str, nn.Module, nn.Module, tuple[int, ...]]]:
    """Name, network from a file, module by hand with the same weights, and shape of a sample."""
    for name, hand in by_hand().items():
        network = restore(FORK, name, {}, {}, {}) if name == "Fork" else Workspace().describe(name)
        graph = network.build(seed=1).eval()
        with torch.no_grad():
            for own, weight in zip(hand.parameters(), graph.parameters(), strict=True):
                own.copy_(weight)
        yield name, graph, hand.eval(), next(iter(network.inputs.values()))


def seconds(call: Callable[[], object], times: int) -> float:
    """Seconds for one call, from so many in a row."""
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times


def compare(graph: nn.Module, hand: nn.Module, x: Tensor) -> tuple[float, float, float]:
    """Median seconds of graph and hand, and the median ratio of rounds next to each other."""

    def own() -> object:
        return graph(x)

    def theirs() -> object:
        return hand(x)

    for call in (own, theirs):
        seconds(call, 20)
    times = max(1, round(SECONDS / seconds(theirs, 20)))
    rounds: list[tuple[float, float]] = []
    begin = time.perf_counter()
    while len(rounds) < ROUNDS and (len(rounds) < 20 or time.perf_counter() - begin < LONGEST):
        first, second, third, fourth = (seconds(call, times) for call in (own, theirs, theirs, own))
        rounds.append(((first + fourth) / 2, (second + third) / 2))
    ratio = statistics.median(a / b for a, b in rounds)
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds), ratio


def main() -> None:
    """Print the table."""
    console = Console()
    threads = torch.get_num_threads()
    table = Table(title=f"forward on {os.cpu_count()} cores ({threads} threads), torch {torch.__version__}")
    for column in ("network", "batch", "from a file", "by hand", "ratio"):
        table.add_column(column, justify="left" if column == "network" else "right")
    with torch.inference_mode():
        for name, graph, hand, shape in pairs():
            for batch in (1, 128):
                x = torch.rand(batch, *shape)
                torch.testing.assert_close(graph(x), hand(x))
                own, theirs, ratio = compare(graph, hand, x)
                cells = (name, str(batch), f"{own * 1e6:,.1f} µs", f"{theirs * 1e6:,.1f} µs", f"{ratio:.3f}")
                table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    main()
