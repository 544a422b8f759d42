"""Options of learning and evaluating, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

from command import Run

LEARN = "dianne learn MLP Digits maxIterations=60 seed=1"


def test_what_an_evaluation_keeps_and_gives(run: Run, folder: Path) -> None:
    run(f"{LEARN} tag=a")
    first = run("dianne evaluate MLP Digits tag=a storeIfBetter=true").stdout
    assert first.splitlines()[-1] == "kept under a@best"
    found = json.loads(
        run("dianne evaluate MLP Digits tag=a storeIfBetter=true includeOutputs=true --json").stdout
    )
    assert "stored" not in found  # it is no better than itself
    assert (len(found["outputs"]), len(found["outputs"][0])) == (297, 10)
    assert found["secondsPerSample"] > 0
    assert "MLP      a@best" in run("dianne tags").stdout


def test_best_average_and_current_weights_are_tags(run: Run, folder: Path) -> None:
    watched = "validationSet=1500:1797 validationInterval=20 ema=0.9"
    learned = run(f"{LEARN} tag=t {watched} method=torch.optim.RAdam schedule=cosine warmup=10 clipNorm=1")
    assert "validation after 40 iterations: accuracy" in learned.stderr
    tags = {line.split()[1] for line in run("dianne tags MLP").stdout.splitlines()[1:]}
    assert tags == {"t", "t@best", "t@ema"}
    assert run("dianne deploy MLP tag=t@ema").stdout.startswith("deployed MLP: MLP:t@ema ")


def test_options_for_one_network_are_seen_before_anything_runs(run: Run, folder: Path) -> None:
    job = "dianne learn Generator,Discriminator Digits strategy=GAN"
    shown = run(f"{job} Discriminator.learningRate=2e-4 generator.schedule=STEP --dry-run").stdout
    assert "Discriminator.learningRate" in shown
    assert "generator.schedule" in shown
    assert run(f"{job} discriminator.stepInterval=5", code=2).stderr == (
        "error: learn: 1 problem\n  option 'discriminator.stepInterval': nothing here reads 'stepInterval'; "
        "did you mean 'storeInterval'?\n"
    )


def test_a_text_network_goes_on_with_a_prompt(run: Run, folder: Path) -> None:
    (folder / "datasets").mkdir()
    (folder / "datasets" / "input.txt").write_text("to be or not to be, that is the question. " * 40)
    (folder / "datasets" / "Text.yaml").write_text("type: CharSequenceDataset\n")
    job = "strategy=BPTT backpropAll=true vocabulary=15 hidden=16 layers=1 sequenceLength=10 maxIterations=5"
    run(f"dianne learn CharLSTM Text {job} tag=t")
    text = run("dianne generate CharLSTM to n=30 tag=t seed=1").stdout
    assert text.startswith("to")
    assert len(text) == 2 + 30 + 1  # prompt, characters, end of line
    assert text == run("dianne generate CharLSTM to n=30 tag=t seed=1").stdout


def test_nobody_but_us_talks_while_a_job_is_profiled(run: Run) -> None:
    learned = run("dianne learn MLP Digits maxIterations=5 profile=true tag=t")
    assert [line.split()[0] for line in learned.stderr.splitlines()] == ["learning", "iteration"]
    assert ".dianne/jobs/" in learned.stdout.splitlines()[-1]
