"""Where the time of a job went."""

import json

import pytest
from workspaces import FILES, workspace_of

from dianne import Workspace
from dianne.learning.profile import PARTS

READER = """
modules:
  letter: {type: Input, shape: [5]}
  cell: {type: LSTMCell, output: 3}
  scores: {type: Linear, output: 5}
  next: {type: LogSoftmax}
  output: {type: Output}
"""


@pytest.fixture
def workspace(tmp_path):
    files = {
        "networks/Reader.yaml": READER,
        "datasets/Text.yaml": "type: CharSequenceDataset\nfile: text.txt\n",
        "datasets/text.txt": "abba-cab cab " * 20,
    }
    return workspace_of(tmp_path, {**FILES, **files})


def learn(workspace: Workspace, **options):
    return workspace.learn("Net", "Iris", **{"tag": "t", "seed": 1, "maxIterations": 40, **options})


@pytest.mark.parametrize("iterations", [1, 2, 3, 40])
def test_a_profile_has_all_parts_and_a_trace_and_changes_nothing(workspace, iterations):
    options = {"maxIterations": iterations, "traceInterval": 1, "clean": True}
    plain, found = learn(workspace, **options), learn(workspace, profile=True, **options)
    assert list(found.profile) == [*PARTS, "other"]
    assert min(found.profile.values()) >= 0
    assert all(found.profile[part] > 0 for part in PARTS)
    assert sum(found.profile.values()) <= found.seconds + 1e-6
    assert [report.terms for report in found.history] == [report.terms for report in plain.history]
    assert plain.profile == {}
    trace = workspace.folder.state / "jobs" / found.job / "trace.json"
    names = {event["name"] for event in json.loads(trace.read_text())["traceEvents"]}
    assert iterations == 1 or "aten::addmm" in names
    assert not (workspace.folder.state / "jobs" / plain.job / "trace.json").exists()


def test_sequences_are_data_too(workspace):
    options = {"strategy": "BPTT", "batchSize": 2, "sequenceLength": 5, "maxIterations": 3}
    assert workspace.learn("Reader", "Text", tag="t", profile=True, **options).profile["data"] > 0


def test_the_trace_of_a_job_that_is_stopped_is_written(workspace):
    stops = iter([""] * 15 + ["enough"])
    found = learn(workspace, profile=True, stop=lambda: next(stops))
    assert found.stopped == "enough"
    assert (workspace.folder.state / "jobs" / found.job / "trace.json").stat().st_size > 1000
