"""Divergence: a loss that is no number ends the job, and good weights stay under the tag."""

import pytest
import torch
from workspaces import FILES, NETWORK, workspace_of

from dianne import Workspace
from dianne.jobs.learn import LearnWatcher
from dianne.learning.divergence import KEEP_INTERVAL
from dianne.learning.update import DivergedError

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
    return workspace_of(tmp_path, {**FILES, "strategies/spoilt.py": STRATEGY})


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


# ------------------------------------------------------------------------- terms, gradients, and new attempts


SPECIAL = '''
import torch

from dianne import GradientOptions, LearningStrategy, LearnProgress


class Bad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


class SpecialLearningStrategy(LearningStrategy):
    """Goes wrong in some of its calls: in a term, or in the gradients of a module and what is before it."""

    class Options(GradientOptions):
        at: list[int] = [1000]
        term: str = "loss"
        behind: str = ""

    calls = 0

    def setup(self, job):
        (self.network,) = job.networks
        self.options, self.batches, self.criterion = job.options, job.batches, job.criterion()
        self.update = job.update(self.loss, trains=job.networks)
        if self.options.behind:
            module = self.network.get_submodule(self.options.behind)
            module.register_forward_hook(lambda _m, _i, result: Bad.apply(result) if self.wrong else result)

    def loss(self, batch):
        loss = self.criterion(self.network(batch.input), batch.target).mean()
        terms = {"loss": loss, "kl": loss.detach() * 0}
        if self.wrong and not self.options.behind:
            terms[self.options.term] = terms[self.options.term] * float("nan")
        return terms

    def process_iteration(self, i):
        self.wrong = self.calls in self.options.at
        self.calls += 1
        return LearnProgress(i, self.update(next(self.batches)))
'''


class Notes(LearnWatcher):
    """What a user is told, and what is reported."""

    def __init__(self):
        self.notes, self.reports, self.ticks, self.validations, self.backs = [], [], [], [], []

    def note(self, message):
        self.notes.append(message)

    def report(self, report):
        self.reports.append(report.iteration)

    def tick(self, iteration, _):
        self.ticks.append(iteration)

    def validated(self, iteration, _):
        self.validations.append(iteration)

    def back(self, iteration):
        self.backs.append(iteration)


@pytest.fixture
def special(workspace):
    (workspace.folder.root / "strategies" / "special.py").write_text(SPECIAL)
    return workspace


def test_a_term_beside_the_loss_is_looked_at_too(special):
    assert diverge(special, strategy="Special", at=[5], term="kl") == (
        "the term 'kl' of the loss is nan in iteration 6\n"
        f"  the last good weights kept, those of iteration 0, are under the tag; {REMEDY}"
    )
    weights(special)


@pytest.mark.parametrize(
    ("behind", "blamed"), [("hidden", "hidden"), ("tanh", "hidden"), ("scores", "scores")]
)
@pytest.mark.parametrize("options", [{}, {"clipNorm": 1}, {"accumulate": 3}])
def test_gradients_that_are_not_finite_are_blamed_on_their_module(special, behind, blamed, options):
    """The loss is finite; the weights are spoilt by the step, with accumulate after the batch 111."""
    iteration = 112 if "accumulate" in options else 111
    assert diverge(special, strategy="Special", at=[109], behind=behind, **options) == (
        f"the loss is nan in iteration {iteration}; the first values that are not finite are gradients of "
        f"Net.{blamed}\n"
        f"  the last good weights kept, those of iteration 100, are under the tag; {REMEDY}"
    )
    weights(special)
    assert special.tags("Net")["t"].iteration == 100


def test_a_gradient_that_spoils_the_last_step_is_found_before_weights_are_stored(special):
    assert diverge(special, strategy="Special", at=[9], behind="scores", maxIterations=10) == (
        "Net.hidden.weight holds values that are not finite in iteration 10; the first values that are not "
        "finite are gradients of Net.scores\n"
        f"  the last good weights kept, those of iteration 0, are under the tag; {REMEDY}"
    )
    weights(special)


def retry(workspace: Workspace, **options):
    notes = Notes()
    given = {"strategy": "Special", "tag": "t", "seed": 1, "batchSize": 8, **options}
    return notes, workspace.learn("Net", "Iris", watcher=notes, **given)


def test_a_retry_goes_back_to_good_weights_with_half_the_learning_rate(special):
    notes, result = retry(special, at=[130, 230], nanRetry=2, maxIterations=300)
    assert notes.notes == [
        "the loss is nan in iteration 131; back to the weights of iteration 100, with 0.5 of the learning "
        "rate (retry 1 of 2)",
        "the loss is nan in iteration 200; back to the weights of iteration 100, with 0.25 of the learning "
        "rate (retry 2 of 2)",
    ]
    assert (result.iterations, result.stopped) == (300, "")
    assert notes.backs == [100, 100]
    assert weights(special)
    assert special.tags("Net")["t"].iteration == 300


def test_counters_after_a_retry_are_those_of_the_iterations_that_count(special):
    options = {"traceInterval": 60, "storeInterval": 150, "syncInterval": 70, "validationSet": "0:50"}
    notes, result = retry(special, at=[190], nanRetry=1, maxIterations=250, validationInterval=60, **options)
    assert notes.ticks == [*range(1, 191), *range(151, 251)]
    assert notes.backs == [150]
    assert notes.reports == [60, 120, 180, 180, 240, 250]
    assert [report.iteration for report in result.history] == [60, 120, 180, 240, 250]
    assert notes.validations == [60, 120, 180, 180, 240, 250]
    assert list(result.validations) == [60, 120, 180, 240, 250]
    assert result.iterations == 250
    assert {tag: manifest.iteration for tag, manifest in special.tags("Net").items() if tag != "t@best"} == {
        "t": 250,
        "t@150": 150,
    }


FULL = {"method": "SGD", "sampling": "SEQUENTIAL", "batchSize": 150, "learningRate": 0.1}  # no chance in it


def tensors(workspace: Workspace, tag: str) -> dict[str, torch.Tensor]:
    return workspace.store.weights(workspace.store.manifest("Net", tag))


def test_a_retry_begins_with_the_good_weights_and_not_with_what_the_method_learned(special):
    retry(special, at=[101], nanRetry=1, maxIterations=102, syncInterval=100, tag="r", momentum=0.9, **FULL)
    retry(special, maxIterations=100, tag="whole", momentum=0.9, **FULL)
    retry(special, maxIterations=2, tag="whole", momentum=0.9, **{**FULL, "learningRate": 0.05})
    assert special.tags("Net")["r"].iteration == 102
    for name, tensor in tensors(special, "whole").items():
        torch.testing.assert_close(tensors(special, "r")[name], tensor)


def test_the_rate_is_that_of_the_schedule_with_the_share_that_is_left(special):
    given = {**FULL, "maxIterations": 102, "schedule": "STEP", "stepInterval": 50}
    for tag, at in (("first", [1000]), ("retry", [101])):
        retry(special, at=at, nanRetry=1, syncInterval=100, tag=tag, **given)
    start = special.store.weights(special.store.read_manifest(special.tags("Net")["first"].parent))
    first, second = (
        tensors(special, tag)["scores.weight"] - start["scores.weight"] for tag in ("first", "retry")
    )
    assert (second.norm() / first.norm()).item() == pytest.approx(0.5, rel=0.02)


def test_retries_that_are_used_up_end_the_job(special):
    notes = Notes()
    with pytest.raises(DivergedError) as fault:
        special.learn(
            "Net", "Iris", strategy="Special", at=[30, 80, 120], nanRetry=2, tag="t", seed=1, watcher=notes
        )
    assert notes.notes == [
        "the loss is nan in iteration 31; back to the weights of iteration 0, with 0.5 of the learning rate "
        "(retry 1 of 2)",
        "the loss is nan in iteration 50; back to the weights of iteration 0, with 0.25 of the learning rate "
        "(retry 2 of 2)",
    ]
    assert str(fault.value) == (
        "the loss is nan in iteration 40\n"
        f"  the last good weights kept, those of iteration 0, are under the tag; {REMEDY}"
    )
    weights(special)


def test_a_first_loss_that_is_not_finite_is_not_tried_again(special):
    notes = Notes()
    with pytest.raises(DivergedError) as fault:
        special.learn("Net", "Iris", strategy="Special", at=[0], nanRetry=5, tag="t", seed=1, watcher=notes)
    assert str(fault.value) == f"the loss is nan in iteration 1\n  {REMEDY}"
    assert notes.notes == []
    assert special.tags("Net") == {}


def test_a_gradient_that_is_not_finite_is_tried_again_too(special):
    notes, result = retry(special, at=[130], behind="hidden", nanRetry=1, maxIterations=200, ema=0.9)
    assert notes.notes == [
        "the loss is nan in iteration 132; the first values that are not finite are gradients of Net.hidden; "
        "back to the weights of iteration 100, with 0.5 of the learning rate (retry 1 of 1)"
    ]
    assert result.iterations == 200
    weights(special)
    weights(special, "t@ema")


def test_the_losses_before_a_retry_do_not_count_for_a_threshold(special):
    given = {"minibatchLossThreshold": 100, "thresholdWindow": 5, "nanRetry": 1, "maxIterations": 20}
    _, result = retry(special, at=[3], **given)
    assert result.iterations == 5
