"""Reasons to end a job before its time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dianne import UsageError
from dianne.learning.stopping import BatchLosses, StopOptions, Validations

NAN = float("nan")


def losses_of(*values: float, **options: object) -> str:
    """What a watcher of batches says after these losses."""
    losses = BatchLosses(StopOptions.model_validate(options))
    for value in values:
        losses.add({"loss": torch.tensor(value)})
    return losses.reason()


def watched(values: list[float], larger: bool = False, **options: object) -> tuple[list[bool], str]:
    """Which values are the best so far, and what the watcher says in the end."""
    found = Validations(StopOptions.model_validate(options), larger)
    return [found.add(value) for value in values], found.reason()


# ---------------------------------------------------------------------------------------- losses of batches


def test_the_mean_of_a_window_ends_a_job():
    given = {"minibatchLossThreshold": 0.5, "thresholdWindow": 2}
    assert losses_of(0.1, **given) == ""  # one is no window yet
    assert losses_of(0.1, 1.0, **given) == ""
    assert losses_of(9.0, 0.25, 0.75, **given) == (
        "minibatchLossThreshold=0.5: the last 2 losses average 0.5"
    )
    assert losses_of(9.0, 0.12345, 0.2, **given) == (
        "minibatchLossThreshold=0.5: the last 2 losses average 0.1617"
    )


def test_a_threshold_may_be_negative_or_0():
    assert losses_of(-3.0, minibatchLossThreshold=-2, thresholdWindow=1) != ""
    assert losses_of(-1.0, minibatchLossThreshold=-2, thresholdWindow=1) == ""
    assert losses_of(0.0, minibatchLossThreshold=0, thresholdWindow=1) != ""


def test_without_a_threshold_nothing_is_read():
    losses = BatchLosses(StopOptions())
    losses.add({})
    assert (losses.reason(), len(losses.losses)) == ("", 0)


numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(numbers, st.floats(-1e6, 1e6), st.integers(1, 12))
def test_the_window_is_that_of_the_last_losses(values, threshold, window):
    values = [torch.tensor(value).item() for value in values]
    found = losses_of(*values, minibatchLossThreshold=threshold, thresholdWindow=window)
    last = values[-window:]
    assert bool(found) == (len(last) == window and sum(last) / window <= threshold)


# ---------------------------------------------------------------------------------------------- evaluations


def test_a_value_is_better_if_it_improves_enough():
    assert watched([3, 2, 2, 1.5, 2])[0] == [True, True, False, True, False]
    assert watched([3, 2, 2, 1.5, 2], larger=True)[0] == [True, False, False, False, False]
    assert watched([3, 2.5, 1.9, 1.0], minImprovement=1)[0] == [True, False, True, False]
    assert watched([1, 2, 3.5], larger=True, minImprovement=1)[0] == [True, False, True]


def test_patience_counts_evaluations_since_the_best():
    assert watched([3, 2, 2], patience=2)[1] == ""
    assert watched([3, 2, 2], patience=1)[1] == "patience=1: the last evaluation is no better than 2"
    assert watched([3, 2, 2, 5], patience=2)[1] == "patience=2: the last 2 evaluations are no better than 2"
    assert watched([3, 2, 2, 1, 5], patience=2)[1] == ""
    assert watched([3, 2, 2, 5], patience=0)[1] == ""


def test_a_value_that_is_no_number_is_never_the_best():
    assert watched([NAN, 2, NAN, 1])[0] == [False, True, False, True]
    assert watched([NAN, NAN], patience=2)[1] == "patience=2: the last 2 evaluations are not a number"
    assert watched([NAN], patience=1)[1] == "patience=1: the last evaluation is not a number"


@pytest.mark.parametrize(
    ("last", "larger", "stops"),
    [(0.4, False, True), (0.5, False, True), (0.6, False, False), (0.4, True, False), (0.6, True, True)],
)
def test_a_threshold_is_reached_from_its_own_side(last, larger, stops):
    reason = f"validationLossThreshold=0.5: the last evaluation gives {last}"
    found = watched([0.1 if larger else 0.9, last], larger, validationLossThreshold=0.5)[1]
    assert found == (reason if stops else "")


def test_only_the_last_evaluation_counts_for_the_threshold():
    assert watched([0.1, 0.9], validationLossThreshold=0.5)[1] == ""
    assert watched([NAN], validationLossThreshold=0.5)[1] == ""
    assert watched([], validationLossThreshold=0.5, patience=1)[1] == ""


@given(numbers, st.booleans(), st.floats(0, 10), st.integers(1, 5))
def test_the_best_is_within_min_improvement_of_all_and_patience_counts_from_it(
    values, larger, least, patience
):
    sign = -1 if larger else 1
    found = Validations(StopOptions(patience=patience, min_improvement=least), larger)
    better = [found.add(value) for value in values]
    assert better[0]
    assert found.best == values[max(n for n, one in enumerate(better) if one)]
    assert sign * found.best - min(sign * value for value in values) <= least
    waited = better[::-1].index(True)
    assert bool(found.reason()) == (waited >= patience)


@given(numbers)
def test_without_min_improvement_the_best_is_the_best(values):
    for larger, best in ((False, min), (True, max)):
        found = Validations(StopOptions(), larger)
        for value in values:
            found.add(value)
        assert found.best == best(values)


@given(numbers, st.floats(-1e6, 1e6))
def test_a_best_of_an_earlier_job_must_be_beaten(values, before):
    found = Validations(StopOptions(patience=1), larger_is_better=False, best=before)
    assert found.add(values[0]) == (values[0] < before)
    assert math.isclose(found.best, min(values[0], before))


# -------------------------------------------------------------------------------------------- in a workspace


def test_a_job_ends_after_the_window_of_small_losses_and_is_stored(workspace):
    result = workspace.learn("Net", "Iris", tag="t", minibatchLossThreshold=100, thresholdWindow=4)
    assert (result.iterations, workspace.tags("Net")["t"].iteration) == (4, 4)
    assert result.stopped.startswith("minibatchLossThreshold=100: the last 4 losses average ")


def test_a_job_whose_threshold_is_met_by_its_last_iteration_was_not_stopped(workspace):
    given = {"minibatchLossThreshold": 100, "thresholdWindow": 4, "maxIterations": 4}
    assert workspace.learn("Net", "Iris", tag="t", **given).stopped == ""


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"minibatchLossThreshold": "x"}, "'minibatchLossThreshold': expected a number, found 'x'"),
        (
            {"minibatchLossThreshold": "nan"},
            "'minibatchLossThreshold': expected a finite number, found 'nan'",
        ),
        ({"thresholdWindow": "0"}, "'thresholdWindow': expected more than 0, found '0'"),
        (
            {"validationLossThreshold": "inf"},
            "'validationLossThreshold': expected a finite number, found 'inf'",
        ),
        ({"patience": "-1"}, "'patience': expected at least 0, found '-1'"),
        ({"patience": "1.5"}, "'patience': expected a whole number, found '1.5'"),
        ({"minImprovement": "-1"}, "'minImprovement': expected at least 0.0, found '-1'"),
        ({"minImprovement": "nan"}, "'minImprovement': expected a finite number, found 'nan'"),
    ],
)
def test_values_that_cannot_be_are_refused(workspace, options, problem):
    with pytest.raises(UsageError) as fault:
        workspace.learn("Net", "Iris", tag="t", validationSet="0:10", **options)
    assert str(fault.value) == f"learn: 1 problem\n  option {problem}"


@pytest.mark.parametrize(("key", "value"), [("patience", "3"), ("validationLossThreshold", "0.5")])
def test_what_looks_at_evaluations_needs_a_validation_set(workspace, key, value):
    with pytest.raises(UsageError) as fault:
        workspace.learn("Net", "Iris", tag="t", **{key: value})
    assert str(fault.value) == f"{key}={value} needs validationSet=..., samples to evaluate while learning"
