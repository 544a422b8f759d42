"""Methods: DIANNE's word for optimizers. Each is one of torch.optim under DIANNE's option keys."""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from torch import Tensor, nn, optim

from dianne import options as declare
from dianne.errors import UsageError
from dianne.foreign import arguments_of, options_of, torch_class
from dianne.options import Choice, NonNegativeFloat, PositiveFloat, Probability
from dianne.registry import Registry

_Decay = Annotated[float, Field(ge=0, lt=1)]
_UPPER = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)


class Method(ABC):
    """How gradients become changes of the weights."""

    class Options(declare.Options):
        """What every method has."""

        learning_rate: PositiveFloat = 0.001
        """Size of a step."""
        l2: Probability = 0.0
        """Share of each weight that is taken off in every step (whatever the learning rate)."""

    @staticmethod
    @abstractmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """The optimizer of some weights; options are of the class `Options`."""

    @staticmethod
    def rate(options: Any, iteration: int) -> float:  # noqa: ARG004
        """The size of a step in an iteration (from 0), before any schedule."""
        return float(options.learning_rate)

    @staticmethod
    def set_rate(optimizer: optim.Optimizer, options: Any, rate: float) -> None:  # noqa: ARG004
        """Let the next steps be of another size."""
        for group in optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # in the memory of a device, where a CUDA graph finds it
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


_NOT_THE_USERS = ("lr", "maximize", "foreach", "fused", "capturable", "differentiable")  # lr is learningRate


@functools.cache
def _of_torch(name: str) -> type[Method]:
    """A class of torch.optim as a method; its options are the constructor's arguments.

    Raises:
        UsageError: there is no such class, or it cannot step on one gradient.
    """
    kind = torch_class(name, "torch.optim", optim.Optimizer)
    if inspect.signature(kind.step).parameters["closure"].default is inspect.Parameter.empty:
        raise UsageError(f"{name} computes the loss several times in a step, which a strategy does once")
    if kind is optim.SparseAdam:
        raise UsageError(f"{name} wants sparse gradients, which no module here gives")
    parameters = inspect.signature(kind).parameters

    class Foreign(Method):
        class Base(declare.Options):
            learning_rate: PositiveFloat = parameters["lr"].default
            """Size of a step."""

        Options = options_of(kind, Base, _NOT_THE_USERS)  # type: ignore[assignment]

        @staticmethod
        def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
            try:
                return kind(weights, lr=options.learning_rate, **arguments_of(kind, options))  # type: ignore[no-any-return]
            except (ValueError, TypeError, RuntimeError) as error:
                raise UsageError(f"method={name}: {error}") from error

    return Foreign


METHODS: Registry[type[Method]] = Registry("method", _of_torch)
MethodName = Annotated[str, Choice(METHODS, each_network=True)]


def _shrink(optimizer: optim.Optimizer, l2: float) -> optim.Optimizer:
    """Make an optimizer take the share `l2` off its weights before each of its steps."""
    if l2:

        def before(stepping: optim.Optimizer, *_: Any) -> None:
            with torch.no_grad():
                for group in stepping.param_groups:
                    torch._foreach_mul_(group["params"], 1 - l2)

        optimizer.register_step_pre_hook(before)
    return optimizer


@METHODS.register("SGD")
class StochasticGradientDescent(Method):
    """w <- w - learningRate * (gradient + momentum * what came before) - l2 * w."""

    class Options(Method.Options):
        """SGD's own keys."""

        learning_rate: PositiveFloat = 0.01
        """Size of a step."""
        momentum: _Decay = 0.0
        """Share of the last step that is added to this one."""
        nesterov: _Decay = 0.0
        """Momentum after Nesterov: the gradient is taken where the momentum leads. Excludes momentum."""
        decay_rate: NonNegativeFloat = 0.0
        """How fast the learning rate falls with the iterations."""
        decay_type: Annotated[Literal["EXPONENTIAL", "LINEAR"], _UPPER] = "EXPONENTIAL"
        """EXPONENTIAL: by the factor exp(-decayRate) in each iteration; LINEAR: by decayRate."""
        min_learning_rate: NonNegativeFloat = 0.0
        """Where the fall of the learning rate ends."""

        @field_validator("nesterov")
        @classmethod
        def _alone(cls, nesterov: float, info: ValidationInfo) -> float:
            if nesterov and info.data.get("momentum"):
                raise ValueError("nesterov and momentum exclude each other; give one of them")
            return nesterov

        @field_validator("min_learning_rate")
        @classmethod
        def _below_the_first(cls, low: float, info: ValidationInfo) -> float:
            if low > info.data.get("learning_rate", low):
                raise ValueError(
                    f"expected at most the learningRate {info.data['learning_rate']:g}, found {low:g}"
                )
            return low

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.SGD; its weight_decay is scaled by the learning rate, DIANNE's l2 is not."""
        return optim.SGD(
            weights,
            lr=options.learning_rate,
            momentum=options.nesterov or options.momentum,
            nesterov=options.nesterov > 0,
            weight_decay=options.l2 / options.learning_rate,
            fused=True,
        )

    @staticmethod
    def rate(options: Any, iteration: int) -> float:
        """Falling as `decayRate` says."""
        rate, low, decay = options.learning_rate, options.min_learning_rate, options.decay_rate
        if options.decay_type == "LINEAR":
            return float(max(rate - iteration * decay, low))
        return float(low + (rate - low) * math.exp(-iteration * decay))

    @staticmethod
    def set_rate(optimizer: optim.Optimizer, options: Any, rate: float) -> None:
        """The share that l2 takes off does not follow the rate."""
        Method.set_rate(optimizer, options, rate)
        for group in optimizer.param_groups:
            group["weight_decay"] = options.l2 / max(rate, 1e-30)


@METHODS.register("ADADELTA")
class Adadelta(Method):
    """Steps in the scale of past steps: Zeiler (2012), arXiv:1212.5701."""

    class Options(Method.Options):
        """ADADELTA's own keys."""

        learning_rate: PositiveFloat = 1.0
        """Factor on the step that the method finds itself."""
        decay_rate: _Decay = 0.95
        """How slowly the averages of squares forget."""
        epsilon: PositiveFloat = 1e-8
        """Added to the averages."""

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.Adadelta."""
        optimizer = optim.Adadelta(
            weights, lr=options.learning_rate, rho=options.decay_rate, eps=options.epsilon
        )
        return _shrink(optimizer, options.l2)


@METHODS.register("ADAGRAD")
class Adagrad(Method):
    """Steps divided by the root of the sum of past squares: Duchi et al. (2011), JMLR 12."""

    class Options(Method.Options):
        """ADAGRAD's own keys."""

        learning_rate: PositiveFloat = 0.01
        """Size of a step."""
        epsilon: PositiveFloat = 1e-8
        """Added to the divisor."""

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.Adagrad."""
        optimizer = optim.Adagrad(weights, lr=options.learning_rate, eps=options.epsilon, fused=True)
        return _shrink(optimizer, options.l2)


@METHODS.register("RMSPROP")
class RootMeanSquare(Method):
    """Steps divided by the root of an average of past squares: Tieleman and Hinton (2012)."""

    class Options(Method.Options):
        """RMSPROP's own keys."""

        decay_rate: _Decay = 0.9
        """How slowly the average of squares forgets."""
        epsilon: PositiveFloat = 1e-8
        """Added to the divisor."""

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.RMSprop."""
        optimizer = optim.RMSprop(
            weights, lr=options.learning_rate, alpha=options.decay_rate, eps=options.epsilon
        )
        return _shrink(optimizer, options.l2)


@METHODS.register("ADAM")
class Adam(Method):
    """Averages of gradients and of their squares: Kingma and Ba (2015), arXiv:1412.6980."""

    class Options(Method.Options):
        """ADAM's own keys."""

        beta1: _Decay = 0.9
        """How slowly the average of gradients forgets."""
        beta2: _Decay = 0.999
        """How slowly the average of squares forgets."""
        epsilon: PositiveFloat = 1e-8
        """Added to the divisor."""

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.Adam."""
        betas = (options.beta1, options.beta2)
        optimizer = optim.Adam(
            weights, lr=options.learning_rate, betas=betas, eps=options.epsilon, fused=True
        )
        return _shrink(optimizer, options.l2)


@METHODS.register("ADAMW")
class AdamDecoupled(Adam):
    """ADAM whose weights decay beside the gradient: Loshchilov and Hutter (2019), arXiv:1711.05101."""

    class Options(Adam.Options):
        """ADAMW's own key."""

        weight_decay: NonNegativeFloat = 0.01
        """Share of each weight that is taken off in every step, times the learning rate."""

    @staticmethod
    def build(weights: Iterable[nn.Parameter], options: Any) -> optim.Optimizer:
        """torch.optim.AdamW."""
        optimizer = optim.AdamW(
            weights,
            lr=options.learning_rate,
            betas=(options.beta1, options.beta2),
            eps=options.epsilon,
            weight_decay=options.weight_decay,
            fused=True,
        )
        return _shrink(optimizer, options.l2)
