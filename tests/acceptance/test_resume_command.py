"""Jobs on the command line: stopped, resumed, done again."""

import json
import signal
import subprocess

from command import DIANNE

from dianne import Workspace

NETWORK = """
modules:
  image: {type: Input, shape: [1, 8, 8]}
  hidden: {type: Linear, output: 8}
  drop: {type: Dropout, rate: 0.2}
  scores: {type: Linear, output: 10}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
DATASET = "{type: sklearn, loader: load_digits, frame: [8, 8], labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}"
JOB = "Net Small batchSize=16 seed=1"


def test_a_job_is_stopped_resumed_and_done_again(run, folder):
    for name, text in {"networks/Net.yaml": NETWORK, "datasets/Small.yaml": DATASET}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    command = [str(DIANNE), "learn", *JOB.split(), "tag=t", "maxIterations=100000", "traceInterval=100"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("iteration 100/"))
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait() == 128 + signal.SIGTERM
    (job,) = (path.name for path in (folder / ".dianne" / "jobs").iterdir())
    fault = run("dianne resume maxIterations=3", code=2)
    assert fault.stderr == (
        "error: a job goes on with the options that it began with; leave maxIterations out\n"
    )
    with subprocess.Popen([str(DIANNE), "resume", job[:5]], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("learning Net on Small")
        assert process.stderr.readline().startswith("going on after ")
        process.kill()
    run(f"dianne learn {JOB} tag=short maxIterations=200")
    again = run("dianne rerun Net:short")
    assert again.stdout == "Net:rerun-short and Net:short have the same bits\n"
    dry = run("dianne rerun Net:short tag=x --dry-run").stdout
    assert dry == "learn Net Small batchSize=16 maxIterations=200 seed=1\n200 iterations, stored under x\n"
    assert json.loads(run("dianne rerun Net:short tag=x --dry-run --json").stdout) == {
        "networks": ["Net"],
        "dataset": "Small",
        "options": {"batchSize": "16", "seed": 1, "maxIterations": "200"},
        "iterations": 200,
        "tag": "x",
        "reasons": [],
    }


def test_the_selftest_says_that_the_bits_are_the_same(run, folder):
    for name, text in {"networks/Net.yaml": NETWORK, "datasets/Small.yaml": DATASET}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    Workspace().learn("Net", "Small", tag="a", maxIterations=9, syncInterval=3, checkpointInterval=0)
    before = sorted(folder.rglob("*"))
    found = run(f"dianne resume --selftest {JOB} initTag=a~2 maxIterations=150 --kills 2")
    table, last = found.stdout.rsplit("\n", 2)[:2]
    assert ["Net:selftest", "the", "same", "bits"] in [line.split() for line in table.split("\n")]
    assert last in ("150 iterations, killed 2 times", "150 iterations, killed once")
    assert sorted(folder.rglob("*")) == before
