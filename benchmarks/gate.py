"""Several peers in turn: each learns in a process of its own, and only one of them runs at a time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS


@dataclass(frozen=True)
class Plan:
    """How a workload is run.

    Attributes:
        warm_up: iterations before anything is timed.
        rounds: how often every peer has its turn.
        chunk: iterations in a turn.
        threads: of every peer.
        cpu: whether seconds of the processor are counted, as is right for one thread on a busy machine.
    """

    warm_up: int
    rounds: int
    chunk: int
    threads: int
    cpu: bool = False

    @property
    def total(self) -> int:
        """Iterations of a peer."""
        return self.warm_up + self.rounds * self.chunk


class Gate:
    """Holds a peer back until it is its turn; a peer calls it after every iteration."""

    def __init__(self, connection: Connection, plan: Plan):
        self.connection = connection
        self.plan = plan
        self.left = plan.warm_up
        self.clock = time.process_time if plan.cpu else time.perf_counter
        self.begin = self.clock()

    def __call__(self) -> None:
        self.left -= 1
        if self.left:
            return
        self.connection.send(self.clock() - self.begin)
        self.connection.recv()
        self.left, self.begin = self.plan.chunk, self.clock()


def work(connection: Connection, peer: str, name: str, plan: Plan, folder: Path) -> None:
    """One peer in its process; sends what its turns took, then how well it did."""
    module, options = PEERS[peer]
    os.environ["KERAS_BACKEND"] = str(options.get("backend", "torch"))
    if plan.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"  # JAX takes all cores otherwise
    import torch

    torch.set_num_threads(plan.threads)
    learn: Any = import_module(f"benchmarks.peers.{module}").learn
    networks = learn(WORKLOADS[name], folder, Gate(connection, plan), plan, **options)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    loss = WORKLOADS[name].test_loss(networks, folder)
    connection.send({"loss": loss, "memory": memory})


class Turns:
    """The processes of some peers.

    Args:
        peers: their names.
        workload: its name.
        plan: of the run.
        folder: a workspace.
    """

    def __init__(self, peers: list[str], workload: str, plan: Plan, folder: Path):
        context = multiprocessing.get_context("spawn")
        self.plan = plan
        self.connections: dict[str, Any] = {}
        self.processes = []
        for peer in peers:
            self.connections[peer], theirs = context.Pipe()
            own = folder / peer.replace(" ", "-")
            own.mkdir(parents=True, exist_ok=True)
            process = context.Process(target=work, args=(theirs, peer, workload, plan, own))
            process.start()
            theirs.close()
            self.processes.append(process)
            try:
                self.connections[peer].recv()  # it has warmed up
            except EOFError:
                print(f"{peer} does not run here; its traceback is above", file=sys.stderr)
                del self.connections[peer]

    def run(self) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
        """Milliseconds of an iteration in every turn, and what became of it, by peer."""
        times: dict[str, list[float]] = {peer: [] for peer in self.connections}
        for _ in range(self.plan.rounds):
            for peer, connection in self.connections.items():
                connection.send(None)
                times[peer].append(connection.recv() / self.plan.chunk * 1000)
        results = {}
        for peer, connection in self.connections.items():
            connection.send(None)
            results[peer] = connection.recv()
        for process in self.processes:
            process.join()
        return times, results
