"""Criteria: how far an output is from its target.

Each gives one loss per sample. Output and target are compared value by value, whatever their shapes, as
long as the number of values in a sample is the same. In docstrings `b` is the batch and `n` the number of
values in a sample.
"""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dianne import options as declare
from dianne.errors import UsageError
from dianne.foreign import arguments_of, options_of, torch_class
from dianne.options import Choice, Options, PositiveFloat
from dianne.registry import Registry


class Criterion(ABC):
    """A loss for each sample of a batch.

    Args:
        options: an object of the criterion's class `Options`; its defaults if left out.
    """

    Options: type[Options] = Options
    needs = ""  # what a message adds where an output has the wrong number of values

    def __init__(self, options: Any = None):
        self.options: Any = self.Options() if options is None else options

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample.

        Args:
            output: (b, ...) of as many values a sample as `values_for` says: n, unless it describes a
                distribution.
            target: (b, ...) of n values a sample.

        Returns:
            (b,) float.

        Raises:
            UsageError: the samples' numbers of values do not fit.
        """
        if len(output) != len(target):
            raise UsageError(
                f"the network's result has {len(output)} samples, but the target has {len(target)}; "
                "every sample needs a target of its own"
            )
        flat_output = output.reshape(len(output), -1)  # (b, n)
        flat_target = target.reshape(len(target), -1)
        if flat_output.shape[1] != self.values_for(flat_target.shape[1]):
            found, expected = list(output.shape[1:]), list(target.shape[1:])
            raise UsageError(
                f"the network's result of {found} cannot be compared with the target of {expected}: "
                f"{flat_output.shape[1]} and {flat_target.shape[1]} values{self.needs}"
            )
        return self.loss(flat_output, flat_target)

    def values_for(self, target: int) -> int:
        """How many values a sample's output must have for a target of so many."""
        return target

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,)."""


@functools.cache
def _of_torch(name: str) -> type[Criterion]:
    """A loss of torch.nn as a criterion, averaged over the values of a sample.

    Raises:
        UsageError: there is no such loss, or it does not compare one output with one target.
    """
    kind = torch_class(name, "torch.nn", nn.Module)
    takes = list(inspect.signature(kind.forward).parameters)[2:]
    if takes != ["target"] or "reduction" not in inspect.signature(kind).parameters:
        raise UsageError(f"{name} is no loss between an output and a target")
    by_class = kind in (nn.NLLLoss, nn.MultiMarginLoss)  # these want the index of the class
    given = ("size_average", "reduce", "reduction", "ignore_index")

    class Foreign(Criterion):
        Options = options_of(kind, Options, given)

        def loss(self, output: Tensor, target: Tensor) -> Tensor:
            try:
                between = kind(reduction="none", **arguments_of(kind, self.options))
                losses: Tensor = between(output, target.argmax(1) if by_class else target)
            except (RuntimeError, ValueError) as error:
                if "meta" in str(error):  # it looked at values in a rehearsal, where there are none
                    raise
                raise UsageError(f"criterion={name}: {str(error).splitlines()[0]}") from error
            return losses.reshape(len(output), -1).mean(1)

    return Foreign


CRITERIA: Registry[type[Criterion]] = Registry("criterion", _of_torch)
CriterionName = Annotated[str, Choice(CRITERIA)]


@CRITERIA.register("MSE")
class MeanSquaredError(Criterion):
    """(output - target)^2, averaged over the values of a sample."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,)."""
        return functional.mse_loss(output, target, reduction="none").mean(1)


@CRITERIA.register("ABS")
class AbsoluteError(Criterion):
    """|output - target|, averaged over the values of a sample."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,)."""
        return functional.l1_loss(output, target, reduction="none").mean(1)


@CRITERIA.register("HUB")
class PseudoHuber(Criterion):
    """sqrt(1 + (output - target)^2) - 1, averaged over the values of a sample."""

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,)."""
        return ((1 + (output - target) ** 2).sqrt() - 1).mean(1)


@CRITERIA.register("BCE")
class BinaryCrossEntropy(Criterion):
    """Negative log likelihood of Bernoulli targets in nats, summed over the values of a sample.

    Outputs are probabilities; the logarithm is cut at -100.
    """

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,); UsageError for values outside 0 to 1."""
        losses: Tensor = _Bernoulli.apply(output, target).sum(1)  # type: ignore[no-untyped-call]
        if at_hand(losses) and not _between_0_and_1(losses, target):
            _refuse_outside("outputs", output, "end the network in a Sigmoid")
            _refuse_outside("targets", target, "choose a criterion for such values, as MSE")
        return losses


class _Bernoulli(torch.autograd.Function):
    """The negative log likelihood of each value, as torch's own, whose logarithms are four times as slow."""

    @staticmethod
    def forward(context: Any, output: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> the same; NaN for outputs outside 0 to 1."""
        context.save_for_backward(output, target)
        one, zero = output.log().clamp_(min=-100), (-output).log1p_().clamp_(min=-100)
        return zero.lerp_(one, target).neg_()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of outputs, and of targets where somebody asks for it."""
        output, target = context.saved_tensors
        of_output = torch.ops.aten.binary_cross_entropy_backward(gradient, output, target, None, 0)
        if not context.needs_input_grad[1]:
            return of_output, None
        return of_output, gradient * ((-output).log1p().clamp(min=-100) - output.log().clamp(min=-100))


def _between_0_and_1(losses: Tensor, target: Tensor) -> bool:
    low, high = target.detach().aminmax()
    return not bool(losses.isnan().any()) and float(low) >= 0 and float(high) <= 1


def _refuse_outside(what: str, values: Tensor, remedy: str) -> None:
    low, high = float(values.detach().min()), float(values.detach().max())
    if low < 0 or high > 1:
        found = f"{low:.3g} to {high:.3g}"
        raise UsageError(f"criterion BCE needs {what} between 0 and 1, found {found}; {remedy}")


@CRITERIA.register("NLL")
class NegativeLogLikelihood(Criterion):
    """Negative log likelihood of a class in nats: -sum(target * log(probability)) of each sample.

    Outputs are log probabilities (after LogSoftmax), or probabilities (after Softmax or Sigmoid), as
    `log_probabilities` tells them apart. Targets are one-hot, or probabilities.
    """

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, n) and (b, n) -> (b,)."""
        return -(log_probabilities(output) * target).sum(1)


@CRITERIA.register("GAU")
class GaussianLikelihood(Criterion):
    """Negative log likelihood of Gaussian targets in nats, summed over the values of a sample.

    For n values an output holds n means, then n standard deviations, to which 1e-6 is added; or n means
    alone, if the option `stdev` gives the deviation of all of them.
    """

    needs = "; GAU takes a mean and a deviation for each value, or means alone with stdev=..."

    class Options(declare.Options):
        """Where deviations come from."""

        stdev: PositiveFloat | None = None
        """Deviation of every value; the network gives deviations after its means if left out."""

    def values_for(self, target: int) -> int:
        """Two for each, unless the deviation is fixed."""
        return 2 * target if self.options.stdev is None else target

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, 2 n) or (b, n), and (b, n) -> (b,)."""
        if self.options.stdev is None:
            mean, stdev = output.chunk(2, dim=1)  # (b, n) each
            stdev = stdev + 1e-6
        else:
            mean, stdev = output, torch.full_like(output, self.options.stdev)
        density = ((target - mean) / stdev) ** 2 + math.log(2 * math.pi)
        return (0.5 * density + stdev.log()).sum(1)


@CRITERIA.register("GKL")
class GaussianDivergence(Criterion):
    """Divergence KL(output || target) of independent Gaussians in nats, summed over their dimensions.

    Output and target hold means, then standard deviations. 1e-6 is added to the deviations.
    """

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """(b, 2 z) and (b, 2 z) -> (b,)."""
        if output.shape[1] % 2:
            raise UsageError(
                f"criterion GKL needs means and as many deviations, found {output.shape[1]} values"
            )
        mean, stdev = output.chunk(2, dim=1)  # (b, z) each
        other_mean, other_stdev = target.chunk(2, dim=1)
        ratio = ((stdev + 1e-6) / (other_stdev + 1e-6)) ** 2
        distance = ((mean - other_mean) / (other_stdev + 1e-6)) ** 2
        return 0.5 * (distance + ratio - ratio.log() - 1).sum(1)


def standard_normal_divergence(mean: Tensor, stdev: Tensor) -> Tensor:
    """Divergence of N(mean, stdev^2) from the standard normal, in nats.

    Args:
        mean: (b, z).
        stdev: (b, z) standard deviations, above 0; 1e-6 is added.

    Returns:
        (b,), summed over z; never below 0.

    Source: Kingma and Welling (2014), arXiv:1312.6114, appendix B.
    """
    stdev = stdev + 1e-6
    return 0.5 * (mean**2 + stdev**2 - 2 * stdev.log() - 1).sum(1)


def gaussian_halves(gaussian: Tensor, latent_dims: int | None = None) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of what an encoder gives.

    Args:
        gaussian: (b, 2 z), means and then deviations.
        latent_dims: z, if an option `latentDims` says so.

    Returns:
        (b, z) each.

    Raises:
        UsageError: there are not as many values.
    """
    if gaussian.dim() != 2 or gaussian.shape[1] % 2 or latent_dims not in (None, gaussian.shape[1] // 2):
        size = f"2 * latentDims = {2 * latent_dims}" if latent_dims else "means and as many deviations"
        raise UsageError(f"the encoder must give {size} values, found {list(gaussian.shape[1:])}")
    mean, stdev = gaussian.chunk(2, dim=1)
    return mean, stdev


def prior_to_posterior(latents: Tensor, mean: Tensor, stdev: Tensor) -> Tensor:
    """How much likelier latent points are under the prior than under a posterior, in nats.

    log N(z; 0, 1) - log N(z; mean, stdev^2). Its mean over points of the posterior is minus their divergence.

    Args:
        latents: (..., z) points.
        mean: (..., z).
        stdev: (..., z) standard deviations, above 0; 1e-6 is added.

    Returns:
        (...), summed over z.
    """
    stdev = stdev + 1e-6
    return (0.5 * (((latents - mean) / stdev) ** 2 - latents**2) + stdev.log()).sum(-1)


def at_hand(values: Tensor) -> bool:
    """Whether Python can look at values without waiting for a device."""
    return values.device.type == "cpu"


def log_probabilities(values: Tensor) -> Tensor:
    """Logarithms of probabilities, whether a network gives these or logarithms already.

    A batch in which nothing is above 0 is taken for logarithms; of probabilities 1e-12 is the least.

    Args:
        values: of any shape, after LogSoftmax, Softmax or Sigmoid.

    Returns:
        Of the same shape.
    """
    if at_hand(values):
        return values if bool(values.detach().amax() <= 0) else values.clamp_min(1e-12).log()
    logarithms = (values <= 0).all()  # decided on the device, so that nothing waits for it
    return torch.where(logarithms, values, values.clamp_min(1e-12).log())
