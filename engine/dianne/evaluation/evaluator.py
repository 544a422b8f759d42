"""The run of an evaluation strategy over a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import nn

from dianne.criteria import Criterion
from dianne.data.dataset import Dataset
from dianne.evaluation.strategy import Evaluation, EvaluationJob, EvaluationStrategy
from dianne.plugins import user_code
from dianne.seeds import derive, streams


def evaluate(
    strategy: type[EvaluationStrategy],
    networks: tuple[nn.Module, ...],
    options: Any,
    dataset: Dataset,
    seed: int,
    tick: Callable[[int], None] = lambda _: None,
    criterion: Criterion | None = None,
) -> Evaluation:
    """Judge networks on a dataset.

    Args:
        strategy: the class; one object is made.
        networks: in the order of its roles; put back into the mode in which they came.
        options: of the strategy.
        dataset: every sample is used once, in order.
        seed: of everything that is drawn, so that the same evaluation gives the same numbers, and learning
            goes on with its own after it.
        tick: told how many samples are done.
        criterion: the one that the options name, with its own options.
    """
    begin = time.perf_counter()
    dataset = dataset.drawing(derive(seed, "augmentation"), learning=False)
    noise = torch.Generator().manual_seed(derive(seed, "noise"))
    job = EvaluationJob(networks, options, dataset.labels, len(dataset), noise, criterion)
    modes = {module: module.training for network in networks for module in network.modules()}
    for network in networks:
        network.eval()
    try:
        with streams(seed, "evaluation"), torch.inference_mode(), user_code(strategy.__name__):
            judge = strategy()
            judge.batch_size = options.batch_size
            judge.setup(job)
            outputs, done = [], 0
            for batch in judge.batches(dataset):
                output = judge.process_batch(batch)
                if options.include_outputs and output is not None:
                    outputs.append(output)
                done += batch.input.numel() // max(prod(dataset.input_dims), 1)  # sequences hold several
                tick(done)
            result = judge.result()
    finally:
        for module, mode in modes.items():
            module.training = mode
    result.outputs = torch.cat(outputs) if outputs else None
    result.seconds = time.perf_counter() - begin
    result.strategy = strategy.__name__
    return result
