"""Jobs, as a user submits, follows and stops them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Run

from dianne.cli.jobs import _tail
from dianne.runtime import control
from dianne.workspace import Folder

STRATEGY = """
import os, signal
from dianne.strategies.feed_forward import FeedForwardLearningStrategy

class CrashLearningStrategy(FeedForwardLearningStrategy):
    def process_iteration(self, i):
        if i == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().process_iteration(i)
"""


@pytest.fixture(autouse=True)
def no_runtime_stays(folder: Path) -> Iterator[None]:
    yield
    if control.status(Folder(folder)):
        control.stop(Folder(folder))


def test_a_job_is_submitted_followed_and_submitted_again(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text("networks: MLP\ndataset: Digits\nmaxIterations: 30\ntag: t\n")
    first = json.loads(run("dianne submit job.yaml learningRate=0.01 seed=1 threads=1 --json").stdout)["job"]
    watched = run(f"dianne watch {first[:5]}").stderr.splitlines()
    assert watched[0] == "learn MLP on Digits with FeedForwardLearningStrategy, tag t"
    assert watched[-2].startswith("30/30  loss ")
    assert watched[-1] == f"{first} finished"

    assert run(f"dianne logs {first}").stdout.startswith("learning MLP on Digits with FeedForward")
    shown = run("dianne result MLP:t").stdout
    assert shown.startswith("stored MLP:t after 30 iterations in ")
    assert json.loads(run("dianne result MLP:t --json").stdout)["iterations"] == 30
    about = [" ".join(line.split()) for line in run("dianne job MLP:t").stdout.splitlines()]
    for line in ("status finished", "takes cpus 1, gpus 0, threads 1", "done 30/30"):
        assert line in about
    assert "learningRate=0.01" in " ".join(about)

    again = run("dianne resubmit MLP:t learningRate=0.1 tag=u").stdout
    second = re.fullmatch(r"queued (\w+); follow it with: dianne watch \1\n", again)
    assert second
    *points, last = map(json.loads, run(f"dianne watch {second[1]} --json").stdout.splitlines())
    assert [point["iteration"] for point in points] == list(range(1, 31))
    assert points[-1]["numbers"] == {"loss": last["terms"]["loss"]}
    assert (last["id"], last["status"]) == (second[1], "finished")
    first_line = json.loads(run(f"dianne logs {second[1]} --json").stdout.splitlines()[0])
    assert first_line == "learning MLP on Digits with FeedForwardLearningStrategy, tag u\n"
    judged = json.loads(run("dianne submit evaluate MLP Digits tag=u --json").stdout)["job"]
    run(f"dianne watch {judged}")
    assert run(f"dianne result {judged}").stdout.splitlines()[1].startswith("accuracy ")

    listed = json.loads(run("dianne jobs --json").stdout)
    assert [job["id"] for job in listed] == [first, second[1], judged]
    assert [job["options"].get("learningRate") for job in listed] == ["0.01", "0.1", None]
    rows = [" ".join(line.split()) for line in run("dianne jobs").stdout.splitlines()]
    assert rows[0] == "job what tag status done value took"
    assert [row.split("%")[0] for row in rows[1:]] == [
        f"{first[:8]} learn MLP on Digits t finished 100",
        f"{second[1][:8]} learn MLP on Digits u finished 100",
        f"{judged[:8]} evaluate MLP on Digits u finished 100",
    ]
    assert len(run("dianne finished n=2").stdout.splitlines()) == 3
    assert run("dianne queued").stderr == run("dianne running").stderr == "no such jobs in this workspace\n"
    levels = [one["level"] for one in json.loads(run("dianne notifications --json").stdout)]
    assert levels == ["INFO", "INFO", "SUCCESS"] * 3


def test_a_job_that_crashes_says_why_and_what_to_do(run: Run, folder: Path) -> None:
    (folder / "strategies").mkdir()
    (folder / "strategies" / "crash.py").write_text(STRATEGY)
    job = json.loads(run("dianne submit MLP Digits strategy=Crash tag=t --json").stdout)["job"]
    told = run(f"dianne watch {job}", code=1)
    lines = told.stdout.splitlines()
    assert lines[0] == "failed: killed by SIGSEGV (a fault in compiled code)"
    assert lines[2] == f"the end of .dianne/jobs/{job}/log:"
    assert lines[3] == "  Fatal Python error: Segmentation fault"
    assert any("crash.py" in line for line in lines[4:])
    assert lines[-2:] == [
        f"run it again:  dianne resubmit {job}",
        f"go on with it: dianne resume {job}",
    ]
    assert run(f"dianne job {job}").stdout.endswith(told.stdout)
    run(f"dianne result {job}", code=2)


def test_of_a_crash_the_thread_that_crashed_is_shown(tmp_path: Path) -> None:
    others = [f'  File "threading.py", line {number} in wait' for number in range(9)]
    crashed = ["Current thread 0x2 (most recent call first):", '  File "crash.py", line 3 in loss']
    log = ["learning", "Fatal Python error: Segmentation fault", "", "Thread 0x1:", *others, "", *crashed]
    (tmp_path / "log").write_text("\n".join(log))
    assert _tail(tmp_path / "log") == [log[1], *crashed]


def test_the_runtime_is_told_of_and_stopped(run: Run, folder: Path) -> None:
    none = run("dianne runtime status", code=1).stdout
    assert none == "this workspace has no runtime; jobs that wait for one: 0\n"
    assert run("dianne runtime stop", code=2).stderr == "error: this workspace has no runtime\n"
    assert list(folder.iterdir()) == []
    job = json.loads(run("dianne submit MLP Digits tag=t maxIterations=1000000 --json").stdout)["job"]
    found = json.loads(run("dianne runtime status --json").stdout)["runtime"]
    assert json.loads(run("dianne runtimes --json").stdout) == [found]
    assert run(f"dianne stop {job}").stdout in (f"stopping {job}\n", f"cancelled {job}\n")
    run(f"dianne watch {job}")
    assert json.loads(run(f"dianne job {job} --json").stdout)["status"] == "stopped"
    assert run("dianne runtime stop").stdout == f"the runtime (process {found['pid']}) has ended\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "dianne submit",
            "NETWORKS and DATASET missing; usage: dianne submit [OPTIONS] [learn|evaluate] NETWORKS DATASET "
            "[KEY=VALUE]...",
        ),
        (
            "dianne submit evaluate MLP Digits tag=t",
            "MLP has no tag 't'; nothing is stored for MLP in models/",
        ),
        ("dianne job abc", "there is no job 'abc'; nothing was learned or submitted here yet"),
        (
            "dianne finished n=some",
            "n=some: expected how many jobs to list, a whole number of at most 9 digits",
        ),
        (
            "dianne serve cpu=2",
            "serve: 1 problem\n  option 'cpu': nothing here reads 'cpu'; did you mean 'cpus'?",
        ),
        ("dianne undeploy Net", "'Net' is not deployed\n  deploy it with: dianne deploy Net tag=..."),
    ],
)
def test_what_is_wrong_is_said_in_one_message_and_nothing_starts(
    run: Run, folder: Path, command: str, message: str
) -> None:
    assert run(command, code=2).stderr == f"error: {message}\n"
    assert list(folder.iterdir()) == []


def test_deployed_networks_are_listed_looked_at_and_forgotten(run: Run) -> None:
    run("dianne learn MLP Digits tag=t maxIterations=2")
    run("dianne deploy MLP tag=t name=Look")
    lines = [line.split() for line in run("dianne list").stdout.splitlines()]
    assert lines == [
        ["instance", "network", "tag", "iterations", "dataset"],
        ["Look", "MLP", "t", "2", "Digits"],
    ]
    assert json.loads(run("dianne list --json").stdout)[0]["name"] == "Look"
    described = run("dianne describe MLP").stdout
    assert run("dianne info Look").stdout == f"Look: MLP with the weights of t\n\n{described}"
    total = described.splitlines()[-1].split()[-1]
    assert run("dianne size Look").stdout == f"{total}\n"
    run("dianne untag MLP:t")
    listed = run("dianne list", code=1)
    assert listed.stdout.splitlines()[1].split() == ["Look", "MLP", "t"]
    assert listed.stderr == "Look: MLP has no tag 't'; nothing is stored for MLP in models/\n"
    assert run("dianne undeploy Look").stdout == "undeployed Look\n"
    assert (
        run("dianne list").stderr == "nothing is deployed in this workspace; dianne deploy NETWORK tag=TAG\n"
    )


def test_devices_are_listed(run: Run) -> None:
    found = json.loads(run("dianne devices --json").stdout)
    assert found["cpus"] >= 1
    assert found["memory"] > 2**28
    assert run("dianne devices").stdout.splitlines()[1].split()[0] == "cpus"
