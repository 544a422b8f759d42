"""A job of dianne, with all that a job does: checks, reports, its record, good weights, stored weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload, workspace
from dianne.jobs.learn import LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun


class Watcher(LearnWatcher):
    def __init__(self, gate: Gate):
        self.gate = gate

    def tick(self, *_: Any) -> None:
        self.gate()


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan, **options: Any) -> list[nn.Module]:
    given = {"tag": "t", "seed": 1, "batchSize": workload.batch, "maxIterations": plan.total}
    job = prepare(
        workspace(folder).folder,
        workload.networks,
        workload.dataset,
        {**given, **workload.options, **options},
    )
    run = LearnRun(job, Watcher(gate))
    run.run()
    return list(run.learning.values())
