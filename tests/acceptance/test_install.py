"""What is installed: commands that start quickly, and a wheel that holds all that it should."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command import Run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "models",
        "tags",
        "tags MLP",
        "datasets",
        "strategies",
        "plot loss --help",
        "dataset show --help",
        "dataset fetch Digits",
        "dataset add Mine .",
        "learn --help",
        "jobs",
        "finished n=3",
        "notifications",
        "submit --help",
        "runtime status",
        "runtimes",
        "devices",
        "list",
        "import --help",
        "export --help",
    ],
)
def test_a_command_that_does_not_compute_does_not_import_torch(folder: Path, words: str) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dianne", *words.split()],
        cwd=folder, capture_output=True, text=True, timeout=60,
        check=words not in ("dataset add Mine .", "runtime status"),
    )  # fmt: skip
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "dianne.cli.commands" in imported
    assert not imported & {"torch", "numpy", "sklearn", "matplotlib", "PIL"}


def test_the_python_interface_does_not_import_torch_before_it_is_used() -> None:
    probe = "import sys, dianne; assert 'Workspace' in dianne.__all__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0


def test_every_public_name_can_be_imported() -> None:
    import dianne

    assert all(getattr(dianne, name) is not None for name in dianne.__all__)


def test_the_wheel_holds_networks_strategies_and_datasets(folder: Path, run: Run) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)],
        check=True, timeout=600, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("dianne-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in [
        *ROOT.glob("networks/**/*.yaml"),
        *ROOT.glob("datasets/**/*.yaml"),
        *ROOT.glob("strategies/*.py"),
    ]:
        assert f"dianne/{path.relative_to(ROOT)}" in names
    for path in ROOT.glob("engine/dianne/**/*.py"):
        assert str(path.relative_to(ROOT / "engine")) in names
    target = folder / "installed"
    zipfile.ZipFile(wheel).extractall(target)
    listed = subprocess.run(
        [sys.executable, "-m", "dianne", "describe", "LeNet5"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "3,274,634" in listed.stdout
