"""A network learns a text, is judged, and goes on with a prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Run

DATASET = "type: CharSequenceDataset\nfile: rhyme.txt\nparts: {train: '0:400', test: '400:479'}\n"
LEARN = (
    "dianne learn {network} Rhyme strategy=BPTT vocabulary=15 hidden=12 layers=1 backpropAll=true "
    "batchSize=8 sequenceLength=10 learningRate=0.02 maxIterations=150 seed=1 tag=t"
)


@pytest.fixture
def rhyme(folder: Path) -> str:
    """A dataset in the workspace: its text."""
    (folder / "datasets").mkdir()
    text = "the cat sat on the mat, and a cat is fat\n" * 12
    (folder / "datasets" / "rhyme.txt").write_text(text[:480])
    (folder / "datasets" / "Rhyme.yaml").write_text(DATASET)
    return text


@pytest.mark.parametrize("network", ["CharRNN", "CharLSTM"])
def test_learn_evaluate_and_generate(run: Run, folder: Path, rhyme: str, network: str) -> None:
    run(LEARN.format(network=network))
    metrics = json.loads(run(f"dianne evaluate {network} Rhyme tag=t batchSize=1 --json").stdout)["metrics"]
    assert metrics["perplexity"] < 3
    assert list(metrics) == ["nats per step", "perplexity", "bits per step", "accuracy"]

    command = f"dianne generate {network} the n=40 tag=t temperature=0.5 seed=1"
    first = run(command)
    assert first.stdout.startswith("the")
    assert len(first.stdout) == len("the") + 40 + 1
    assert set(first.stdout) <= set(rhyme)
    assert run(command).stdout == first.stdout
    found = json.loads(run(f"{command} --json").stdout)
    assert found == {"prompt": "the", "text": first.stdout[3:-1], "seed": 1}

    run(f"dianne deploy {network} tag=t name=poet")
    again = run("dianne generate poet n=40 temperature=0.5 seed=1 prompt=the")
    assert again.stdout == first.stdout


def test_what_cannot_be_generated_is_one_message(run: Run, folder: Path, rhyme: str) -> None:
    run(LEARN.format(network="CharLSTM").replace("maxIterations=150", "maxIterations=1"))
    for command, message in (
        ("generate CharLSTM thé tag=t", "CharLSTM:t does not know 'é'; it knows "),
        ("generate CharLSTM tag=t", "the prompt is empty; give at least one character to go on from"),
        ("generate CharLSTM the tag=t n=0", "option 'n': expected more than 0, found '0'"),
        ("generate CharLSTM the tag=t temperature=-1", "option 'temperature': expected at least 0"),
        ("generate CharLSTM the", "'CharLSTM' is not deployed"),
        ("generate CharLSTM the end tag=t", "'end' is one word too many"),
        ("generate", "INSTANCE and PROMPT missing"),
    ):
        failed = run(f"dianne {command}", code=2)
        assert message in failed.stderr
        assert failed.stdout == ""


def test_weighted_samples_are_a_matter_of_options(run: Run, folder: Path) -> None:
    learn = "dianne learn MLP Digits maxIterations=2 tag=t sampling=WEIGHTED"
    run(f"{learn} weightedRanges=0,9,100,199 probabilities=0.5,0.25")
    beyond = run(f"{learn} weightedRanges=0,5000 probabilities=1", code=2)
    assert "weightedRanges reach to sample 5,000, but there are the samples 0 to 1,499" in beyond.stderr
    assert "option 'weightedRanges': is missing and has no default" in run(learn, code=2).stderr
    run("dianne learn MLP Digits maxIterations=2 tag=t sampling=UNIFORMCLASS")
