"""What the pages show works as they show it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from command import Run

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def block(page: str, mark: str) -> str:
    """The indented block of a page whose first line is a comment that names a file."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"^    # {re.escape(mark)}\n(?:(?:    .*)?\n)+", text, re.MULTILINE)
    assert found, f"{page} shows no {mark}"
    return textwrap.dedent(found[0])


def put(folder: Path, page: str, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(block(page, name), encoding="utf-8")


def test_the_network_of_the_readme_trains_and_deploys_by_name(run: Run, folder: Path) -> None:
    put(folder, "README.md", "networks/Mine.yaml")
    assert "\nMine  units=64" in re.sub("  +", "  ", run("dianne models").stdout)
    run("dianne learn Mine Digits units=128 tag=first maxIterations=400")
    accuracy = run("dianne evaluate Mine Digits tag=first").stdout.splitlines()[1]
    assert accuracy.startswith("accuracy")
    assert float(accuracy.split()[1].rstrip("%")) > 80
    run("dianne deploy Mine tag=first")
    assert len(run("dianne forward Mine Digits range=0,4").stdout.splitlines()) == 5


def test_the_faults_of_the_readme_are_told_as_it_says(run: Run, folder: Path) -> None:
    put(folder, "README.md", "networks/Mine.yaml")
    path = folder / "networks" / "Mine.yaml"
    text = path.read_text().replace('"${units}"', '"${unit}"').replace("[left, right]", "[lefft, right]")
    path.write_text(text)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^    (error: networks/Mine.yaml.*\n(?:      .*\n)+)", readme, re.MULTILINE)
    assert shown
    assert run("dianne learn Mine Digits", code=2).stderr == textwrap.dedent("    " + shown[1])


def test_the_strategy_of_its_page_trains_by_name(run: Run, folder: Path) -> None:
    put(folder, "docs/strategies.md", "strategies/sparse_auto_encoder.py")
    assert "SparseAutoEncoderLearningStrategy" in run("dianne strategies").stdout
    assert "Added to the loss for each unit" in run("dianne strategies SparseAutoEncoder").stdout
    tried = run("dianne strategies SparseAutoEncoder --try").stdout
    assert "wrong" not in tried
    path = folder / "strategies" / "sparse_auto_encoder.py"
    sound = path.read_text()
    path.write_text(sound.replace("self.encoder(batch.input)", "self.encoder(batch.input).detach()"))
    tried = run("dianne strategies SparseAutoEncoder --try", code=1).stdout
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    shown = re.search(
        r"^    \$ dianne strategies SparseAutoEncoder --try\n((?:    .*\n|\n)+?)      \.\.\.", page, re.M
    )
    assert shown
    assert tried.startswith(textwrap.dedent(shown[1]))
    path.write_text(sound)
    command = re.search(r"^    (dianne learn .*)$", page, re.MULTILINE)
    assert command
    learned = run(command[1] + " maxIterations=20 traceInterval=10")
    assert "  sparsity " in learned.stderr


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
