"""Updates: how a loss becomes a change of weights. All that makes it fast belongs here, not in strategies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from dianne.criteria import at_hand
from dianne.errors import DianneError, UsageError
from dianne.learning.capture import Capture
from dianne.learning.execution import Execution
from dianne.learning.strategy import LossFunction, Terms
from dianne.learning.trainer import Trainer


class DivergedError(DianneError):
    """A loss is no finite number; the weights were not changed after it."""


class Update:
    """A loss and the networks that it trains.

    Args:
        loss: gives terms, of which "loss" is the scalar to minimise.
        trainers: one for each network; two updates may share one.
        accumulate: calls whose gradients are averaged before the weights change.
        execution: how it is computed.
        networks: all that the loss may use.
    """

    def __init__(
        self,
        loss: LossFunction,
        trainers: Iterable[Trainer],
        accumulate: int = 1,
        execution: Execution | None = None,
        networks: tuple[nn.Module, ...] = (),
    ):
        self.loss = loss
        self.trainers = list(trainers)
        self.accumulate = accumulate
        self.execution = execution or Execution()
        self.scaler = self.execution.scaler()
        self.weights = [weight for trainer in self.trainers for weight in trainer.weights]
        self.calls = 0
        self.arguments: tuple[Any, ...] = ()  # of the last call, to find what made a loss infinite
        self.capture: Capture | None = None
        if self.execution.captures and accumulate == 1 and not self.scaler:
            self.capture = Capture(self.change, loss, self.trainers, networks, self.execution)

    def __call__(self, *arguments: Any) -> Terms:
        """Compute the loss and change the weights; gives the terms back, detached.

        Raises:
            DivergedError: a term is not finite; no weight was changed.
        """
        self.arguments = arguments
        if self.capture and (terms := self.capture(arguments)):
            self.calls += 1
            return terms
        compute = self.compute_or_give_up if self.execution.compiling.on else self.compute
        terms = compute(arguments)
        self.calls += 1
        if self.calls % self.accumulate == 0:
            self.step()
        return {name: term.detach() for name, term in terms.items()}

    def change(self, arguments: tuple[Any, ...]) -> Terms:
        """A whole call of an update that adds up no gradients."""
        terms = self.compute(arguments)
        self.step()
        return {name: term.detach() for name, term in terms.items()}

    def compute_or_give_up(self, arguments: tuple[Any, ...]) -> Terms:
        """`compute`; once more, with the same random numbers, where networks cannot be compiled."""
        put_back = self.execution.remember()
        try:
            return self.compute(arguments)
        except RuntimeError as error:
            if not self.execution.compiling.give_up(error):
                raise
        put_back()
        return self.compute(arguments)

    def compute(self, arguments: tuple[Any, ...]) -> Terms:
        """The terms, once they are known to be finite; the weights have their gradients."""
        terms = checked_terms(self.loss(*arguments))
        refuse_infinite(terms)
        self.differentiate(terms["loss"])
        return terms

    def differentiate(self, loss: Tensor) -> None:
        """Add to the gradients of the weights, and to no others: those of a discriminator that helps, say."""
        if self.calls % self.accumulate == 0:
            for weight in self.weights:
                weight.grad = None
        if not self.weights:
            return
        if self.accumulate > 1:
            loss = loss / self.accumulate
        if self.scaler:
            loss = self.scaler.scale(loss)
        loss.backward(inputs=self.weights)  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Change the weights by their gradients."""
        for trainer in self.trainers:
            trainer.step(self.scaler)
        if self.scaler and self.trainers:
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The number of calls, the gradients while they are being added up, and the scale of fp16."""
        waiting = self.calls % self.accumulate != 0
        return {
            "calls": self.calls,
            "gradients": [weight.grad for weight in self.weights] if waiting else [],
            "scaler": self.scaler.state_dict() if self.scaler else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the update whose state it is would."""
        self.calls = state["calls"]
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        for weight, gradient in zip(self.weights, state["gradients"], strict=False):
            weight.grad = None if gradient is None else gradient.to(weight.device)


def refuse_infinite(terms: Terms, wait: bool = False) -> None:
    """Raise `DivergedError` if a term is no finite number.

    Terms on another device than the CPU are left alone, unless it may `wait` for that device.
    """
    for name, term in terms.items():
        if (wait or at_hand(term)) and not math.isfinite(value := term.item()):
            what = "the loss" if name == "loss" else f"the term '{name}' of the loss"
            raise DivergedError(f"{what} is {value}")


def checked_terms(terms: object) -> Terms:
    """The terms that a loss function gave, if they are what the contract asks for.

    Raises:
        UsageError: there is no scalar tensor "loss", or a term is no scalar.
    """
    if not isinstance(terms, dict) or "loss" not in terms:
        found = type(terms).__name__
        if isinstance(terms, dict):
            found = f"the keys {', '.join(terms)}" if terms else "an empty dict"
        raise UsageError(f"a strategy's loss must return a dict with the key 'loss', found {found}")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.dim():
            found = f"shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise UsageError(f"the term '{name}' of a strategy's loss must be a scalar tensor, found {found}")
    return terms
