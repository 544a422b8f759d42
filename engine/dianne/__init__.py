"""A declarative learning-strategy engine: networks in YAML, pluggable strategies, weights under tags.

    import dianne

    ws = dianne.Workspace()
    ws.learn("Encoder,Decoder", "MNIST", strategy="VariationalAutoEncoder", latentDims=2, tag="vae")
    images = ws.deploy("Decoder", tag="vae").forward(latents)

The names below are the public interface. They are imported when first used, so that `import dianne` is
quick and does not import torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dianne.api import Workspace as Workspace
    from dianne.client import connect as connect
    from dianne.criteria import CriterionName as CriterionName
    from dianne.criteria import gaussian_halves as gaussian_halves
    from dianne.criteria import log_probabilities as log_probabilities
    from dianne.criteria import prior_to_posterior as prior_to_posterior
    from dianne.criteria import standard_normal_divergence as standard_normal_divergence
    from dianne.data.dataset import Batch as Batch
    from dianne.data.dataset import Dataset as Dataset
    from dianne.data.sampling import SamplingName as SamplingName
    from dianne.errors import DianneError as DianneError
    from dianne.errors import UsageError as UsageError
    from dianne.evaluation.strategy import Evaluation as Evaluation
    from dianne.evaluation.strategy import EvaluationJob as EvaluationJob
    from dianne.evaluation.strategy import EvaluationOptions as EvaluationOptions
    from dianne.evaluation.strategy import EvaluationStrategy as EvaluationStrategy
    from dianne.evaluation.strategy import Means as Means
    from dianne.evaluation.strategy import SampleNoise as SampleNoise
    from dianne.learning.methods import MethodName as MethodName
    from dianne.learning.strategy import GradientOptions as GradientOptions
    from dianne.learning.strategy import Job as Job
    from dianne.learning.strategy import LearningStrategy as LearningStrategy
    from dianne.learning.strategy import LearnProgress as LearnProgress
    from dianne.learning.strategy import Terms as Terms
    from dianne.network.inputs import input_shapes as input_shapes
    from dianne.network.inputs import noise_shape as noise_shape
    from dianne.options import NonNegativeFloat as NonNegativeFloat
    from dianne.options import NonNegativeInt as NonNegativeInt
    from dianne.options import Options as Options
    from dianne.options import PositiveFloat as PositiveFloat
    from dianne.options import PositiveInt as PositiveInt
    from dianne.options import Probability as Probability

__version__ = "0.1.0"

_HOMES = {
    "dianne.api": ["Workspace"],
    "dianne.client": ["connect"],
    "dianne.criteria": [
        "CriterionName", "gaussian_halves", "log_probabilities", "prior_to_posterior",
        "standard_normal_divergence",
    ],
    "dianne.data.dataset": ["Batch", "Dataset"],
    "dianne.data.sampling": ["SamplingName"],
    "dianne.errors": ["DianneError", "UsageError"],
    "dianne.evaluation.strategy": [
        "Evaluation", "EvaluationJob", "EvaluationOptions", "EvaluationStrategy", "Means",
        "SampleNoise",
    ],
    "dianne.learning.methods": ["MethodName"],
    "dianne.learning.strategy": ["GradientOptions", "Job", "LearningStrategy", "LearnProgress", "Terms"],
    "dianne.network.inputs": ["input_shapes", "noise_shape"],
    "dianne.options": [
        "NonNegativeFloat", "NonNegativeInt", "Options", "PositiveFloat", "PositiveInt", "Probability",
    ],
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)  # computed, so that a name is written once


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'dianne' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
