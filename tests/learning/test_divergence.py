"""Divergence: a loss that is no number ends the job, and good weights stay under the tag."""

import pytest

from dianne import Workspace
from dianne.learning.divergence import KEEP_INTERVAL
from dianne.learning.update import DivergedError

NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 5}
  tanh: {type: Tanh}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
DATASET = "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}"
STRATEGY = """
import torch

from dianne import GradientOptions, LearningStrategy, LearnProgress, NonNegativeInt


class SpoiltLearningStrategy(LearningStrategy):
    class Options(GradientOptions):
        at: NonNegativeInt = 1000
        place: str = "loss"  # or "data", or the name of a module

    def setup(self, job):
        (self.network,) = job.networks
        self.options, self.batches, self.criterion = job.options, job.batches, job.criterion()
        self.update = job.update(self.loss, trains=job.networks)

    def loss(self, batch):
        factor = {place: float("nan") if self.spoilt == place else 1.0 for place in ("loss", "data")}
        result = self.network(batch.input * factor["data"])
        return {"loss": self.criterion(result, batch.target).mean() * factor["loss"]}

    def process_iteration(self, i):
        self.spoilt = self.options.place if i == self.options.at else ""
        if self.spoilt not in ("", "loss", "data"):
            with torch.no_grad():
                self.network.get_submodule(self.spoilt).bias[0] = float("nan")
        return LearnProgress(i, self.update(next(self.batches)))
"""


@pytest.fixture
def workspace(tmp_path):
    files = {
        "networks/Net.yaml": NETWORK,
        "datasets/Iris.yaml": DATASET,
        "strategies/spoilt.py": STRATEGY,
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text)
    return Workspace(tmp_path)


def diverge(workspace: Workspace, **options) -> str:
    with pytest.raises(DivergedError) as fault:
        workspace.learn("Net", "Iris", **{"tag": "t", "seed": 1, "batchSize": 8, **options})
    return str(fault.value)


def weights(workspace: Workspace, tag: str = "t") -> dict[str, list]:
    stored = workspace.store.weights(workspace.store.manifest("Net", tag))
    assert all(tensor.isfinite().all() for tensor in stored.values())
    return {name: tensor.tolist() for name, tensor in stored.items()}


REMEDY = "try a smaller learningRate, or look for values in the data that are not finite"


@pytest.mark.parametrize("module", ["hidden", "scores"])
def test_the_module_where_values_stop_being_finite_is_named(workspace, module):
    assert diverge(workspace, strategy="Spoilt", at=KEEP_INTERVAL + 30, place=module) == (
        f"the loss is nan in iteration 131; the first values that are not finite come from Net.{module}\n"
        f"  the last good weights kept, those of iteration 100, are under the tag; {REMEDY}"
    )


def test_a_loss_that_is_spoilt_outside_the_modules_blames_none(workspace):
    assert diverge(workspace, strategy="Spoilt", at=1) == (
        "the loss is nan in iteration 2\n"
        f"  the last good weights kept, those of iteration 0, are under the tag; {REMEDY}"
    )


def test_the_tag_holds_the_last_kept_weights_of_a_finite_loss(workspace):
    diverge(workspace, strategy="Spoilt", at=KEEP_INTERVAL + 30, place="hidden")
    workspace.learn(
        "Net", "Iris", strategy="Spoilt", tag="whole", seed=1, batchSize=8, maxIterations=KEEP_INTERVAL
    )
    assert workspace.tags("Net")["t"].iteration == KEEP_INTERVAL
    assert weights(workspace) == weights(workspace, "whole")


def test_a_spoilt_iteration_at_the_keep_interval_keeps_the_weights_before(workspace):
    diverge(workspace, strategy="Spoilt", at=KEEP_INTERVAL, place="hidden")
    weights(workspace)
    assert workspace.tags("Net")["t"].iteration == 0


def test_a_tag_does_not_fall_back_behind_weights_that_were_stored_and_proved_good(workspace):
    diverge(workspace, strategy="Spoilt", at=35, place="hidden", syncInterval=10)
    assert workspace.tags("Net")["t"].iteration == 30


@pytest.mark.parametrize("method", ["SGD", "ADAM", "RMSPROP"])
def test_steps_without_measure_are_found(workspace, method):
    text = diverge(workspace, criterion="MSE", method=method, learningRate=1e30, maxIterations=50)
    assert text.startswith(("the loss is inf in iteration ", "the loss is nan in iteration "))
    weights(workspace)


def test_a_last_step_that_spoils_the_weights_keeps_the_good_ones(workspace):
    text = diverge(workspace, method="SGD", learningRate=1e39, maxIterations=1)
    assert text.startswith("Net.hidden.weight holds values that are not finite")
    assert text.endswith(f"\n  the last good weights kept, those of iteration 0, are under the tag; {REMEDY}")
    weights(workspace)


@pytest.mark.parametrize("options", [{}, {"syncInterval": 1}, {"storeInterval": 1}])
def test_no_store_of_any_kind_holds_weights_that_are_not_finite(workspace, options):
    diverge(workspace, method="SGD", learningRate=1e39, maxIterations=20, **options)
    for tag in workspace.tags("Net"):
        weights(workspace, tag)


def test_a_tag_that_existed_keeps_its_weights(workspace):
    workspace.learn("Net", "Iris", tag="t", maxIterations=3)
    before = weights(workspace)
    diverge(workspace, strategy="Spoilt", at=5, place="hidden")
    assert weights(workspace) == before
    assert workspace.tags("Net")["t"].iteration == 3


def test_a_tag_that_existed_is_not_replaced_by_weights_that_have_learned_nothing(workspace):
    workspace.learn("Net", "Iris", tag="t", maxIterations=3)
    before = weights(workspace)
    text = diverge(workspace, strategy="Spoilt", at=5, place="hidden", clean=True, seed=2)
    assert weights(workspace) == before
    assert text == (
        "the loss is nan in iteration 6; the first values that are not finite come from Net.hidden\n"
        f"  nothing was stored; {REMEDY}"
    )


def test_weights_that_have_learned_nothing_are_not_stored_under_a_new_tag(workspace):
    workspace.learn("Net", "Iris", tag="start", maxIterations=3)
    text = diverge(workspace, strategy="Spoilt", at=5, initTag="start")
    assert text == f"the loss is nan in iteration 6\n  nothing was stored; {REMEDY}"
    assert list(workspace.tags("Net")) == ["start"]


def test_values_in_the_data_that_are_not_finite_end_the_job_before_anything_is_stored(workspace):
    text = diverge(workspace, strategy="Spoilt", at=0, place="data")
    assert text.startswith("the loss is nan in iteration 1")
    assert text.endswith(REMEDY)
    assert workspace.tags("Net") == {}


def test_a_network_with_bce_diverges_like_any_other(workspace):
    probabilities = NETWORK.replace("LogSoftmax", "Sigmoid")
    (workspace.folder.root / "networks" / "Net.yaml").write_text(probabilities)
    text = diverge(workspace, strategy="Spoilt", at=1, place="scores", criterion="BCE")
    assert "the loss is nan in iteration 2; the first values that are not finite come from Net.scores" in text
    weights(workspace)
