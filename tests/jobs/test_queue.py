"""Jobs are checked, queued, listed and stopped, by many processes at once."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import numpy
import pytest
import torch

from dianne import Workspace
from dianne.errors import DianneError, UsageError
from dianne.jobs import lock
from dianne.jobs.ending import end
from dianne.jobs.learn import prepare
from dianne.jobs.prepare import given_options
from dianne.jobs.queue import Queue
from dianne.jobs.resources import machine
from dianne.store import Manifest, Store
from dianne.workspace import Folder


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(Folder(tmp_path))


def put(queue: Queue, job: str, status: str = "queued", **columns: object) -> None:
    """A job that nobody checked."""
    values = {
        "asked": '{"networks": ["MLP"], "dataset": "Digits"}',
        "kind": "learn",
        "foreground": 0,
        **columns,
    }
    names = ", ".join(["id", "status", *values])
    with queue.database.writing() as session:
        session.execute(
            f"INSERT INTO jobs ({names}) VALUES (?, ?{', ?' * len(values)})", [job, status, *values.values()]
        )


def refused(call, *words) -> str:
    with pytest.raises(UsageError) as fault:
        call(*words)
    return str(fault.value)


# ----------------------------------------------------------------------------------------------- submitting


def test_a_job_is_described_so_that_it_can_begin_later(queue):
    options = {"learningRate": "0.1", "tag": "t", "cpus": "0.5", "strategy": "FeedForward"}
    job = queue.get(queue.submit("learn", "MLP", "Digits", options))
    assert (job.kind, job.status, job.networks, job.dataset) == ("learn", "queued", ["MLP"], "Digits")
    assert (job.strategy, job.tag, job.foreground) == ("FeedForwardLearningStrategy", "t", False)
    seed = job.options.pop("seed")  # drawn now, so that it learns the same however often it is started
    assert isinstance(seed, int)
    assert job.options == {"learningRate": "0.1", "tag": "t"}
    assert job.resources == {"cpus": 0.5, "gpus": 0, "threads": 1}
    assert (job.started, job.over) == (None, False)
    assert abs(job.submitted - time.time()) < 60


def test_a_job_without_a_tag_has_its_identifier_and_gets_a_new_one_when_submitted_again(queue):
    first = queue.get(queue.submit("learn", "MLP", "Digits", {"seed": 3, "cpus": 1}))
    second = queue.get(queue.resubmit(first.id[:6], {"learningRate": 0.1, "threads": 2}))
    assert (first.tag, second.tag) == (first.id, second.id)
    assert second.options == {"seed": 3, "learningRate": 0.1}
    assert second.resources == {"cpus": 1, "gpus": 0, "threads": 2}
    assert [job.id for job in queue.jobs()] == [first.id, second.id]


def test_of_a_job_in_the_foreground_only_what_was_given_is_asked_again(queue):
    workspace = Workspace(queue.folder.root)
    learned = workspace.learn("MLP", "Digits", strategy="FeedForward", maxIterations=1, seed=3, tag="t")
    workspace.evaluate("MLP", "Digits", tag="t")
    first, judged = queue.jobs()
    assert (first.id, first.options) == (learned.job, {"maxIterations": 1, "seed": 3, "tag": "t"})
    assert judged.options == {"tag": "t"}
    for job, part in (
        (first, "trainSet"),
        (judged, "testSet"),
    ):  # both mean `range`, which Digits says itself
        again = queue.get(queue.resubmit(job.id, {part: "0:20"}))
        assert (again.strategy, again.options) == (job.strategy, {**job.options, part: "0:20"})


@pytest.mark.parametrize(
    "value", [numpy.int64(8), numpy.float32(0.1), numpy.bool_(True), numpy.array(8), torch.tensor(8)]
)
def test_numbers_of_numpy_are_taken_as_pythons_own(queue, value):
    key = {int: "hidden", float: "learningRate", bool: "clean"}[type(value.item())]
    job = queue.get(queue.submit("learn", "MLP", "Digits", {key: value, "cpus": numpy.float32(1)}))
    assert (job.options[key], type(job.options[key])) == (value.item(), type(value.item()))
    bound = prepare(queue.folder, "MLP", "Digits", {key: value})
    assert next(type(s.value) for s in bound.bound.settings if s.key == key) is type(value.item())
    assert given_options(bound.given) == {key: value.item()}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("lern", {}, "there is no kind of job 'lern'; did you mean 'learn'?"),
        (
            "learn",
            {"lerningRate": 1},
            "learn: 1 problem\n  option 'lerningRate': nothing here reads 'lerningRate'; "
            "did you mean 'learningRate'?",
        ),
        (
            "evaluate",
            {},
            "evaluate needs tag=..., to know which weights to judge; tags of MLP: none",
        ),
        (
            "learn",
            {"threads": 0, "cpus": "many"},
            "submit: 2 problems\n  option 'cpus': expected a number, found 'many'\n"
            "  option 'threads': expected more than 0, found 0",
        ),
        (
            "learn",
            {"gpus": 99},
            f"gpus=99: this machine has {len(machine().gpus)}; `dianne devices` lists them",
        ),
    ],
)
def test_a_job_that_cannot_run_is_refused_and_not_queued(queue, kind, options, message):
    assert refused(queue.submit, kind, "MLP", "Digits", options) == message
    assert queue.jobs() == []
    assert not queue.folder.state.exists()


def test_a_graphics_card_beyond_those_asked_for_is_refused(queue, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert refused(queue.submit, "learn", "MLP", "Digits", {"device": "cuda:1", "gpus": 0}) == (
        "device=cuda:1: with gpus=0 the job sees no graphics card; give gpus=2, or leave device out"
    )


# ---------------------------------------------------------------------------------------- stopping, resuming


def test_a_job_that_waits_is_cancelled_and_can_be_queued_again(queue):
    put(queue, "abc")
    assert queue.stop("abc").status == "queued"
    job = queue.get("abc")
    assert (job.status, job.started) == ("stopped", None)
    assert refused(queue.stop, "abc") == "the job abc is stopped; there is nothing to stop"
    assert queue.resume("abc").status == "queued"
    assert refused(queue.resume, "abc") == "the job abc is queued; there is nothing to resume"
    assert [(n.level, n.message) for n in queue.notifications()] == [
        ("WARNING", "cancelled"), ("INFO", "queued again"),
    ]  # fmt: skip


def test_a_job_whose_process_is_gone_is_interrupted(queue):
    put(queue, "gone", "running")
    put(queue, "alive", "running")
    assert lock.hold(queue.folder, "alive")
    try:
        assert queue.counts() == {"interrupted": 1, "running": 1}
        assert queue.get("gone").status == "interrupted"
        assert [job.id for job in queue.jobs("running")] == ["alive"]
    finally:
        lock.release(queue.folder, "alive")
    assert queue.get("alive").status == "interrupted"


def test_while_there_is_a_runtime_it_alone_says_how_submitted_jobs_end(queue):
    for name, foreground in (("submitted", 0), ("mine", 1)):
        put(queue, name, "running", foreground=foreground)
    handle = os.open(lock.of_runtime(queue.folder), os.O_CREAT | os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert queue.counts() == {"running": 1, "interrupted": 1}
    assert queue.get("mine").status == "interrupted"
    queue.settle(workers=["submitted"])
    assert queue.get("submitted").status == "running"
    queue.settle(workers=[])
    assert queue.get("submitted").status == "interrupted"
    os.close(handle)


def test_what_is_run_in_the_foreground_is_resumed_and_stopped_there(queue):
    put(queue, "mine", "interrupted", foreground=1)
    assert refused(queue.resume, "mine") == "the job mine was run in the foreground; resume it there"
    put(queue, "judge", "running", foreground=1, kind="evaluate")
    lock.hold(queue.folder, "judge")
    assert refused(queue.stop, "judge") == "the evaluation judge is run in the foreground; stop it there"
    lock.release(queue.folder, "judge")


# ---------------------------------------------------------------------------------------------------- looking


def test_an_empty_workspace_has_no_jobs_and_stays_empty(queue):
    assert (queue.jobs(), queue.counts(), queue.notifications()) == ([], {}, [])
    assert refused(queue.get, "a") == "there is no job 'a'; nothing was learned or submitted here yet"
    assert list(queue.folder.root.iterdir()) == []


def test_the_newest_jobs_are_listed_in_their_order(queue):
    for number in range(5):
        put(queue, f"job{number}", "failed" if number % 2 else "finished")
    assert [job.id for job in queue.jobs(newest=2)] == ["job3", "job4"]
    assert [job.id for job in queue.jobs("finished")] == ["job0", "job2", "job4"]
    assert [job.id for job in queue.jobs("finished", "failed", newest=3)] == ["job2", "job3", "job4"]
    assert queue.counts() == {"failed": 2, "finished": 3}


def test_a_job_is_found_by_its_beginning_and_by_what_it_made(queue):
    for name in ("abc1", "abc2", "abd"):
        put(queue, name)
    assert queue.get("abd").id == "abd"
    assert queue.get("abc1").id == "abc1"
    assert refused(queue.get, "ab") == "several jobs begin with 'ab': abc1, abc2, abd"
    assert refused(queue.get, "") == "there is no job ''; jobs: abc1, abc2, abd"
    assert refused(queue.get, "a%") == "there is no job 'a%'; jobs: abc1, abc2, abd"
    Store(queue.folder.models).put("t", Manifest("MLP", "", {}, job={"id": "abc2"}), {})
    assert queue.get("MLP:t").id == queue.get("MLP:t~0").id == "abc2"


def test_a_job_that_has_stored_nothing_yet_is_found_by_its_tag(queue):
    put(queue, "old", tag="t")
    put(queue, "new", tag="t")
    put(queue, "other", tag="t", asked='{"networks": ["LeNet5"]}')
    assert queue.get("MLP:t").id == "new"
    assert refused(queue.get, "MLP:u").startswith("MLP has no tag 'u'; nothing is stored for MLP in ")


def test_a_job_that_has_not_begun_has_neither_log_nor_result(queue):
    put(queue, "abc")
    put(queue, "mine", foreground=1)
    assert queue.result("abc") is None
    assert refused(queue.log, "abc") == "the job abc has no log; it has not begun"
    assert refused(queue.log, "mine") == "the job mine has no log; it printed where it was run"


def test_notifications_are_asked_for_from_a_number_on(queue):
    put(queue, "abc")
    for number in range(30):
        with queue.database.writing() as session:
            end(session, "abc", "finished", f"number {number}")
    assert [one.message for one in queue.notifications(newest=2)] == ["number 28", "number 29"]
    last = queue.notifications()[-1]
    assert (last.job, last.level) == ("abc", "SUCCESS")
    assert len(queue.notifications()) == 20
    assert [one.message for one in queue.notifications(after=last.number - 1)] == ["number 29"]


# -------------------------------------------------------------------------------------------- many at once


def hammer(root: Path, name: str, count: int) -> None:
    queue = Queue(Folder(root))
    for number in range(count):
        put(queue, f"{name}{number}")
        queue.stop(f"{name}{number}")
        assert queue.get(f"{name}{number}").status == "stopped"
        queue.jobs()


def test_several_processes_use_one_queue(queue):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=hammer, args=(queue.folder.root, name, 15)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert queue.counts() == {"stopped": 60}
    assert len(queue.notifications(newest=100)) == 60


def test_what_fails_halfway_changes_nothing(queue):
    put(queue, "abc")

    def fail():
        with queue.database.writing() as session:
            end(session, "abc", "finished", "finished")
            session.execute("SELECT nonsense FROM jobs")

    with pytest.raises(DianneError, match="cannot be used: no such column: nonsense"):
        fail()
    assert queue.get("abc").status == "queued"
    assert queue.notifications() == []
