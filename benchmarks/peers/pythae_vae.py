"""pythae: its VAE with our networks, by its trainer."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import nn

from benchmarks.gate import Gate, Plan
from benchmarks.workloads import Workload


class Encoder(BaseEncoder):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mean, stdev = self.network(x).chunk(2, dim=1)
        return ModelOutput(embedding=mean, log_covariance=2 * (stdev + 1e-6).log())


class Decoder(BaseDecoder):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z).reshape(-1, 1, 28, 28))


class Enough(Exception):  # noqa: N818 - no error
    """All iterations are done."""


class Turn(TrainingCallback):
    def __init__(self, gate: Gate, total: int):
        self.gate, self.left = gate, total

    def on_train_step_end(self, *_: Any, **__: Any) -> None:
        self.gate()
        self.left -= 1
        if not self.left:
            raise Enough


def learn(workload: Workload, folder: Path, gate: Gate, plan: Plan) -> list[nn.Module]:
    logging.disable(logging.INFO)
    torch.manual_seed(1)
    networks = workload.build()
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=2, reconstruction_loss="bce")
    data = workload.data(folder, "train")
    trainer = BaseTrainer(
        VAE(config, Encoder(networks[0]), Decoder(networks[1])),
        train_dataset=BaseDataset(data.inputs, data.targets),
        training_config=BaseTrainerConfig(
            output_dir=str(folder), num_epochs=plan.total, per_device_train_batch_size=workload.batch,
            learning_rate=workload.rate, no_cuda=True, train_dataloader_num_workers=0,
        ),
        callbacks=[Turn(gate, plan.total)],
    )  # fmt: skip
    with suppress(Enough):
        trainer.train()
    return networks
