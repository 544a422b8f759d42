"""Schedules: how the size of a step changes while a network learns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any

from pydantic import Field

from dianne import options as declare
from dianne.options import Choice, NonNegativeInt, PositiveInt, Probability
from dianne.registry import Registry


class Schedule(ABC):
    """A factor on the learning rate for every iteration."""

    class Options(declare.Options):
        """What every schedule has."""

        warmup: NonNegativeInt = 0
        """Iterations in which the learning rate grows linearly to its full size, before the schedule."""

    @classmethod
    def factor(cls, iteration: int, total: int, options: Any) -> float:
        """The factor in an iteration.

        Args:
            iteration: from 0.
            total: iterations of the job.
            options: of the class `Options`.

        Returns:
            0 to 1.
        """
        if iteration < options.warmup:
            return float((iteration + 1) / options.warmup)
        return cls.after_warmup(iteration - options.warmup, max(total - options.warmup, 1), options)

    @staticmethod
    @abstractmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:
        """As `factor`, counted from the end of the warm-up."""


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")
ScheduleName = Annotated[str, Choice(SCHEDULES)]


class _Falling(Schedule.Options):
    """Where a schedule ends."""

    min_factor: Probability = 0.0
    """The factor on the learning rate at the end of the job."""


@SCHEDULES.register("CONSTANT")
class Constant(Schedule):
    """The same size always."""

    @staticmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:  # noqa: ARG004
        """1."""
        return 1.0


@SCHEDULES.register("COSINE")
class Cosine(Schedule):
    """Half a cosine from 1 to minFactor: Loshchilov and Hutter (2017), arXiv:1608.03983."""

    Options = _Falling

    @staticmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:
        """From 1 down: minFactor + (1 - minFactor) (1 + cos(pi t / T)) / 2."""
        low: float = options.min_factor
        return low + (1 - low) * (1 + math.cos(math.pi * min(iteration / total, 1.0))) / 2


@SCHEDULES.register("LINEAR")
class Linear(Schedule):
    """A straight line from 1 to minFactor."""

    Options = _Falling

    @staticmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:
        """1 - (1 - minFactor) t / T."""
        return 1 - (1 - float(options.min_factor)) * min(iteration / total, 1.0)


@SCHEDULES.register("STEP")
class Step(Schedule):
    """Falls by a factor after every so many iterations."""

    class Options(Schedule.Options):
        """When, and how far."""

        step_interval: PositiveInt = 1000
        """Iterations between falls."""
        step_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
        """What is left of the learning rate after each."""

    @staticmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:  # noqa: ARG004
        """In stairs: stepFactor to the power of floor(t / stepInterval)."""
        return float(options.step_factor ** (iteration // options.step_interval))


@SCHEDULES.register("EXPONENTIAL")
class Exponential(Schedule):
    """Halves after every so many iterations, smoothly."""

    class Options(Schedule.Options):
        """How fast."""

        half_life: PositiveInt = 1000
        """Iterations in which the learning rate falls to its half."""

    @staticmethod
    def after_warmup(iteration: int, total: int, options: Any) -> float:  # noqa: ARG004
        """2 to the power of -t / halfLife."""
        return float(0.5 ** (iteration / options.half_life))
