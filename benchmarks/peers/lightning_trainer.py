"""PyTorch Lightning: the same loop by its Trainer, without logging and checkpoints."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload


class Module(lightning.LightningModule):
    """A workload; one with several updates steps by hand, as Lightning's documentation says for GANs."""

    def __init__(self, workload: Workload):
        super().__init__()
        self.networks = nn.ModuleList(workload.build())
        self.updates = workload.updates(list(self.networks))
        self.rate = workload.rate
        self.automatic_optimization = len(self.updates) == 1

    def training_step(self, batch: Any, _: int) -> Any:
        if self.automatic_optimization:
            return self.updates[0][0](*batch)
        optimizers: Any = self.optimizers()
        for (loss, _trained), optimizer in zip(self.updates, optimizers, strict=True):
            self.toggle_optimizer(optimizer)
            optimizer.zero_grad()
            self.manual_backward(loss(*batch))
            optimizer.step()
            self.untoggle_optimizer(optimizer)
        return None

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.Adam([w for i in trained for w in self.networks[i].parameters()], lr=self.rate)
            for _, trained in self.updates
        ]


class Turn(lightning.Callback):
    def __init__(self, gate: Gate):
        self.gate = gate

    def on_train_batch_end(self, *_: Any) -> None:
        self.gate()


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan) -> list[nn.Module]:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(1)
    module = Module(workload)
    data: Any = workload.data(folder, "train")
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=plan.total * len(module.updates), callbacks=[Turn(gate)], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, batch_size=workload.batch, shuffle=True, drop_last=True))
    return list(module.networks)
