"""Evaluations while a job learns: the best weights, patience, thresholds."""

from __future__ import annotations

import pytest
import torch
from workspaces import IRIS, workspace_of

from dianne import UsageError, Workspace
from dianne.jobs.learn import LearnWatcher
from dianne.plugins import StrategyError

NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  norm: {type: BatchNormalization}
  drop: {type: Dropout, rate: 0.2}
  scores: {type: Linear, output: 3}
  output: {type: Output}
"""
LEARNING = '''
from dianne import LearnProgress
from dianne.strategies.feed_forward import FeedForwardLearningStrategy


class ToldLearningStrategy(FeedForwardLearningStrategy):
    """Is judged by numbers that a file holds."""

    defaults = {"maxIterations": 8}

    @classmethod
    def evaluation_for(cls, labels):
        return "ToldEvaluationStrategy"
'''
EVALUATION = '''
from pathlib import Path

from dianne import Evaluation, EvaluationStrategy


class ToldEvaluationStrategy(EvaluationStrategy):
    """Takes the next number from a file."""

    larger_is_better = LARGER

    def setup(self, job):
        self.network, = job.networks
        self.training = []

    def process_batch(self, batch):
        self.training.append(self.network.training)

    def result(self):
        assert not any(self.training)
        path = Path(__file__).parent / "numbers"
        first, *rest = path.read_text().split()
        path.write_text(" ".join(rest))
        return Evaluation(1, {"zz value": float(first), "aa": 0.0})
'''
FILES = {
    "networks/Net.yaml": NETWORK,
    "strategies/told.py": LEARNING,
    "datasets/Iris.yaml": IRIS,
}


class Follower(LearnWatcher):
    """Evaluations by iteration."""

    def __init__(self):
        self.found = []

    def validated(self, iteration, evaluation):
        self.found.append((iteration, next(iter(evaluation.metrics.values()))))


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_of(tmp_path, FILES)


def learn(workspace: Workspace, numbers: str, larger: bool = False, **options):
    """Learn while evaluations after every second iteration find these numbers."""
    folder = workspace.folder.root / "strategies"
    (folder / "numbers").write_text(numbers)
    (folder / "told_evaluation.py").write_text(EVALUATION.replace("LARGER", str(larger)))
    given = {"strategy": "Told", "tag": "t", "batchSize": 8, "validationSet": "0:20", "seed": 1,
             "validationInterval": 2, "maxIterations": 8, "storeInterval": 2, **options}  # fmt: skip
    return workspace.learn("Net", "Iris", **given)


def best(workspace: Workspace, tag: str = "t") -> tuple[int, dict[str, float]]:
    manifest = workspace.tags("Net")[f"{tag}@best"]
    return manifest.iteration, manifest.metrics


def weights(workspace: Workspace, tag: str) -> dict[str, list]:
    found = workspace.store.weights(workspace.store.manifest("Net", tag))
    return {name: tensor.tolist() for name, tensor in found.items()}


# ------------------------------------------------------------------------------------------ the best weights


def test_the_best_weights_are_kept_as_they_were(workspace):
    learn(workspace, "5 3 4 6")
    assert best(workspace) == (4, {"zz value": 3.0, "aa": 0.0})
    assert weights(workspace, "t@best") == weights(workspace, "t@4") != weights(workspace, "t")


def test_the_best_is_the_largest_where_larger_is_better(workspace):
    learn(workspace, "5 3 7 6", larger=True)
    assert best(workspace) == (6, {"zz value": 7.0, "aa": 0.0})


def test_an_improvement_that_is_too_small_moves_nothing(workspace):
    learn(workspace, "5 4.5 3.9 3.5", minImprovement=1)
    assert best(workspace) == (6, {"zz value": 3.9, "aa": 0.0})


def test_without_a_validation_set_there_is_no_best(workspace):
    learn(workspace, "", validationSet=None)
    assert "t@best" not in workspace.tags("Net")


def test_evaluations_come_at_every_interval_and_at_the_end_once(workspace):
    for last, expected in ((7, [2, 4, 6, 7]), (8, [2, 4, 6, 8])):
        follower = Follower()
        result = learn(workspace, "4 3 2 1", maxIterations=last, clean=True, watcher=follower)
        assert [iteration for iteration, _ in follower.found] == expected
        assert list(result.validations) == expected


def test_an_evaluation_leaves_modes_and_statistics_alone(workspace):
    """The same job with and without evaluations ends with the same weights."""
    learn(workspace, "4 3 2 1")
    learn(workspace, "", validationSet=None, tag="plain")
    assert weights(workspace, "t") == weights(workspace, "plain")


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [("9 8 7 6", (4 + 4, 3.0)), ("9 2 7 6", (8 + 4, 2.0)), ("3 3 3 3", (4 + 4, 3.0))],
)
def test_a_continued_job_must_beat_the_best_of_before(workspace, numbers, expected):
    """Three is best after 8 iterations: (8, 3.0)."""
    learn(workspace, "5 4 3.5 3")
    assert best(workspace)[0] == 8
    learn(workspace, numbers)
    iteration, value = best(workspace)[0], best(workspace)[1]["zz value"]
    assert (iteration, value) == expected


def test_a_clean_job_forgets_the_best_of_before(workspace):
    learn(workspace, "5 4 3.5 3")
    learn(workspace, "9 8 7 7", clean=True)
    assert best(workspace) == (6, {"zz value": 7.0, "aa": 0.0})


def test_a_job_that_starts_anew_because_of_its_shape_forgets_the_best(workspace):
    learn(workspace, "5 4 3.5 3")
    text = NETWORK.replace("  scores:", "  hidden: {type: Linear, output: 5}\n  scores:")
    (workspace.folder.root / "networks" / "Net.yaml").write_text(text)
    learn(workspace, "9 8 7 7")
    assert best(workspace) == (6, {"zz value": 7.0, "aa": 0.0})


def test_the_best_of_another_metric_is_not_compared(workspace):
    """An error of 1.1 says nothing about numbers that count otherwise."""
    workspace.learn("Net", "Iris", tag="t", validationSet="0:20", maxIterations=2)
    assert next(iter(workspace.tags("Net")["t@best"].metrics)) == "accuracy"
    learn(workspace, "5 4 3.5 3")
    assert best(workspace) == (10, {"zz value": 3.0, "aa": 0.0})


def test_values_that_are_no_numbers_are_never_the_best(workspace):
    learn(workspace, "nan nan nan nan")
    assert "t@best" not in workspace.tags("Net")
    learn(workspace, "nan 5 nan 6", tag="u")
    assert best(workspace, "u") == (4, {"zz value": 5.0, "aa": 0.0})


def test_the_first_metric_stays_the_first_in_the_store(workspace):
    learn(workspace, "5 4 3.5 3")
    assert list(best(workspace)[1]) == ["zz value", "aa"]


# --------------------------------------------------------------------------------------- patience, thresholds


def test_patience_ends_a_job_and_keeps_the_best(workspace):
    result = learn(workspace, "5 3 4 3 2", patience=2, maxIterations=100)
    assert (result.iterations, result.stopped) == (
        8,
        "patience=2: the last 2 evaluations are no better than 3",
    )
    assert best(workspace)[0] == 4
    assert workspace.tags("Net")["t"].iteration == 8
    assert list(result.validations) == [2, 4, 6, 8]


def test_patience_with_values_that_are_no_numbers(workspace):
    result = learn(workspace, "nan nan", patience=2, maxIterations=100)
    assert result.stopped == "patience=2: the last 2 evaluations are not a number"


def test_patience_of_a_continued_job_counts_from_the_best_of_before(workspace):
    learn(workspace, "5 4 3.5 3")
    result = learn(workspace, "9 9", patience=2, maxIterations=100)
    assert (result.iterations, result.stopped) == (
        4,
        "patience=2: the last 2 evaluations are no better than 3",
    )


@pytest.mark.parametrize(("larger", "numbers"), [(False, "9 0.9 0.5 0.4"), (True, "0.1 0.4 0.5 1")])
def test_a_threshold_ends_a_job(workspace, larger, numbers):
    result = learn(workspace, numbers, larger, validationLossThreshold=0.5, maxIterations=100)
    assert (result.iterations, result.stopped) == (
        6,
        "validationLossThreshold=0.5: the last evaluation gives 0.5",
    )


def test_a_stopped_job_is_evaluated_at_its_end(workspace):
    answers = iter(["", "", "", "someone"])
    result = learn(workspace, "5 4", stop=lambda: next(answers), maxIterations=100)
    assert (result.iterations, list(result.validations), result.stopped) == (3, [2, 3], "someone")


# ----------------------------------------------------------------------------------------------- faults


def test_an_evaluation_that_takes_other_networks_is_refused_before_anything_is_learned(workspace):
    text = LEARNING.replace('"ToldEvaluationStrategy"', '"VariationalAutoEncoderEvaluationStrategy"')
    (workspace.folder.root / "strategies" / "told.py").write_text(text)
    with pytest.raises(UsageError) as fault:
        learn(workspace, "")
    assert str(fault.value) == (
        "VariationalAutoEncoderEvaluationStrategy takes 2 networks (encoder, decoder), found 1: Net"
    )
    assert not workspace.folder.models.exists()


def test_a_range_beyond_the_data_is_refused_before_anything_is_learned(workspace):
    with pytest.raises(UsageError) as fault:
        learn(workspace, "", validationSet="100:200")
    assert str(fault.value) == ("the range 100:200 reaches to sample 199, but Iris has the samples 0 to 149")
    assert not workspace.folder.models.exists()


@pytest.mark.parametrize(
    ("value", "text"), [("0", "more than 0, found '0'"), ("x", "a whole number, found 'x'")]
)
def test_an_interval_that_cannot_be_is_refused(workspace, value, text):
    with pytest.raises(UsageError) as fault:
        learn(workspace, "", validationInterval=value)
    assert str(fault.value) == f"learn: 1 problem\n  option 'validationInterval': expected {text}"


def test_a_fault_of_an_evaluation_is_said_with_its_line_and_the_record_is_kept(workspace):
    with pytest.raises(StrategyError) as fault:
        learn(workspace, "5")
    assert "ToldEvaluationStrategy: " in str(fault.value)
    assert "ValueError: not enough values to unpack" in str(fault.value)
    assert torch.is_grad_enabled()
