"""The experiments run by their one command, and fill their table."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("models", ".dianne", "pictures", "results.json", "table.csv")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)
    return tmp_path / "examples"


def test_an_experiment_writes_what_it_measures_and_draws(copy: Path) -> None:
    for job in copy.rglob("*.yaml"):
        job.write_text(re.sub(r"maxIterations: \d+", "maxIterations: 600", job.read_text()))
    run = [sys.executable, copy / "run.py", "wine_vae", "noisy_sine"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads((copy / "results.json").read_text())
    assert list(results) == ["wine_vae", "noisy_sine"]
    measured = {what: value for name in results for what, _, value in results[name]["rows"]}
    assert float(measured["angle between the linear autoencoder and PCA"].split()[0]) < 1
    assert float(measured["deep: squared error on new points"]) < float(
        measured["linear: squared error on new points"]
    )
    wines = "squared error on new wines"
    own, table = measured[f"{wines}, of values with variance 1"], measured[f"from the CSV file: {wines}"]
    assert float(own) < 1
    assert float(table) == pytest.approx(float(own), abs=0.01)  # the same wines
    page = (copy / "README.md").read_text()
    assert all(f"| {what} |" in page and f"| {value} |" in page for what, value in measured.items())
    assert {path.name for path in (copy / "pictures").iterdir()} == {
        "wine_latent.png", "sine_linear.png", "sine_deep.png", "sine_few.png",
    }  # fmt: skip


def test_an_experiment_that_is_not_there_is_refused(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, copy / "run.py", "wine"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("there is no experiment 'wine'; known: keras_vae, lenet5, ")


@pytest.mark.parametrize("job", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_its_job_files_have_no_faults(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dianne.jobs.file import read_job
    from dianne.jobs.learn import prepare
    from dianne.workspace import Folder

    monkeypatch.chdir(job.parent)
    networks, dataset, options = read_job(job)
    prepared = prepare(Folder(Path()), networks, dataset, options)
    assert prepared.options.tag


def test_the_table_shows_what_was_measured() -> None:
    """The page and the results belong together: both are written by the same run."""
    results = json.loads((EXAMPLES / "results.json").read_text())
    page = (EXAMPLES / "README.md").read_text()
    rows = [row for found in results.values() for row in found["rows"]]
    assert [row for row in rows if f"| {row[0]} | {row[1]} | {row[2]} |" not in page] == []
    for picture in re.findall(r"\(pictures/([^)]+)\)", page):
        assert (EXAMPLES / "pictures" / picture).exists()
