"""Sweeps: what is tried, what is given up, and how one goes on."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import optuna
import pytest
import torch

from dianne.errors import UsageError
from dianne.jobs import sweep, sweep_run
from dianne.jobs.database import POINT
from dianne.jobs.queue import Queue, end
from dianne.jobs.ranges import Choices, Range
from dianne.jobs.work import work
from dianne.store import Store
from dianne.workspace import Folder

OPTIONS = {
    "split": "0.8", "maxIterations": "4", "validationInterval": "2", "range": "0,199", "parallel": 1,
    "seed": "1", "threads": "1",
}  # fmt: skip
GROUPED = """
parameters: {groups: 1}
modules:
  image: {type: Input, shape: [1, 28, 28]}
  hidden: {type: Linear, output: 16}
  norm: {type: torch.nn.GroupNorm, num_groups: "${groups}", num_channels: 16}
  scores: {type: Linear, output: 10}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def tried(folder, stop=lambda: False, wake=None, networks="MLP", **options):
    """A sweep whose jobs are run at once, in this process."""

    def run_all():
        for job in Queue(folder).jobs("queued"):
            work(folder, job, lambda: "")

    prepared = sweep.prepare(folder, networks, "Digits", {**OPTIONS, **options})
    return sweep_run.run(prepared, wake or run_all, stop=stop)


def refused(folder, networks="MLP", **options):
    with pytest.raises(UsageError) as fault:
        sweep.prepare(folder, networks, "Digits", options)
    assert list(folder.root.iterdir()) == []
    return str(fault.value)


def test_a_list_is_a_choice_unless_the_option_takes_it_as_it_is(folder):
    options = {
        **OPTIONS, "hidden": "16,32", "learningRate": "1e-3..1e-1:log", "labels": "3,5", "fixed": "a*,b*",
        "batchSize": "8..64:8", "method": "SGD,ADAM", "tag": "t",
    }  # fmt: skip
    found = sweep.prepare(folder, "MLP", "Digits", options)
    assert found.spaces == {
        "learningRate": Range(1e-3, 1e-1, log=True),
        "batchSize": Range(8, 64, step=8),
        "hidden": Choices(("16", "32")),
        "method": Choices(("SGD", "ADAM")),
    }
    assert found.fixed == {
        "split": "0.8", "maxIterations": "4", "validationInterval": "2", "range": "0,199", "seed": 1,
        "threads": "1", "labels": "3,5", "fixed": "a*,b*",
    }  # fmt: skip
    assert (found.name, found.larger_is_better) == ("t", True)


def test_all_that_can_be_tried_is_checked_before_anything_starts(folder):
    nothing = "nothing varies; give an option a range or a choice: learningRate=1e-4..1e-2:log"
    assert refused(folder, split=0.8, hidden=3) == nothing
    assert refused(folder, hidden="2,5") == (
        "a sweep needs validationSet=... or split=..., samples that tell which trial is best"
    )
    assert refused(folder, split=0.8, learningRate="-1..1.5") == (
        "learn: 1 problem\n  option 'learningRate': expected more than 0.0, found -1.0"
    )
    assert refused(folder, split=0.8, hidden="2,5,x") == (
        "learn: 1 problem\n  option 'hidden': expected a whole number, found 'x'"
    )
    assert refused(folder, split=0.8, lerningRate="1,2") == (
        "learn: 1 problem\n  option 'lerningRate': nothing here reads 'lerningRate'; "
        "did you mean 'learningRate'?"
    )
    assert refused(folder, split=0.8, hidden="2,5", trials=0) == (
        "sweep: 1 problem\n  option 'trials': expected more than 0, found 0"
    )
    assert refused(folder, split=0.8, hidden="2,5", tag="a:b").startswith("'a:b/20@best' cannot be a tag")


def test_the_best_is_kept_and_a_sweep_goes_on_as_if_it_had_not_stopped(folder, tmp_path_factory):
    whole = tried(folder, hidden="4,64", learningRate="1e-3..1e-1:log", trials=3, tag="best")
    assert whole.metric == "accuracy"
    assert [trial.status for trial in whole.trials] == ["finished"] * 3
    values = [trial.value for trial in whole.trials]
    assert values == sorted(values, reverse=True)
    store = Store(folder.models)
    best = store.manifest("MLP", "best")
    assert best.metrics["accuracy"] == values[0]
    assert best.job["id"] == whole.trials[0].job

    other = Folder(tmp_path_factory.mktemp("other"))
    given = {"hidden": "4,64", "learningRate": "1e-3..1e-1:log", "tag": "best"}
    tried(other, trials=1, **given)
    asked = iter([False, True])
    halted = tried(other, lambda: next(asked), wake=lambda: None, trials=3, **given)  # no runtime was there
    assert sorted(trial.status for trial in halted.trials) == ["finished", "stopped"]
    resumed = tried(other, trials=3, **given)
    assert [(t.number, t.options, t.value) for t in resumed.trials] == [
        (t.number, t.options, t.value) for t in whole.trials
    ]
    with pytest.raises(UsageError) as fault:
        tried(other, trials=3, **{**given, "hidden": "4,65"})
    assert str(fault.value) == (
        "the sweep 'best' was of another job or other values; give it as it was, or choose another name=..."
    )


def test_a_hopeless_trial_is_given_up_and_a_failed_one_says_why(folder):
    queue = Queue(folder)

    def pretend() -> None:
        """Each trial is worse than the one before; the third fails, and the last still runs."""
        for job in queue.jobs("queued"):
            number = int(str(job.tag).split("/")[1])
            points = [
                (job.id, i, 0.0, "validation", f'{{"accuracy": {1 / (2 + number)}}}') for i in (1, 2, 3)
            ]
            with queue.database.writing() as session:
                session.executemany(f"INSERT INTO progress ({POINT}) VALUES (?, ?, ?, ?, ?)", points)
                if number == 2:
                    end(session, job.id, "failed", "failed: no", "ValueError: no")
                elif number < 6:
                    end(session, job.id, "finished", "finished")

    found = tried(folder, wake=pretend, hidden="8,9", trials=7, name="s")
    statuses = {trial.number: trial.status for trial in found.trials}
    assert statuses == {**dict.fromkeys(range(6), "finished"), 2: "failed", 6: "pruned"}
    assert [trial.number for trial in found.trials] == list(range(7))  # by the metric
    assert found.trials[2].error == "ValueError: no"
    assert queue.get(found.trials[6].job).status == "stopped"  # it had not begun
    last = queue.notifications()[-1]
    assert last.message == "given up: other trials of the sweep s were better"


def test_a_value_that_does_not_fit_fails_its_trial_and_the_sweep_goes_on(folder):
    path = folder.root / "networks" / "Grouped.yaml"
    path.parent.mkdir()
    path.write_text(GROUPED)
    misfit = (
        f"{path}: 1 problem\n  {path}:6:3: norm (torch.nn.GroupNorm): num_channels (16) must be divisible by "
        "num_groups ({})"
    )
    given = {"networks": "Grouped", "groups": "1..16", "name": "s"}
    for _ in range(2):  # asked once more, it says the same
        with pytest.raises(UsageError) as fault:
            tried(folder, trials=1, **given)
        assert str(fault.value) == f"no trial of the sweep 's' could begin; {misfit.format(7)}"
    study = optuna.load_study(study_name="s", storage=sweep.storage_of(folder))
    study.enqueue_trial({"groups": 5})
    study.ask({"groups": optuna.distributions.IntDistribution(1, 16)})  # its process died before it had a job
    found = tried(folder, trials=4, **given)
    assert [(trial.number, trial.options["groups"], trial.status, trial.error) for trial in found.trials] == [
        (3, 16, "finished", None),
        (0, 7, "failed", misfit.format(7)),
        (1, 5, "failed", misfit.format(5)),
        (2, 9, "failed", misfit.format(9)),
    ]
    assert [trial.state.name for trial in study.get_trials()] == ["FAIL", "FAIL", "FAIL", "COMPLETE"]


def test_a_sweep_without_a_name_gets_one_under_which_nothing_is_stored(folder):
    tried(folder, hidden="4,8", trials=1)
    assert sweep.prepare(folder, "MLP", "Digits", {**OPTIONS, "hidden": "4,8"}).name == "sweep2"
    sweep.place_of(folder).unlink()  # as in another workspace with the same models
    assert sweep.prepare(folder, "MLP", "Digits", {**OPTIONS, "hidden": "4,8"}).name == "sweep2"


def test_sweeps_without_a_name_that_begin_together_get_one_each(folder):
    prepared = sweep.prepare(folder, "MLP", "Digits", {**OPTIONS, "hidden": "4,8"})

    def begin(_):
        return sweep_run.run(replace(prepared), lambda: None, stop=lambda: True).name

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(begin, range(4))) == ["sweep1", "sweep2", "sweep3", "sweep4"]


def test_a_sweep_runs_once_at_a_time(folder):
    def begin():
        return tried(folder, stop=lambda: True, hidden="4,8", name="s").name

    assert begin() == "s"
    (claim,) = folder.state.glob("jobs/sweep-*")
    handle = os.open(claim, os.O_RDONLY)  # as another process has it
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError) as fault:
        begin()
    assert str(fault.value) == "the sweep 's' runs in another process; wait for it, or give another name=..."
    os.close(handle)
    assert begin() == "s"
