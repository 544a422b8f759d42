"""The conditional variational autoencoder draws the digit that it is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command import Run

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.mnist
def test_lenet5_recognises_at_least_90_of_100_digits_of_a_wanted_class(
    run: Run, folder: Path, mnist_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    from pictures import recognised  # type: ignore[import-not-found]

    where = {"DIANNE_DATASETS": str(mnist_folder)}
    run("dianne learn LeNet5 MNIST maxIterations=600 seed=1 tag=lenet5", **where)
    job = EXAMPLES / "conditional_vae" / "wide.yaml"
    run(f"dianne learn {job} maxIterations=2500 seed=1 tag=wide", **where)
    right, total = recognised(folder, "Decoder", "wide", folder)
    assert total == 100
    assert right >= 90
