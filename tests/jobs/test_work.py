"""What a worker does with the job that it was given; here in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dianne.jobs.queue import Queue
from dianne.jobs.work import work
from dianne.workspace import Folder


@pytest.fixture
def queue(tmp_path: Path):
    before = torch.get_num_threads()
    yield Queue(Folder(tmp_path))
    torch.set_num_threads(before)


def submitted(queue: Queue, kind: str = "learn", **options: object) -> str:
    return queue.submit(kind, "MLP", "Digits", {"tag": "t", "threads": 1, **options})


def test_a_job_learns_under_its_own_identifier_and_tells_it_in_lines(queue, capsys):
    job = submitted(queue, maxIterations=4, traceInterval=2, seed=3)
    work(queue.folder, queue.get(job), lambda: "")
    found = queue.get(job)
    assert (found.status, found.iteration, found.foreground) == ("finished", 4, False)
    assert found.options == {"tag": "t", "maxIterations": 4, "traceInterval": 2, "seed": 3}
    assert queue.result("MLP:t")["job"] == job
    begin, *reports = capsys.readouterr().out.splitlines()
    assert begin == "learning MLP on Digits with FeedForwardLearningStrategy, tag t"
    assert [line.split("  loss")[0] for line in reports] == ["iteration 2/4", "iteration 4/4"]

    judge = submitted(queue, "evaluate")
    work(queue.folder, queue.get(judge), lambda: "")
    assert queue.get(judge).status == "finished"
    assert capsys.readouterr().out.startswith('{"accuracy": ')


def test_a_job_that_was_stopped_goes_on_where_it_was(queue, capsys):
    job = submitted(queue, maxIterations=6, seed=3)
    asked: list[str] = []

    def stop() -> str:
        asked.append("")
        return "SIGTERM" if len(asked) == 4 else ""

    work(queue.folder, queue.get(job), stop)
    assert (queue.get(job).status, queue.get(job).iteration) == ("stopped", 3)
    assert queue.resume(job).status == "queued"
    work(queue.folder, queue.get(job), lambda: "")
    assert (queue.get(job).status, queue.get(job).iteration) == ("finished", 6)
    assert "going on after 3 iterations" in capsys.readouterr().out


def test_a_job_that_was_killed_when_all_was_stored_is_finished(queue):
    job = submitted(queue, maxIterations=2)
    work(queue.folder, queue.get(job), lambda: "")
    with queue.database.writing() as session:
        session.execute("UPDATE jobs SET status = 'queued', result = NULL WHERE id = ?", (job,))
    work(queue.folder, queue.get(job), lambda: "")
    assert queue.get(job).status == "finished"
