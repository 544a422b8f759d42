"""Updates: how a loss becomes a change of weights. All that makes it fast belongs here, not in strategies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, optim

from dianne.errors import DianneError, UsageError
from dianne.learning.strategy import LossFunction, Terms


class DivergedError(DianneError):
    """A loss is no finite number; the weights were not changed after it."""


class Update:
    """A loss and the optimizers of the networks that it trains.

    Args:
        loss: gives terms, of which "loss" is the scalar to minimise.
        optimizers: one for each network; two updates may share one.
    """

    def __init__(self, loss: LossFunction, optimizers: Iterable[optim.Optimizer]):
        self.loss = loss
        self.optimizers = list(optimizers)
        self.arguments: tuple[Any, ...] = ()  # of the last call, to find what made a loss infinite

    def __call__(self, *arguments: Any) -> Terms:
        """Compute the loss and step once; gives the terms back, detached.

        Raises:
            DivergedError: the loss is not finite.
        """
        self.arguments = arguments
        terms = checked_terms(self.loss(*arguments))
        loss = terms["loss"]
        if loss.device.type == "cpu":  # elsewhere reading it would wait for the device; the loop looks then
            refuse_infinite(float(loss.detach()))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        return {name: term.detach() for name, term in terms.items()}


def refuse_infinite(loss: float) -> None:
    """Raise `DivergedError` unless the loss is a finite number."""
    if not math.isfinite(loss):
        raise DivergedError(f"the loss is {loss}")


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
