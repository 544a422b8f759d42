"""The main job, end to end, as the README types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import Run
from PIL import Image

SHORT = (
    "dianne learn Encoder,Decoder {data} strategy=VariationalAutoEncoderLearningStrategy latentDims=2 tag=vae"
)
LONG = (
    "dianne learn Encoder,Decoder MNIST autoencode=true range=0,59999 "
    "strategy=VariationalAutoEncoderLearningStrategy criterion=BCE latentDims=2 method=ADAM batchSize=128 "
    "sampleSize=1 maxIterations=5000 trace=true traceInterval=1 tag=vae"
)
EVALUATE = (
    "dianne evaluate Encoder,Decoder MNIST range=60000,69999 tag=vae "
    "strategy=VariationalAutoEncoderEvaluationStrategy --json"
)


def test_learn_deploy_and_forward_in_an_empty_folder(run: Run, folder: Path) -> None:
    learned = run(SHORT.format(data="Digits") + " maxIterations=60 traceInterval=20")
    assert learned.stdout.startswith("stored Encoder:vae and Decoder:vae after 60 iterations in ")
    lines = learned.stderr.splitlines()
    assert lines[0] == (
        "learning Encoder, Decoder on Digits with VariationalAutoEncoderLearningStrategy, tag vae"
    )
    assert [line.split("  ")[0] for line in lines[1:]] == [f"iteration {n}/60" for n in (20, 40, 60)]

    deployed = run("dianne deploy Decoder tag=vae")
    assert deployed.stdout == "deployed Decoder: Decoder:vae [2] -> [28, 28], 60 iterations on Digits\n"
    wrote = run("dianne forward Decoder random=16 out=digits.png")
    assert wrote.stdout == "wrote 16 results of [28, 28] to digits.png\n"
    with Image.open(folder / "digits.png") as picture:
        assert picture.size == (4 * 118 + 6, 4 * 118 + 6)
    assert sorted(path.name for path in folder.iterdir()) == [".dianne", "digits.png", "models"]


def test_forward_takes_samples_from_words_files_noise_and_datasets(run: Run, folder: Path) -> None:
    run(SHORT.format(data="Digits") + " maxIterations=20 seed=3")
    run("dianne deploy Decoder tag=vae")
    run("dianne deploy Encoder tag=vae name=Look")
    one = json.loads(run("dianne forward Decoder input=0.5,-1.2 --json").stdout)
    assert np.shape(one) == (1, 28, 28)
    np.save(folder / "latents.npy", np.array([[0.5, -1.2], [0, 0], [1, 1]]))
    wrote = run("dianne forward Decoder input=latents.npy out=images.npy --json")
    assert wrote.stderr == "wrote 3 results of [28, 28] to images.npy\n"
    images = np.load(folder / "images.npy")
    np.testing.assert_allclose(images, json.loads(wrote.stdout), atol=1e-6)
    assert images.shape == (3, 28, 28)
    np.testing.assert_allclose(images[0], one[0], atol=1e-6)
    noise = [run("dianne forward Decoder random=2 seed=7 --json").stdout for _ in range(2)]
    assert noise[0] == noise[1]
    codes = json.loads(run("dianne forward Look Digits range=0,9 --json").stdout)
    assert np.shape(codes) == (10, 4)


def test_another_latent_size_retrains_both_and_is_remembered(run: Run, folder: Path) -> None:
    run(SHORT.format(data="Digits") + " maxIterations=5")
    again = run(SHORT.format(data="Digits").replace("latentDims=2", "latentDims=10") + " maxIterations=5")
    assert (
        "the weights under 'vae' are of another shape; starting from new ones "
        "(the old ones stay in the tag's history)\n"
    ) in again.stderr
    assert "[10] -> [28, 28]" in run("dianne deploy Decoder tag=vae").stdout
    run("dianne forward Decoder random=4 out=digits.png")
    tags = json.loads(run("dianne tags Encoder --json").stdout)
    assert [(entry["tag"], entry["parameters"]["latentDims"]) for entry in tags] == [("vae", 10)]


def test_a_dry_run_shows_what_was_assumed_and_runs_nothing(run: Run, folder: Path) -> None:
    shown = run(SHORT.format(data="MNIST") + " --dry-run", DIANNE_DATASETS="").stdout
    for words in (
        "latentDims 2 command line VariationalAutoEncoderLearningStrategy, Encoder, Decoder",
        "range 0:60000 part 'train' of MNIST data",
        "autoencode true VariationalAutoEncoderLearningStrategy data",
        "maxIterations 5000 VariationalAutoEncoderLearningStrategy job",
        "criterion BCE default VariationalAutoEncoderLearningStrategy",
        "batchSize 128 default VariationalAutoEncoderLearningStrategy",
        "learningRate 0.001 default encoder.ADAM, decoder.ADAM",
    ):
        assert words in [" ".join(line.split()) for line in shown.splitlines()]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.mnist
def test_the_long_command_reaches_143_nats_on_the_test_images(
    run: Run, folder: Path, mnist_folder: Path
) -> None:
    learned = run(LONG, DIANNE_DATASETS=str(mnist_folder))
    assert len([line for line in learned.stderr.splitlines() if line.startswith("iteration ")]) == 5000
    found = json.loads(run(EVALUATE, DIANNE_DATASETS=str(mnist_folder)).stdout)
    metrics = found["metrics"]
    assert found["size"] == 10_000
    assert metrics["negative ELBO"] < 143
    assert metrics["negative ELBO"] == pytest.approx(metrics["reconstruction"] + metrics["kl"])
    assert 5 < metrics["kl"] < 9


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize(
    ("network", "words", "accuracy"),
    [
        ("MLP", "", 0.92),
        ("LeNet5", "sampling=PERMUTATION learningRate=0.0005 maxIterations=3500 seed=1", 0.99),
    ],
)
def test_classifiers_reach_the_accuracy_that_the_readme_names(
    run: Run, folder: Path, mnist_folder: Path, network: str, words: str, accuracy: float
) -> None:
    run(f"dianne learn {network} MNIST {words} tag=t", DIANNE_DATASETS=str(mnist_folder))
    found = json.loads(
        run(f"dianne evaluate {network} MNIST tag=t --json", DIANNE_DATASETS=str(mnist_folder)).stdout
    )
    assert found["metrics"]["accuracy"] >= accuracy
    assert sum(map(sum, found["confusionMatrix"])) == found["size"] == 10_000
