"""How the weights of one network change: method, schedule, limits on its gradient, average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from dianne.learning.methods import Method
from dianne.learning.schedules import Constant, Schedule, ScheduleName
from dianne.options import Options, PositiveFloat


class TrainingOptions(Options):
    """What every network of a job may have in its own way (`Discriminator.clipNorm=1`)."""

    schedule: ScheduleName = "CONSTANT"
    """How the learning rate changes over the job."""
    clip_norm: PositiveFloat | None = None
    """Longest gradient, all weights of the network together; a longer one is shortened to it."""
    clip_value: PositiveFloat | None = None
    """Largest value in a gradient, either way; larger ones are cut."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep a moving average of the weights that forgets so slowly (0.999), stored under TAG@ema."""


class Trainer:
    """Changes the weights of one network.

    Args:
        network: with at least one weight that learns.
        method: and its options.
        schedule: and its options.
        options: limits on the gradient.
        total: iterations of the job.
        captured: whether steps are captured in a graph, which must find the learning rate in memory.
    """

    def __init__(
        self,
        network: nn.Module,
        method: tuple[type[Method], Any],
        schedule: tuple[type[Schedule], Any] = (Constant, Constant.Options()),
        options: TrainingOptions | None = None,
        total: int = 1,
        captured: bool = False,
    ):
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.method, self.method_options = method
        self.schedule, self.schedule_options = schedule
        self.options = options or TrainingOptions()
        self.total = total
        self.captured = captured
        self.share = 1.0  # of the learning rate that is left after retries
        self.begin_again()

    def begin_again(self) -> None:
        """Forget what the method learned about gradients."""
        self.optimizer = self.method.build(self.weights, self.method_options)
        self.rate: float = self.optimizer.param_groups[0]["lr"]
        self._put_rate_in_memory()

    def settings(self) -> list[dict[str, Any]]:
        """The numbers that its steps go by; tensors stand for themselves."""
        groups = self.optimizer.param_groups
        return [{key: value for key, value in group.items() if key != "params"} for group in groups]

    def _put_rate_in_memory(self) -> None:
        """Of the weights' device, where steps are captured and the method can find it there."""
        device = self.weights[0].device
        for group in self.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = self.captured and device.type == "cuda"
            if self.captured and (group.get("fused") or group.get("capturable")):
                group["lr"] = torch.tensor(self.rate, device=device)

    def begin(self, iteration: int) -> None:
        """Set the learning rate of an iteration (from 0)."""
        rate = self.method.rate(self.method_options, iteration) * self.share
        rate *= self.schedule.factor(iteration, self.total, self.schedule_options)
        if rate != self.rate:
            self.rate = rate
            self.method.set_rate(self.optimizer, self.method_options, rate)

    def step(self, scaler: torch.amp.GradScaler | None = None) -> None:
        """Change the weights once by their gradients, which `scaler` has scaled if there is one."""
        if scaler:
            scaler.unscale_(self.optimizer)
        if self.options.clip_value:
            nn.utils.clip_grad_value_(self.weights, self.options.clip_value)
        if self.options.clip_norm:
            norm = nn.utils.get_total_norm(w.grad for w in self.weights if w.grad is not None)
            norm = norm.nan_to_num(nan=0.0, posinf=0.0)  # bad values stay where they are, to be found
            nn.utils.clip_grads_with_norm_(self.weights, self.options.clip_norm, norm)
        if scaler:
            scaler.step(self.optimizer)  # not by gradients that are too large for fp16
        else:
            self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """What decides the steps to come, besides weights and gradients."""
        state = self.optimizer.state_dict()
        for group in state["param_groups"]:
            group["lr"] = self.rate  # which may be kept in a tensor
        return {"optimizer": state, "share": self.share, "rate": self.rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the trainer whose state it is would."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.share, self.rate = state["share"], state["rate"]
        self._put_rate_in_memory()


class Average:
    """A moving average of a network's weights (Polyak and Juditsky 1992); it starts quickly.

    average <- average + (1 - d) (weights - average), d = min(decay, (1 + t) / (10 + t)) in step t

    Args:
        network: whose weights are averaged; other values (counts, statistics) are taken as they are.
        decay: 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network = network
        self.decay = decay
        self.begin_again()

    def begin_again(self) -> None:
        """Start from the weights as they are."""
        self.steps = 0
        self.learned: list[Tensor] = list(self.network.parameters())
        self.averages = [weight.detach().clone() for weight in self.learned]

    def step(self) -> None:
        """Take in the weights after an iteration."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        if not self.learned:
            return
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, self.learned, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """The averages, and of how many steps."""
        return {"steps": self.steps, "averages": self.averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the average whose state it is would."""
        self.steps = state["steps"]
        for own, value in zip(self.averages, state["averages"], strict=True):
            own.copy_(value)

    def put_in(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by name, with averages for those that learn."""
        named = dict(zip((name for name, _ in self.network.named_parameters()), self.averages, strict=True))
        return {name: named[name].cpu().clone() if name in named else w for name, w in weights.items()}
