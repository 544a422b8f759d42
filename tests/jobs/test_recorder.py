"""The record of a job."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from workspaces import Notes, workspace_of

from dianne import DianneError
from dianne.jobs import lock
from dianne.jobs.ending import cause
from dianne.jobs.entry import Point
from dianne.jobs.keeper import running
from dianne.jobs.learn import LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.jobs.queue import Queue
from dianne.jobs.record import MOST, Recorder
from dianne.workspace import Folder


@contextmanager
def recorder(folder: Path, iterations: int = 10, notes: list[str] | None = None) -> Iterator[Recorder]:
    job, note = {"id": "job1", "command": "learn", "seed": 3}, [].append if notes is None else notes.append
    with running(Folder(folder), "job1"), Recorder(Folder(folder), job, iterations, note) as made:
        yield made


def points(folder: Path, job: str = "job1") -> list[Point]:
    return Queue(Folder(folder)).progress(job)


def test_the_job_is_written_at_once_and_holds_its_lock_until_it_ends(tmp_path):
    queue = Queue(Folder(tmp_path))
    with recorder(tmp_path) as made:
        job = queue.get("job1")
        assert (job.status, job.foreground, job.pid, job.total) == ("running", True, os.getpid(), 10)
        assert job.options == {"seed": 3}
        assert lock.held(queue.folder, "job1")
        made.ended({"found": 1})
    job = queue.get("job1")
    assert (job.status, job.error, queue.result("job1")) == ("finished", None, {"found": 1})
    assert job.submitted <= job.started <= job.ended
    assert not lock.held(queue.folder, "job1")
    assert [(n.job, n.level, n.message) for n in queue.notifications()] == [
        ("job1", "INFO", "started"), ("job1", "SUCCESS", "finished"),
    ]  # fmt: skip


def test_iterations_and_evaluations_are_points_in_their_order(tmp_path):
    with recorder(tmp_path) as made:
        made.tick(1, 0.12345, {"loss": torch.tensor(0.5), "kl": 2.0})
        made.validated(1, 0.2, {"accuracy": 0.75})
        made.tick(2, 0.25, {"loss": torch.tensor(0.25), "kl": 1.0})
    first, second, third = points(tmp_path)
    assert (first.iteration, first.seconds, first.kind, first.numbers) == (
        1, 0.123, "terms", {"loss": 0.5, "kl": 2.0},
    )  # fmt: skip
    assert (second.iteration, second.kind, second.numbers) == (1, "validation", {"accuracy": 0.75})
    assert (third.iteration, third.kind, third.numbers) == (2, "terms", {"loss": 0.25, "kl": 1.0})
    assert first.number < second.number < third.number
    assert Queue(Folder(tmp_path)).progress("job1", after=second.number) == [third]


@pytest.mark.parametrize("value", [1.23456e-12, 123456.7, -3.0e20])
def test_seven_digits_of_a_number_are_kept_however_small_it_is(tmp_path, value):
    with recorder(tmp_path) as made:
        made.tick(1, 0.0, {"loss": value})
    assert points(tmp_path)[0].numbers["loss"] == pytest.approx(value, rel=1e-6, abs=0)


@pytest.mark.parametrize("iterations", [1, 10, MOST, MOST + 1, 2 * MOST - 1, 5 * MOST + 3])
def test_iterations_are_spread_evenly_and_not_too_many(tmp_path, iterations):
    with recorder(tmp_path, iterations) as made:
        for iteration in range(1, iterations + 1):
            made.tick(iteration, 0.0, {"loss": 1.0})
    found = [point.iteration for point in points(tmp_path)]
    assert len(found) <= MOST
    assert len(found) >= min(iterations, MOST / 2)
    assert found == list(range(found[0], iterations + 1, found[0]))


def test_progress_is_written_from_time_to_time_with_the_latest_iteration(tmp_path):
    queue = Queue(Folder(tmp_path))
    with recorder(tmp_path, 10 * MOST) as made:
        for iteration in range(1, 106):
            made.tick(iteration, iteration / 100, {"loss": float(iteration)})
        assert [point.iteration for point in points(tmp_path)] == list(range(10, 101, 10))
        job = queue.get("job1")
        assert (job.iteration, job.terms) == (101, {"loss": 101.0})  # 1 and 51 were written before
    assert queue.get("job1").iteration == 105


def test_a_job_sees_that_it_should_stop(tmp_path):
    queue = Queue(Folder(tmp_path))
    with recorder(tmp_path) as made:
        made.tick(1, 0.0, {"loss": 1.0})
        queue.stop("job1")
        assert not made.stopping
        made.tick(2, 1.0, {"loss": 1.0})
        assert made.stopping
        made.ended({}, "somebody")
    assert (queue.get("job1").status, queue.notifications()[-1].message) == ("stopped", "stopped by somebody")


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (DianneError("it does not fit"), "failed", "it does not fit"),
        (ValueError("of a plug-in"), "failed", "ValueError: of a plug-in"),
        (MemoryError(), "failed", "MemoryError"),
        (KeyboardInterrupt(), "stopped", None),
    ],
)
def test_how_a_job_ended_is_written_down_and_raised(tmp_path, fault, status, error):
    with pytest.raises(type(fault)), recorder(tmp_path):
        raise fault
    job = Queue(Folder(tmp_path)).get("job1")
    assert (job.status, job.error) == (status, error)
    assert not lock.held(Folder(tmp_path), "job1")


def test_the_first_real_cause_is_the_first_of_a_chain():
    fault = RuntimeError("a worker of torch ended")
    fault.__cause__ = OSError("the disk is gone")
    assert cause(fault) == "OSError: the disk is gone"


def test_a_record_that_cannot_be_written_is_told_once_and_stops_nothing(tmp_path):
    (tmp_path / ".dianne").write_text("a file in its place")
    notes: list[str] = []
    with recorder(tmp_path, notes=notes) as made:
        for iteration in range(1, 200):
            made.tick(iteration, float(iteration), {"loss": 1.0})
    path = tmp_path / ".dianne" / "jobs.db"
    assert notes == [f"{path}: the job's record cannot be written: File exists"]


def test_a_database_that_somebody_else_writes_keeps_a_job_waiting_for_a_moment_only(tmp_path):
    notes: list[str] = []
    with recorder(tmp_path, notes=notes) as made:
        with Queue(Folder(tmp_path)).database.writing():
            begin = time.perf_counter()
            made.tick(1, 0.0, {"loss": 1.0})
            assert time.perf_counter() - begin < 5
        made.tick(2, 1.0, {"loss": 2.0})
    assert [point.iteration for point in points(tmp_path)] == [1, 2]
    assert notes == []


# -------------------------------------------------------------------------------------------- in a workspace


@pytest.fixture
def workspace(tmp_path):
    return workspace_of(tmp_path)


def test_a_job_can_be_done_again_from_its_record(workspace):
    given = {"batchSize": 8, "maxIterations": 6, "learningRate": 0.1, "network.clipNorm": 1, "ema": 0.9}
    result = workspace.learn("Net", "Iris", tag="t", **given)
    root = workspace.folder.root
    job = Queue(workspace.folder).get(result.job)
    assert (job.kind, job.networks, job.dataset, job.tag) == ("learn", ["Net"], "Iris", "t")
    assert job.strategy == "FeedForwardLearningStrategy"
    options = {**job.options, "tag": "again"}
    again = workspace.learn(job.networks, job.dataset, strategy=job.strategy, **options)
    assert again.loss == result.loss
    first, second = (points(root, name) for name in (result.job, again.job))
    assert [point.numbers for point in first] == [point.numbers for point in second]
    assert [point.iteration for point in first] == [1, 2, 3, 4, 5, 6]


def test_the_record_holds_evaluations_beside_the_loss(workspace):
    result = workspace.learn(
        "Net", "Iris", tag="t", maxIterations=4, validationSet="0:20", validationInterval=2
    )
    found = points(workspace.folder.root, result.job)
    assert [(point.iteration, point.kind) for point in found] == [
        (1, "terms"), (2, "terms"), (2, "validation"), (3, "terms"), (4, "terms"), (4, "validation"),
    ]  # fmt: skip
    assert [point.seconds for point in found] == sorted(point.seconds for point in found)
    metrics = {"accuracy": result.validations[4].metrics["accuracy"]}
    assert found[-1].numbers == Queue(workspace.folder).get(result.job).metrics == metrics
    assert found[-2].numbers["loss"] == pytest.approx(result.loss["loss"], rel=1e-6)


def test_an_evaluation_is_a_job_too(workspace):
    workspace.learn("Net", "Iris", tag="t", maxIterations=2)
    found = workspace.evaluate("Net", "Iris", tag="t", range="0:30", batchSize=10)
    job = Queue(workspace.folder).jobs()[-1]
    assert (job.kind, job.status, job.networks, job.tag) == ("evaluate", "finished", ["Net"], "t")
    assert (job.iteration, job.total, job.metrics) == (30, 30, found.metrics)
    assert Queue(workspace.folder).result(job.id) == found.summary()


def test_a_job_that_fails_keeps_its_record(workspace):
    with pytest.raises(DianneError) as fault:
        workspace.learn(
            "Net", "Iris", tag="t", method="SGD", learningRate=1e30, criterion="MSE", maxIterations=50
        )
    (job,) = Queue(workspace.folder).jobs()
    assert (job.status, job.error) == ("failed", str(fault.value))
    assert [point.iteration for point in points(workspace.folder.root, job.id)][:1] == [1]


def test_a_job_learns_although_its_record_cannot_be_written(workspace):
    (workspace.folder.root / ".dianne").write_text("")
    notes = Notes()
    result = workspace.learn("Net", "Iris", tag="t", maxIterations=3, watcher=notes)
    assert (result.iterations, workspace.tags("Net")["t"].iteration) == (3, 3)
    place = workspace.folder.root / ".dianne"
    assert notes.notes == [
        f"{place / 'jobs.db'}: the job's record cannot be written: File exists",
        f"{place / 'jobs' / result.job}: a checkpoint cannot be written: Not a directory; the job goes on",
    ]


def test_a_job_ends_gently_if_it_is_stopped_through_the_queue(workspace):
    class Impatient(LearnWatcher):
        def tick(self, iteration, _):
            if iteration == 2:
                queue.stop(queue.jobs("running")[0].id)
                run.recorder.flush()

    queue = Queue(workspace.folder)
    run = LearnRun(prepare(workspace.folder, "Net", "Iris", {"tag": "t"}), Impatient())
    result = run.run()
    assert (result.iterations, result.stopped) == (2, "dianne stop")
    assert workspace.tags("Net")["t"].iteration == 2
    assert queue.get(result.job).status == "stopped"
