"""Jobs whose samples are adapted: what is learned from, validated and evaluated, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from workspaces import workspace_of

from dianne import DianneError, Workspace
from dianne.errors import ConfigError
from dianne.jobs.evaluate import prepare as prepare_evaluation
from dianne.jobs.learn import LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun

NET = """
parameters: {classes: 3, side: 8}
modules:
  image: {type: Input, shape: [1, "${side}", "${side}"]}
  flat: {type: Reshape, shape: ["${side*side}"]}
  scores: {type: Linear, output: "${classes}"}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
SAMPLES = """
import numpy as np

def samples():
    random = np.random.RandomState(1)
    kinds = np.arange(60) % 3
    images = (random.rand(60, 1, 8, 8) * 60 + 90 * kinds[:, None, None, None] % 200).astype("uint8")
    return images, kinds
"""
DATA = """
type: Python
function: datasets/samples.py:samples
labels: [a, b, c]
parts: {train: "0:40", test: "40:60"}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    files = {"networks/Net.yaml": NET, "datasets/samples.py": SAMPLES, "datasets/Set.yaml": DATA}
    return workspace_of(tmp_path, files)


def learn(workspace: Workspace, tag: str = "t", dataset: str = "Set", **options):
    return workspace.learn("Net", dataset, tag=tag, batchSize=8, maxIterations=4, **{"seed": 1, **options})


def fault(workspace: Workspace, dataset: str = "Set", **options) -> str:
    with pytest.raises(DianneError) as raised:
        learn(workspace, dataset=dataset, **options)
    return str(raised.value)


def seen(workspace: Workspace, **options):
    """The run of a job, set up but not begun."""
    run = LearnRun(
        prepare(workspace.folder, "Net", "Set", {"batchSize": 8, "seed": 1, **options}), LearnWatcher()
    )
    found = []
    run.set_up, original = lambda train: found.append(train) or original(train), run.set_up
    return run, found


AUGMENTED = {"hflip": 0.5, "rotation": 20, "cropPadding": 2, "encoderNoise": 0.1}


def test_augmentation_is_drawn_by_the_seed_of_the_job(workspace):
    first, again = (learn(workspace, clean=True, **AUGMENTED).loss["loss"] for _ in range(2))
    other = learn(workspace, clean=True, seed=2, **AUGMENTED).loss["loss"]
    plain = learn(workspace, clean=True).loss["loss"]
    assert first == again
    assert len({first, other, plain}) == 3


def test_augmentation_leaves_the_order_of_samples_alone(workspace):
    plain = learn(workspace).loss["loss"]
    assert learn(workspace, clean=True, hflip=1e-9, encoderDrop=1e-12).loss["loss"] == plain


def test_evaluations_follow_the_job_but_are_not_augmented(workspace):
    learn(workspace, cropWidth=6, cropHeight=6, hflip=0.5, side=6)
    found = workspace.evaluate("Net", "Set", tag="t", includeOutputs=True)
    middle = workspace.dataset("Set", "test").batch(slice(None)).input[..., 1:7, 1:7]
    expected = workspace.deploy("Net", tag="t").forward(middle)
    torch.testing.assert_close(found.outputs, expected)
    job = prepare_evaluation(workspace.folder, "Net", "Set", {"tag": "t", "cropWidth": 5})
    origins = {setting.key: (setting.value, setting.origin) for setting in job.bound.settings}
    assert origins["cropHeight"] == (6, "tag t")
    assert origins["cropWidth"] == (5, "command line")


def test_lists_are_recorded_as_they_are_typed(workspace):
    learn(workspace, frame=[6, 6], rotation="5,10", side=6)
    assert workspace.tags("Net")["t"].job["options"]["frame"] == "6,6"
    assert workspace.evaluate("Net", "Set", tag="t").size == 20


def test_evaluations_are_normalised_as_the_samples_learned_from(workspace):
    learn(workspace, normalise=True, range="0:20", validationSet="20:40")
    images = workspace.dataset("Set").batch(slice(0, 20)).input.double()
    mean, deviation = json.loads(workspace.tags("Net")["t"].dataset["normalise"])
    assert mean == pytest.approx([images.mean().item()])
    assert deviation == pytest.approx([images.std(correction=0).item()])
    found = workspace.evaluate("Net", "Set", tag="t", includeOutputs=True)
    test = workspace.dataset("Set", "test").batch(slice(None)).input
    expected = workspace.deploy("Net", tag="t").forward((test - mean[0]) / deviation[0])
    torch.testing.assert_close(found.outputs, expected)


def test_what_a_split_leaves_is_validated_and_can_be_evaluated(workspace):
    run, trained = seen(workspace, split=0.75, splitSeed=3, tag="t", maxIterations=2)
    result = run.run()
    kept = run.validator.dataset
    assert (len(trained[0]), len(kept)) == (30, 10)
    both = torch.cat((trained[0].inputs, kept.inputs)).flatten(1)
    assert len(both.unique(dim=0)) == 40
    assert list(result.validations) == [2]
    found = workspace.evaluate("Net", "Set", tag="t", range="0:40", split=0.75, splitSeed=3)
    assert found.metrics == result.validations[2].metrics
    assert workspace.evaluate("Net", "Set", tag="t").size == 20


def test_classes_can_be_left_out(workspace):
    learn(workspace, labels="c,a", classes=2)
    found = workspace.evaluate("Net", "Set", tag="t")
    assert (found.labels, found.size) == (["c", "a"], 13)
    assert workspace.tags("Net")["t"].labels == ["c", "a"]


def test_a_network_that_does_not_fit_is_found_before_anything_runs(workspace):
    assert fault(workspace, cropHeight=6) == "Net.image takes samples of [1, 8, 8], got [1, 6, 8]"
    assert not workspace.tags("Net")


def test_options_out_of_their_range_are_refused(workspace):
    assert fault(workspace, hflip=2, frame="5", rotation="3,1", rotationCenter="middle", split=1) == (
        "learn: 5 problems\n"
        "  option 'split': expected less than 1.0, found 1\n"
        "  option 'hflip': expected at most 1.0, found 2\n"
        "  option 'rotation': expected the largest angle, or the smallest and the largest, found '3,1'\n"
        "  option 'rotationCenter': expected x,y or random, found 'middle'\n"
        "  option 'frame': expected height,width or planes,height,width, each side at least 2, found '5'"
    )


# ------------------------------------------------------------------------------------------ descriptors


def describe(workspace: Workspace, adapters: str) -> None:
    (workspace.folder.root / "datasets/Set.yaml").write_text(DATA + adapters)


def test_descriptors_list_adapters_in_front_of_those_of_the_job(workspace):
    describe(
        workspace, "adapters:\n  - {labels: [a, c], other: true}\n  - {normalise: true}\n  - frame: [6, 6]\n"
    )
    data = workspace.dataset("Set", "train")
    assert (data.input_dims, data.labels) == ((1, 6, 6), ["a", "c", "other"])
    learn(workspace, side=5, cropWidth=5, cropHeight=5)
    assert workspace.evaluate("Net", "Set", tag="t").labels == ["a", "c", "other"]


def test_descriptors_normalise_by_their_part_train(workspace):
    describe(workspace, "adapters: [{normalise: true}]\n")
    values = workspace.dataset("Set", "train").batch(slice(None)).input
    assert float(values.mean()) == pytest.approx(0, abs=1e-5)
    assert float(values.std(correction=0)) == pytest.approx(1)


def test_adapters_that_do_not_fit_are_found_in_their_place(workspace):
    describe(workspace, "adapters:\n  - {frame: [6, 6]}\n  - {cropWidth: 7}\n")
    assert fault(workspace).endswith(
        "Set.yaml:8:5: a window of 6 x 7 does not fit into the images of Set, which are 6 x 6 with their "
        "padding; raise cropPadding, or use frame"
    )
    describe(workspace, "adapters:\n  - {frame: [6, 6]}\n  - {hflop: 0.5}\n")
    with pytest.raises(ConfigError) as raised:
        workspace.dataset("Set")
    assert str(raised.value).endswith("Set.yaml:8:6: unknown key 'hflop'; did you mean 'hflip'?")


def test_a_job_is_the_same_where_its_data_stay_in_their_file(tmp_path, monkeypatch):
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "datasets").mkdir()
    pixels = torch.randint(256, (60, 785), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    pixels[:, 0] %= 10
    (tmp_path / "datasets" / "x").write_bytes(pixels.numpy().tobytes())
    (tmp_path / "datasets" / "Big.yaml").write_text(
        "type: RawDataset\ninputDims: [1, 28, 28]\ntargetDims: [10]\ninputs: [x]\n"
    )
    workspace = Workspace(tmp_path)
    options = {"seed": 1, "maxIterations": 5, "batchSize": 8, "hflip": 0.5, "split": 0.5}
    here = workspace.learn("MLP", "Big", tag="here", **options)
    there = workspace.learn("MLP", "Big", tag="there", memoryLimit="1K", **options)
    assert there.loss == here.loss
    assert (
        workspace.evaluate("MLP", "Big", tag="there", memoryLimit="1K").metrics
        == workspace.evaluate("MLP", "Big", tag="here").metrics
    )
