"""Pictures, as a user asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Run
from PIL import Image

STRATEGY = '''\
import torch

from dianne import LearningStrategy, LearnProgress


class PassLearningStrategy(LearningStrategy):
    """Learns nothing."""

    roles = ("decoder",)

    def setup(self, job):
        pass

    def process_iteration(self, i):
        return LearnProgress(i, {"loss": torch.zeros(())})
'''


def test_every_kind_of_picture_is_drawn_from_tiny_jobs(run: Run, folder: Path) -> None:
    (folder / "strategies").mkdir()
    (folder / "strategies" / "nothing.py").write_text(STRATEGY)
    run("dianne learn Encoder,Decoder Digits strategy=VariationalAutoEncoder tag=vae maxIterations=20 seed=1")
    run("dianne learn MLP Digits tag=mlp maxIterations=20 seed=1")
    run("dianne learn Decoder Digits strategy=Pass latentDims=13 tag=cvae maxIterations=1")
    for words, out in (
        ("loss Encoder:vae", "loss.png"),
        ("latent Encoder Digits tag=vae", "latent.png"),
        ("manifold Decoder tag=vae n=3", "manifold.png"),
        ("reconstruct Encoder,Decoder Digits tag=vae samples=12", "reconstruct.png"),
        ("interpolate Encoder,Decoder Digits tag=vae from=3 to=7", "interpolate.png"),
        ("samples Decoder tag=cvae each=2", "samples.png"),
        ("joint Encoder Digits tag=vae range=0,99", "joint.png"),
        ("confusion MLP Digits tag=mlp out=errors.png", "errors.png"),
    ):
        assert run(f"dianne plot {words}").stdout == f"wrote {out}\n"
        with Image.open(folder / out) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors()) > 20
    assert run("dianne plot manifold Decoder tag=vae n=2 out=map.svg").stdout == "wrote map.svg\n"
    assert "latent dimension 0" in (folder / "map.svg").read_text()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dianne plot latnet", "there is no command 'latnet'; did you mean 'latent'?"),
        ("dianne plot loss", "JOB missing; usage: dianne plot loss [OPTIONS] JOB... [KEY=VALUE]..."),
        (
            "dianne plot latent Encoder tag=vae",
            "DATASET missing; usage: dianne plot latent [OPTIONS] ENCODER DATASET [KEY=VALUE]...",
        ),
        (
            "dianne plot manifold Decoder Digits tag=vae",
            "'Digits' is one word too many; usage: dianne plot manifold [OPTIONS] DECODER [KEY=VALUE]...",
        ),
        (
            "dianne plot latent Encoder Digits smaples=3 projection=UMAP",
            "plot latent: 3 problems\n"
            "  option 'tag': is missing and has no default\n"
            "  option 'projection': expected 'PCA' or 'TSNE', found 'UMAP'\n"
            "  option 'smaples': nothing here reads 'smaples'; did you mean 'samples'?",
        ),
        (
            "dianne plot joint Encoder Digits tag=vae dims=1,1 out=joint.jpg",
            "plot joint: 2 problems\n"
            "  option 'out': expected a file that ends in .png or .svg, found 'joint.jpg'\n"
            "  option 'dims': expected two different dimensions such as 0,1, found '1,1'",
        ),
        (
            "dianne plot manifold Decoder tag=vae n=1 dims=0 out=there/map.png",
            "plot manifold: 3 problems\n"
            "  option 'out': there is no folder there\n"
            "  option 'n': expected at least 2, found '1'\n"
            "  option 'dims': expected two different dimensions such as 0,1, found '0'",
        ),
        (
            "dianne plot loss abc out=.png",
            "plot loss: 1 problem\n  option 'out': expected a file that ends in .png or .svg, found '.png'",
        ),
        ("dianne plot loss abc", "there is no job 'abc'; nothing was learned or submitted here yet"),
        (
            "dianne plot interpolate Encoder,Decoder Digits tag=vae from=-1",
            "plot interpolate: 1 problem\n  option 'from': expected at least 0, found '-1'",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_message(run: Run, command: str, message: str) -> None:
    assert run(command, code=2).stderr == f"error: {message}\n"


def test_the_help_of_a_kind_lists_its_options(run: Run) -> None:
    lines = run("dianne plot interpolate --help").stdout.splitlines()
    assert "  tag=TAG                Which weights." in lines
    assert "  steps=10               Images in a row, both ends included." in lines
    assert [line.split("=")[0].strip() for line in lines if line.startswith("  ") and "=" in line[:22]] == [
        "tag", "out", "range", "from", "to", "steps",
    ]  # fmt: skip
