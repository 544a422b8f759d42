"""Sweeps and trackers, as a user types them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import DIANNE, Run
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from dianne.api import Workspace
from dianne.errors import UsageError
from dianne.jobs.queue import Queue
from dianne.runtime import control
from dianne.store import Store
from dianne.workspace import Folder


@pytest.fixture(autouse=True)
def no_runtime_stays(folder: Path) -> Iterator[None]:
    yield
    if control.status(Folder(folder)):
        control.stop(Folder(folder))


def until(true: Callable[[], object]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about in 30 s")


def test_ctrl_c_stops_the_trials_that_run(folder: Path) -> None:
    words = "sweep MLP Digits split=0.8 hidden=4,8 maxIterations=1000000 trials=3 parallel=1 name=s --json"
    command = subprocess.Popen(
        [str(DIANNE), *words.split()], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    queue = Queue(Folder(folder))
    try:
        until(lambda: any(job.iteration for job in queue.jobs("running")))
    finally:
        command.send_signal(signal.SIGINT)
        told, talk = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "stopping the trials that run" in talk
    assert [trial["status"] for trial in json.loads(told)["trials"]] == ["stopped"]
    assert [job.status for job in queue.jobs()] == ["stopped"]


def test_a_sweep_shows_its_trials_the_best_and_how_to_do_it_again(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text(
        "networks: MLP\ndataset: Digits\nsplit: 0.8\nmaxIterations: 4\nvalidationInterval: 2\nhidden: 4\n"
    )
    told = run("dianne sweep job.yaml hidden=4,64 trials=2 seed=2 tag=best cpus=0.5").stdout
    lines = [line.split() for line in told.splitlines()]
    assert lines[0] == ["trial", "accuracy", "hidden", "status", "job"]
    assert [line[3] for line in lines[1:3]] == ["finished", "finished"]
    assert float(lines[1][1]) >= float(lines[2][1])
    assert told.splitlines()[-2] == "the best is MLP:best; it is made again by:"
    run(f"{told.splitlines()[-1].strip()} tag=again")
    store = Store(folder / "models")
    trial = store.manifest("MLP", f"best/{lines[1][0]}")
    assert store.manifest("MLP", "again").blob == trial.blob


def test_a_job_is_tracked_by_a_process_of_its_own_that_ends_with_it(run: Run, folder: Path) -> None:
    def events(job: str) -> list[tuple[str, int]]:
        """All that TensorBoard has of a job, once all is there."""
        kept = folder / ".dianne" / "track" / job / "tensorboard.json"
        until(lambda: kept.exists() and json.loads(kept.read_text())["done"])
        (path,) = (folder / ".dianne" / "tensorboard" / job).iterdir()
        return [(v.tag, e.step) for e in EventFileLoader(str(path)).Load() for v in e.summary.value]

    workspace = Workspace()
    tracked = workspace.learn("MLP", "Digits", tag="t", maxIterations=7, track="tensorboard").job
    found = events(tracked)
    assert [step for tag, step in found if tag == "loss"] == list(range(1, 8))
    assert {tag for tag, _ in found} == {
        "loss", "final/loss", "_hparams_/session_start_info", "_hparams_/session_end_info",
    }  # fmt: skip
    with pytest.raises(UsageError) as fault:
        workspace.learn("MLP", "Digits", track="wandb")
    assert str(fault.value) == "there is no tracker 'wandb'; trackers: mlflow, tensorboard"

    other = workspace.learn("MLP", "Digits", tag="u", maxIterations=2).job
    assert run("dianne track MLP:u", code=2).stderr == (
        f"error: the job {other} has no trackers; name some: dianne track {other} tensorboard\n"
    )
    assert run("dianne track MLP:u tensorboard").stdout == f"handing {other} on to tensorboard\n"
    assert ("loss", 2) in events(other)
