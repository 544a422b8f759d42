"""The record of a job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dianne import DianneError, Workspace
from dianne.jobs.learn import LearnWatcher
from dianne.jobs.record import MOST, Recorder
from dianne.workspace import Folder


def recorder(folder: Path, iterations: int = 10, notes: list[str] | None = None) -> Recorder:
    return Recorder(Folder(folder), {"id": "job1", "seed": 3}, iterations, (notes or []).append)


def lines(folder: Path, job: str = "job1") -> list[dict]:
    text = (Folder(folder).state / "jobs" / job / "progress.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_job_is_written_at_once(tmp_path):
    recorder(tmp_path)
    path = tmp_path / ".dianne" / "jobs" / "job1" / "job.json"
    assert json.loads(path.read_text()) == {"id": "job1", "seed": 3}


def test_iterations_and_evaluations_are_lines_in_their_order(tmp_path):
    made = recorder(tmp_path)
    made.tick(1, 0.12345, {"loss": torch.tensor(0.5), "kl": 2.0})
    made.validated(1, 0.2, {"accuracy": 0.75})
    made.tick(2, 0.25, {"loss": torch.tensor(0.25), "kl": 1.0})
    made.flush()
    assert lines(tmp_path) == [
        {"iteration": 1, "seconds": 0.123, "terms": {"loss": 0.5, "kl": 2.0}},
        {"iteration": 1, "seconds": 0.2, "validation": {"accuracy": 0.75}},
        {"iteration": 2, "seconds": 0.25, "terms": {"loss": 0.25, "kl": 1.0}},
    ]


@pytest.mark.parametrize("value", [1.23456e-12, 123456.7, -3.0e20])
def test_seven_digits_of_a_number_are_kept_however_small_it_is(tmp_path, value):
    made = recorder(tmp_path)
    made.tick(1, 0.0, {"loss": value})
    made.flush()
    assert lines(tmp_path)[0]["terms"]["loss"] == pytest.approx(value, rel=1e-6, abs=0)


@pytest.mark.parametrize("iterations", [1, 10, MOST, MOST + 1, 2 * MOST - 1, 5 * MOST + 3])
def test_iterations_are_spread_evenly_and_not_too_many(tmp_path, iterations):
    made = recorder(tmp_path, iterations)
    for iteration in range(1, iterations + 1):
        made.tick(iteration, 0.0, {"loss": 1.0})
    made.flush()
    found = [line["iteration"] for line in lines(tmp_path)]
    assert len(found) <= MOST
    assert len(found) >= min(iterations, MOST / 2)
    assert found == list(range(found[0], iterations + 1, found[0]))


def test_lines_are_written_from_time_to_time_and_flushed_once(tmp_path):
    made = recorder(tmp_path, 120)
    for iteration in range(1, 121):
        made.tick(iteration, 0.0, {"loss": 1.0})
    assert len(lines(tmp_path)) == 100
    made.flush()
    made.flush()
    assert len(lines(tmp_path)) == 120


def test_a_record_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path):
    (tmp_path / ".dianne").write_text("a file in its place")
    notes: list[str] = []
    made = Recorder(Folder(tmp_path), {"id": "job1"}, 10, notes.append)
    for iteration in range(1, 200):
        made.tick(iteration, 0.0, {"loss": 1.0})
    made.flush()
    path = tmp_path / ".dianne" / "jobs" / "job1"
    assert notes == [f"{path}: the job's record cannot be written: Not a directory"]


# -------------------------------------------------------------------------------------------- in a workspace


NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
DATASET = "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}"


class Notes(LearnWatcher):
    """What the user is told."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.fixture
def workspace(tmp_path):
    for file, text in {"networks/Net.yaml": NETWORK, "datasets/Iris.yaml": DATASET}.items():
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(text)
    return Workspace(tmp_path)


def test_a_job_can_be_done_again_from_its_record(workspace):
    given = {"batchSize": 8, "maxIterations": 6, "learningRate": 0.1, "network.clipNorm": 1, "ema": 0.9}
    result = workspace.learn("Net", "Iris", tag="t", **given)
    root = workspace.folder.root
    job = json.loads((workspace.folder.state / "jobs" / result.job / "job.json").read_text())
    assert {key: job[key] for key in ("id", "command", "networks", "dataset", "strategy", "tag")} == {
        "id": result.job,
        "command": "learn",
        "networks": ["Net"],
        "dataset": "Iris",
        "strategy": "FeedForwardLearningStrategy",
        "tag": "t",
    }
    options = {**job["options"], "tag": "again", "seed": job["seed"]}
    again = workspace.learn(job["networks"], job["dataset"], strategy=job["strategy"], **options)
    assert again.loss == result.loss
    first, second = (lines(root, name) for name in (result.job, again.job))
    assert [line["terms"] for line in first] == [line["terms"] for line in second]
    assert [line["iteration"] for line in first] == [1, 2, 3, 4, 5, 6]


def test_the_record_holds_evaluations_beside_the_loss(workspace):
    result = workspace.learn(
        "Net", "Iris", tag="t", maxIterations=4, validationSet="0:20", validationInterval=2
    )
    found = lines(workspace.folder.root, result.job)
    assert [(line["iteration"], "validation" in line) for line in found] == [
        (1, False), (2, False), (2, True), (3, False), (4, False), (4, True),
    ]  # fmt: skip
    assert [line["seconds"] for line in found] == sorted(line["seconds"] for line in found)
    assert found[-1]["validation"] == {"accuracy": result.validations[4].metrics["accuracy"]}
    assert found[-2]["terms"]["loss"] == pytest.approx(result.loss["loss"], rel=1e-6)


def test_a_job_that_fails_keeps_its_record(workspace):
    with pytest.raises(DianneError):
        workspace.learn(
            "Net", "Iris", tag="t", method="SGD", learningRate=1e30, criterion="MSE", maxIterations=50
        )
    (job,) = (workspace.folder.root / ".dianne" / "jobs").iterdir()
    assert [line["iteration"] for line in lines(workspace.folder.root, job.name)][:1] == [1]


def test_a_job_learns_although_its_record_cannot_be_written(workspace):
    (workspace.folder.root / ".dianne").write_text("")
    notes = Notes()
    result = workspace.learn("Net", "Iris", tag="t", maxIterations=3, watcher=notes)
    assert (result.iterations, workspace.tags("Net")["t"].iteration) == (3, 3)
    path = workspace.folder.root / ".dianne" / "jobs" / result.job
    assert notes.notes == [
        f"{path}: the job's record cannot be written: Not a directory",
        f"{path}: a checkpoint cannot be written: Not a directory; the job goes on",
    ]
