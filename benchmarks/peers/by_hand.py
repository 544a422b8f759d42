"""The loop of a tutorial: DataLoader, zero_grad, backward, step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan) -> list[nn.Module]:
    torch.manual_seed(1)
    networks = workload.build()
    data: Any = workload.data(folder, "train")
    loader = DataLoader(data, batch_size=workload.batch, shuffle=True, drop_last=True)
    updates = [
        (loss, torch.optim.Adam([w for i in trained for w in networks[i].parameters()], lr=workload.rate))
        for loss, trained in workload.updates(networks)
    ]
    done = 0
    while True:
        for x, y in loader:
            for loss, optimizer in updates:
                optimizer.zero_grad()
                loss(x, y).backward()
                optimizer.step()
            gate()
            done += 1
            if done == plan.total:
                return networks
