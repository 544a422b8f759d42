"""Learning from sequences: the error goes back through time."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo, field_validator
from torch import Tensor

from dianne import (
    Batch,
    CriterionName,
    Job,
    LearningStrategy,
    LearnProgress,
    MethodName,
    PositiveInt,
    Terms,
    UsageError,
)
from dianne import Options as Declared

State = dict[str, Tensor]


class BPTTLearningStrategy(LearningStrategy):
    """Trains one network that has a state on sequences, back-propagating through time.

    J = (1 / b t) sum_i,k criterion(y_ik, t_ik) over all t steps of b sequences, or over their last ones. The
    gradient goes back to the start of a sequence and no further: what is carried over counts as given
    (truncated back-propagation through time: Werbos 1990; Williams and Peng 1990).

    The network has a Memory, or layers LSTM or GRU; the samples follow each other in time.
    """

    roles = ("network",)
    example = {"networks": "CharLSTM", "dataset": "Shakespeare", "backpropAll": True}
    evaluation = "PerplexityEvaluationStrategy"

    class Options(Declared):
        """Sequences, criterion and method."""

        criterion: CriterionName = "NLL"
        """How far the result of a step is from its target."""
        method: MethodName = "ADAM"
        """How gradients become changes of the weights."""
        batch_size: PositiveInt = 50
        """Sequences in a batch."""
        sequence_length: PositiveInt = 50
        """Steps in a sequence."""
        backprop_all: bool = False
        """Every step has a loss, not only the last one."""
        carry_state: bool = False
        """Sequences go on where those of the batch before ended, and so does the network's state."""
        from_start: bool = False
        """Every sequence starts at the first sample."""

        @field_validator("from_start")
        @classmethod
        def _alone(cls, from_start: bool, info: ValidationInfo) -> bool:
            if from_start and info.data.get("carry_state"):
                raise ValueError("fromStart and carryState exclude each other; give one of them")
            return from_start

    def setup(self, job: Job) -> None:
        """One update of the one network."""
        network: Any
        (network,) = job.networks
        options = job.options
        if not network.stateful:
            raise UsageError(
                f"BPTTLearningStrategy needs a network with a state, but {network.network} has neither a "
                "Memory nor a layer LSTM or GRU in one direction"
            )
        if options.criterion == "NLL" and not job.labels:
            raise UsageError(
                f"criterion NLL needs classes, which {job.dataset.name} does not have; take criterion=MSE"
            )
        self.network, self.criterion = network, job.criterion()
        self.carry, self.every_step = options.carry_state, options.backprop_all
        self.state: State = {}
        self.sequences = job.sequences(options.sequence_length, self.carry, options.from_start)
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch: Batch, state: State | None) -> Terms:
        """The criterion, averaged over the batch and the steps that count."""
        result, after = self.network.unroll(batch.input, state=state)  # (b, time, ...)
        self.state = {name: value.detach() for name, value in after.items()}
        if result.shape[:2] != batch.input.shape[:2]:
            raise UsageError(
                f"{self.network.network} gives results of {list(result.shape[1:])}; BPTTLearningStrategy "
                f"needs one for each of the {batch.input.shape[1]} steps"
            )
        target = batch.target
        if not self.every_step:
            result, target = result[:, -1:], target[:, -1:]
        return {"loss": self.criterion(result.flatten(0, 1), target.flatten(0, 1)).mean()}

    def process_iteration(self, i: int) -> LearnProgress:
        """One batch of sequences, one update."""
        batch = next(self.sequences)
        goes_on = self.carry and not self.sequences.fresh
        return LearnProgress(i, self.update(batch, self.state if goes_on else None))
