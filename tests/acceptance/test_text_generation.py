"""A network learns a text, is judged, and goes on with a prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Run

from dianne import UsageError, Workspace

DATASET = "type: CharSequenceDataset\nfile: rhyme.txt\nparts: {train: '0:400', test: '400:479'}\n"
TEXT = ("the cat sat on the mat, and a cat is fat\n" * 12)[:480]
LEARN = {
    "strategy": "BPTT", "vocabulary": 15, "hidden": 12, "layers": 1, "backpropAll": True, "batchSize": 8,
    "sequenceLength": 10, "learningRate": 0.02, "maxIterations": 150, "seed": 1, "tag": "t",
}  # fmt: skip


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    """A workspace with a dataset."""
    (folder / "datasets").mkdir()
    (folder / "datasets" / "rhyme.txt").write_text(TEXT)
    (folder / "datasets" / "Rhyme.yaml").write_text(DATASET)
    return Workspace(folder)


def test_learn_evaluate_and_generate_as_typed(run: Run, workspace: Workspace) -> None:
    run("dianne learn CharLSTM Rhyme " + " ".join(f"{key}={value}" for key, value in LEARN.items()))
    metrics = json.loads(run("dianne evaluate CharLSTM Rhyme tag=t batchSize=1 --json").stdout)["metrics"]
    assert metrics["perplexity"] < 3
    assert list(metrics) == ["nats per step", "perplexity", "bits per step", "accuracy"]

    text = run("dianne generate CharLSTM the n=40 tag=t temperature=0.5 seed=1").stdout
    assert text.startswith("the")
    assert text.endswith("\n")
    assert len(text) == len("the") + 40 + 1
    workspace.deploy("CharLSTM", "t", "poet")
    again = run("dianne generate poet n=40 temperature=0.5 seed=1 prompt=the --json").stdout
    assert json.loads(again) == {"prompt": "the", "text": text[3:-1], "seed": 1}
    failed = run("dianne generate CharLSTM thé tag=t", code=2)
    assert failed.stderr.startswith("error: CharLSTM:t does not know 'é'; it knows ")
    assert failed.stdout == ""


@pytest.mark.parametrize("network", ["CharRNN", "CharLSTM"])
def test_both_kinds_of_network_learn_to_write(workspace: Workspace, network: str) -> None:
    workspace.learn(network, "Rhyme", **LEARN)
    assert workspace.evaluate(network, "Rhyme", tag="t", batchSize=1).metrics["perplexity"] < 3
    first = workspace.generate(network, "the ", "t", n=60, temperature=0.5, seed=1)
    assert set(first) <= set(TEXT)
    assert any(word in first for word in ("cat ", "mat", "sat "))
    assert workspace.generate(network, "the ", "t", n=60, temperature=0.5, seed=1) == first


def test_what_cannot_be_generated_is_one_message(run: Run, folder: Path) -> None:
    for command, message in (
        ("generate CharLSTM the n=0 temperature=-1",
         "error: generate: 2 problems\n  option 'n': expected more than 0, found '0'\n"
         "  option 'temperature': expected at least 0.0, found '-1'\n"),
        ("generate CharLSTM the",
         "error: 'CharLSTM' is not deployed\n  deploy it with: dianne deploy CharLSTM tag=...\n"),
    ):  # fmt: skip
        assert run(f"dianne {command}", code=2).stderr == message


def test_samples_are_drawn_as_options_say(workspace: Workspace) -> None:
    def learn(sampling: str, **options: str) -> None:
        workspace.learn("MLP", "Digits", maxIterations=1, tag="s", sampling=sampling, **options)

    learn("WEIGHTED", weightedRanges="0,9,100,199", probabilities="0.5,0.25")
    learn("UNIFORMCLASS")
    with pytest.raises(UsageError) as beyond:
        learn("WEIGHTED", weightedRanges="0,5000", probabilities="1")
    assert str(beyond.value) == (
        "weightedRanges reach to sample 5,000, but there are the samples 0 to 1,499 to draw from"
    )
    with pytest.raises(UsageError) as missing:
        learn("WEIGHTED")
    assert "option 'weightedRanges': is missing and has no default" in str(missing.value)
