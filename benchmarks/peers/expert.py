"""The loop of somebody who knows: data in memory, no loader, fused Adam."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan) -> list[nn.Module]:
    torch.manual_seed(1)
    networks = workload.build()
    data = workload.data(folder, "train")
    updates = []
    for loss, trained in workload.updates(networks):
        weights = [w for i in trained for w in networks[i].parameters()]
        updates.append((loss, torch.optim.Adam(weights, lr=workload.rate, fused=True)))
    for _ in range(plan.total):
        x, y = data.batch(torch.randint(len(data), (workload.batch,)))
        for loss, optimizer in updates:
            optimizer.zero_grad(set_to_none=True)
            loss(x, y).backward()
            optimizer.step()
        gate()
    return networks
