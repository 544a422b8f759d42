"""Jobs that are killed again and again end with the same bits as those that never were."""

import random

import pytest
from killing import bits, learn_until_done, workspace_in

OWN = '''
import copy
import random
from collections import deque

import numpy as np
import torch

from dianne import GradientOptions, LearningStrategy, LearnProgress


class OwnLearningStrategy(LearningStrategy):
    """Keeps all kinds of things, and lets every one of them decide."""

    Options = GradientOptions

    def setup(self, job):
        (self.network,) = job.networks
        self.batches, self.criterion, self.draws = job.batches, job.criterion(), job.noise
        self.weights = list(self.network.parameters())
        self.shadow = copy.deepcopy(self.network).requires_grad_(False)
        self.temperature = torch.nn.Parameter(torch.ones(1))
        self.own = torch.optim.Adam([self.temperature], lr=0.01)
        self.rate = torch.optim.lr_scheduler.ExponentialLR(self.own, 0.9)
        self.generator, self.numpy = torch.Generator().manual_seed(3), np.random.default_rng(4)
        self.plain = random.Random(5)
        self.window, self.best, self.seen = deque(maxlen=4), {"loss": (None, -1)}, set()
        self.history = torch.zeros(8)
        self.tail = self.history[4:]  # the same memory
        self.fallen = False
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch):
        noise = torch.randn(batch.input.shape, generator=self.generator) * self.numpy.random()
        noise = noise + random.random() * np.random.rand() * self.plain.random()
        result = self.network(batch.input + 0.1 * noise) / self.temperature.detach()
        with torch.no_grad():
            anchor = self.shadow(batch.input).mean() * len(self.window) + self.history.sum()
        loss = self.criterion(result, batch.target).mean() * (1 + 0.01 * anchor.abs())
        return {"loss": loss * (float("nan") if self.fails else 1)}

    def process_iteration(self, i):
        self.fails = i == 17 and not self.fallen
        self.fallen = self.fallen or self.fails
        terms = self.update(next(self.batches))
        self.own.zero_grad()
        (self.temperature * terms["loss"]).sum().backward()
        self.own.step()
        self.rate.step()
        self.window.append(float(terms["loss"]))
        self.seen.add(i % 5)
        self.tail[i % 4] += sum(self.window) / 1000 + len(self.seen)
        if self.best["loss"][0] is None or terms["loss"] < self.best["loss"][0]:
            self.best["loss"] = (terms["loss"], i)
        if i % 6 == 5:
            self.shadow.load_state_dict(self.network.state_dict())
        with torch.no_grad():
            self.weights[0].add_(1e-3 * self.best["loss"][1] / 40)
        return LearnProgress(i, terms)
'''
SHORT = {"batchSize": 16, "maxIterations": 100, "seed": 1, "checkpointInterval": 0.001, "tag": "t"}
VAE = ("Coder,Painter", "Small", {"strategy": "VariationalAutoEncoder", **SHORT, "betaWarmup": 30})
JOBS = {
    "GAN": ("Painter,Judge", "Small", {"strategy": "GAN", **SHORT}),
    "BPTT": (
        "Reader",
        "Text",
        {"strategy": "BPTT", **SHORT, "carryState": True, "backpropAll": True, "sequenceLength": 3},
    ),
    "augmentation": (
        "Classifier",
        "Small",
        {**SHORT, "hflip": 0.5, "rotation": "-10,10", "encoderNoise": 0.1, "sampling": "PERMUTATION"},
    ),
    "all options": (
        "Classifier",
        "Small",
        {
            **SHORT, "tag": "t,latest", "accumulate": 3, "ema": 0.9, "schedule": "COSINE", "clipNorm": 1,
            "validationSet": "0:60", "validationInterval": 7, "patience": 30, "storeInterval": 9,
            "syncInterval": 5, "minibatchLossThreshold": 0.001,
        },
    ),
    "own strategy": (
        "Classifier", "Small", {"strategy": "Own", **SHORT, "nanRetry": 2, "syncInterval": 6},
    ),
}  # fmt: skip


def deaths(seed: int, count: int) -> list[tuple[str, float]]:
    """Random instants, early ones too: by iteration, by the files that are put in place, by the clock."""
    draws = random.Random(seed)
    kinds = [("iteration", 1, 8), ("step", 1, 9), ("seconds", 0.0, 0.1)]
    chosen = [kinds[place % 3] for place in range(count)]
    return [
        (kind, round(draws.uniform(low, high)) if low else draws.uniform(low, high))
        for kind, low, high in chosen
    ]


def history(workspace) -> dict[str, list[int]]:
    """The iterations of all weights that tags have had."""
    found = {}
    for network in workspace.store.networks():
        for tag, manifest in workspace.store.tags(network).items():
            found[f"{network}:{tag}"] = [manifest.iteration]
            while manifest.parent:
                manifest = workspace.store.read_manifest(manifest.parent)
                found[f"{network}:{tag}"].append(manifest.iteration)
    return found


def compare(tmp_path, job, count, seed=0):
    whole, killed = (workspace_in(tmp_path / name) for name in ("whole", "killed"))
    for workspace in (whole, killed):
        (workspace.folder.root / "strategies").mkdir()
        (workspace.folder.root / "strategies" / "own.py").write_text(OWN)
    done = f"done after {job[2]['maxIterations']}"
    assert learn_until_done(whole, job, []) == [done]
    ends = learn_until_done(killed, job, deaths(seed, count))
    assert ends[-1] == done
    assert len(ends) > count // 2
    assert bits(killed) == bits(whole)
    assert history(killed) == history(whole)


def test_a_job_killed_at_20_random_instants_in_a_row_gives_the_same_bits(tmp_path):
    networks, dataset, options = VAE
    compare(tmp_path, (networks, dataset, {**options, "maxIterations": 500}), 20)


@pytest.mark.parametrize("name", JOBS)
def test_killed_jobs_of_every_kind_give_the_same_bits(name, tmp_path):
    compare(tmp_path, JOBS[name], 7)
