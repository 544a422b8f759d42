"""Submitted jobs, run by a real runtime in real processes, which are killed at bad moments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from workspaces import IRIS, workspace_of

from dianne import Workspace
from dianne.document import display
from dianne.errors import DianneError, UsageError
from dianne.jobs.entry import Entry
from dianne.jobs.keeper import running
from dianne.jobs.queue import Queue
from dianne.jobs.schedule import Room
from dianne.runtime import control
from dianne.runtime.process import Runtime, environment
from dianne.workspace import Folder

FILES = {
    "networks/Net.yaml": """
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 8}
  drop: {type: Dropout, rate: 0.3}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
""",
    "datasets/Iris.yaml": IRIS,
    "strategies/slow.py": '''
import os, time
from dianne.strategies.feed_forward import FeedForwardLearningStrategy

class SlowLearningStrategy(FeedForwardLearningStrategy):
    """Learns at leisure."""
    def process_iteration(self, i):
        time.sleep(0.01)
        return super().process_iteration(i)

class BrokenLearningStrategy(FeedForwardLearningStrategy):
    """Fails."""
    def process_iteration(self, i):
        if self.network.training and i == 2:
            raise ValueError("out of luck")
        return super().process_iteration(i)

class SilentLearningStrategy(FeedForwardLearningStrategy):
    """Ends its process."""
    def process_iteration(self, i):
        if i == 2:
            os._exit(3)
        return super().process_iteration(i)
''',
}
JOB = {"strategy": "Slow", "maxIterations": 300, "checkpointInterval": 0.2, "cpus": 0.5}


@contextmanager
def serving(folder: Path, cpus: float) -> Iterator[subprocess.Popen[bytes]]:
    """A runtime; whatever is left of it and of its workers is killed at the end."""
    command = [sys.executable, "-m", "dianne", "serve", f"cpus={cpus}"]
    with (
        (folder / "serve.log").open("ab") as log,
        subprocess.Popen(command, cwd=folder, stderr=log) as process,
    ):
        try:
            wait(lambda: control.status(Folder(folder)) is not None)
            yield process
        finally:
            process.kill()


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    made = workspace_of(tmp_path / "served", FILES)
    yield made
    if found := control.status(made.folder):
        os.kill(found.pid, signal.SIGKILL)
    for job in made.jobs("running"):
        os.kill(job.pid, signal.SIGKILL)


def wait(done: Callable[[], object], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def weights(space: Workspace, tag: str) -> dict[str, torch.Tensor]:
    return space.store.weights(space.store.manifest("Net", tag))


def undisturbed(root: Path, tag: str, **options: object) -> dict[str, torch.Tensor]:
    """The weights of the same job, run at once."""
    alone = workspace_of(root, FILES)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone.learn("Net", "Iris", tag=tag, **{**options, "strategy": "FeedForward"})
    finally:
        torch.set_num_threads(before)
    return weights(alone, tag)


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(found[name].equal(wanted[name]) for name in wanted)


def test_ten_jobs_end_as_if_the_runtime_had_not_been_killed_while_three_ran(space, tmp_path):
    queue, root = Queue(space.folder), space.folder.root
    names = [queue.submit("learn", "Net", "Iris", {**JOB, "tag": f"t{n}", "seed": n}) for n in range(10)]
    assert [job.id for job in space.jobs("queued")] == names
    with serving(root, cpus=1.5) as runtime:
        wait(lambda: sum(job.iteration > 30 for job in space.jobs("running")) == 3)
        runtime.kill()
        runtime.wait()
    assert control.status(space.folder) is None
    victim, *others = space.jobs("running")
    assert len(others) <= 2
    os.kill(victim.pid, signal.SIGKILL)
    wait(lambda: space.job(victim.id).status == "interrupted")
    assert all(space.job(job.id).status in ("running", "finished") for job in others)  # they need no runtime
    with serving(root, cpus=4):
        wait(lambda: space.queue.counts() == {"finished": 10})
    assert [job.id for job in space.jobs("finished")] == names
    assert "going on after" in queue.log(victim.id).read_text()
    assert {job.id: job.attempts for job in space.jobs()} == {
        name: 2 if name == victim.id else 1 for name in names
    }
    for n in range(10):
        plain = {key: JOB[key] for key in ("maxIterations", "checkpointInterval")}
        assert same(weights(space, f"t{n}"), undisturbed(tmp_path / "alone", f"t{n}", seed=n, **plain))


def test_workers_end_in_every_way_and_the_runtime_goes_on(space, tmp_path):
    queue = Queue(space.folder)

    def submit(tag: str, **options: object) -> str:
        return queue.submit("learn", "Net", "Iris", {**JOB, "tag": tag, "seed": 5, **options})

    killed = submit("killed", maxIterations=100_000)
    stopped = submit("stopped")
    broken = submit("broken", strategy="Broken")
    silent = submit("silent", strategy="Silent")
    with serving(space.folder.root, cpus=2):
        wait(lambda: all(space.job(job).iteration > 20 for job in (killed, stopped)))
        queue.stop(stopped)
        os.kill(space.job(killed).pid, signal.SIGKILL)
        wait(lambda: not space.jobs("running", "queued"))

        job = space.job(killed)
        assert (job.status, job.signal) == ("failed", "SIGKILL")
        assert job.error == "killed by SIGKILL (by somebody, or by the system for want of memory)"
        job = space.job(broken)
        assert (job.status, job.signal) == ("failed", None)
        assert job.error.startswith("iteration 3 of BrokenLearningStrategy")
        assert job.error.endswith("ValueError: out of luck")
        assert queue.log(broken).read_text().endswith(f"error: {job.error}\n")
        assert space.job(silent).error == "its worker ended with code 3 and said no more"

        job = space.job(stopped)
        assert (job.status, job.error) == ("stopped", None)
        assert space.result(stopped)["stopped"] == "SIGTERM"
        assert space.store.manifest("Net", "stopped").iteration == job.iteration < 300
        assert queue.resume(stopped).status == "queued"
        wait(lambda: space.job(stopped).status == "finished")
        judged = queue.submit("evaluate", "Net", "Iris", {"tag": "stopped", "cpus": 2})
        wait(lambda: space.job(judged).over)
        assert space.job(judged).status == "finished"
        assert space.result(judged)["metrics"] == space.job(judged).metrics
        told = [(one.job, one.level) for one in space.queue.notifications(newest=100)]
        assert (killed, "DANGER") in told
        assert (stopped, "WARNING") in told
        assert (stopped, "SUCCESS") in told
        assert control.status(space.folder) is not None
    wanted = undisturbed(tmp_path / "alone", "stopped", seed=5, maxIterations=300)
    assert same(weights(space, "stopped"), wanted)


class Busy(Queue):
    """A queue in which the first job begins whenever somebody has looked."""

    def jobs(self, *statuses: str, newest: int | None = None) -> list[Entry]:
        found = super().jobs(*statuses, newest=newest)
        with self.database.writing() as session:
            session.execute("UPDATE jobs SET status = 'running' WHERE number = 1")
        return found


def test_a_job_that_begins_while_the_runtime_looks_takes_its_room(space, monkeypatch):
    queue, started = Busy(space.folder), []
    first, _ = (queue.submit("learn", "Net", "Iris", {**JOB, "tag": f"t{n}"}) for n in range(2))
    runtime = Runtime(space.folder, Room(0.5, ()), print)
    runtime.queue, runtime.workers = queue, {first: None}
    monkeypatch.setattr(runtime, "_spawn", lambda job, _: started.append(job.id))
    with running(space.folder, first):
        runtime._start()
        runtime._start()
    assert started == []


def test_a_job_is_named_whose_runtime_does_not_start(space, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(DianneError) as fault:
        space.submit("Net", "Iris", **JOB, tag="t")
    (job,) = space.jobs("queued")
    log = display(space.folder.state / "runtime.log")
    assert str(fault.value) == f"the job {job.id} is queued, but the runtime does not start; see {log}"


def test_a_runtime_starts_when_it_is_needed_and_ends_when_it_is_asked_to(space):
    folder = space.folder
    with pytest.raises(UsageError, match="this workspace has no runtime"):
        control.stop(folder)
    job = space.submit("Net", "Iris", strategy="Slow", maxIterations=100_000, tag="t", seed=1)
    found = control.status(folder)
    assert found is not None
    assert control.ensure(folder) == found
    command = [sys.executable, "-m", "dianne", "serve"]
    second = subprocess.run(command, cwd=folder.root, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stderr) == (
        2,
        "error: this workspace has a runtime already; see `dianne runtime status`\n",
    )
    wait(lambda: space.job(job).iteration > 0)
    assert idle(found.pid) < 0.1
    assert control.stop(folder) == found
    assert control.status(folder) is None
    done = space.job(job).iteration
    wait(lambda: space.job(job).iteration > done)  # the job goes on
    space.stop(job)
    wait(lambda: space.job(job).status == "stopped")


def idle(pid: int) -> float:
    """The seconds of processor time that a process takes in one second."""

    def used() -> float:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(1)
    return used() - before


def test_a_worker_sees_the_cards_of_those_that_the_user_allows(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for allowed, cards, seen in (
        (None, [0, 2], "0,2"), (None, [], ""), ("2, GPU-77", [1], "GPU-77"), ("2, GPU-77", [], "")
    ):  # fmt: skip
        if allowed:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        assert environment({"threads": 1, "cards": cards})["CUDA_VISIBLE_DEVICES"] == seen
