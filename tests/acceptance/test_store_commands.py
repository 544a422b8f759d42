"""Looking back, going back and keeping weights, as a user types it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import DIANNE, Run

LEARN = "dianne learn Iris Iris tag=t seed=1 maxIterations=30 syncInterval=10 batchSize=8"
NETWORK = """
modules:
  in: {type: Input, shape: [4]}
  hidden: {type: Linear, output: "${units}"}
  relu: {type: ReLU}
  scores: {type: Linear, output: 3}
  log: {type: LogSoftmax}
  out: {type: Output}
parameters: {units: 4}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a network has learned, its history three entries long."""
    made = tmp_path_factory.mktemp("learned")
    (made / "networks").mkdir()
    (made / "networks/Iris.yaml").write_text(NETWORK)
    subprocess.run([str(DIANNE), *LEARN.split()[1:]], cwd=made, check=True, capture_output=True, timeout=300)
    return made


@pytest.fixture
def learned(folder: Path, template: Path) -> Path:
    """The same in the folder of the test."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    return folder


def entries(run: Run, address: str) -> list[dict[str, object]]:
    return json.loads(run(f"dianne log {address} --json").stdout)


def test_a_history_is_shown_gone_back_in_and_named(run: Run, learned: Path) -> None:
    lines = run("dianne log Iris:t").stdout.splitlines()
    assert lines[0].split() == [
        "entry",
        "id",
        "stored",
        "(UTC)",
        "iterations",
        "loss",
        "job",
        "dataset",
        "note",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["Iris:t", "Iris:t~1", "Iris:t~2"]
    assert [entry["iteration"] for entry in entries(run, "Iris:t")] == [30, 20, 10]

    done = run("dianne rollback Iris:t~2")
    assert done.stdout == "Iris:t has the weights of 10 iterations again\n"
    assert done.stderr == "to undo it: dianne rollback Iris:t~1\n"
    note = entries(run, "Iris:t")[0]["note"]
    assert re.fullmatch(r"rolled back to Iris:t~2 \([0-9a-f]{12}\)", str(note))
    run("dianne rollback Iris:t~1")
    assert [entry["iteration"] for entry in entries(run, "Iris:t")] == [30, 10, 30, 20, 10]

    named = run("dianne tag Iris:t~1 good published").stdout
    assert re.fullmatch(r"Iris:good is [0-9a-f]{12}\nIris:published is [0-9a-f]{12}\n", named)
    gone = run("dianne untag Iris:good").stdout
    command = re.search(r"comes back by: (dianne tag Iris:[0-9a-f]{12} good)$", gone.strip())
    assert command
    assert "good" not in run("dianne tags").stdout
    run(command[1])
    assert [entry["iteration"] for entry in entries(run, "Iris:good")] == [10, 30, 20, 10]


def test_two_sets_of_weights_are_compared(run: Run, learned: Path) -> None:
    shown = run("dianne diff Iris:t~2 Iris:t").stdout
    assert re.search(r"^job +Iris:t~2 +Iris:t$", shown, re.MULTILINE)
    assert re.search(r"^iteration +10 +30$", shown, re.MULTILINE)
    assert re.search(r"^hidden( +[\d.e-]+){3}$", shown, re.MULTILINE)


def test_a_spoilt_file_is_told_by_every_command_and_mended_as_verify_says(run: Run, learned: Path) -> None:
    assert run("dianne verify").stdout.startswith("1 tag, 6 files, ")
    newest, before = (str(entry["id"]) for entry in entries(run, "Iris:t")[:2])
    run("dianne tag Iris:t~2 whole")
    path = Path("models/manifests") / newest[:2] / f"{newest}.json"
    (learned / path).write_text("{}")
    fault = f"{path}: its content was changed; restore it from a copy"
    listed = run("dianne tags", code=1)
    assert re.search(r"^Iris +t +spoilt$", listed.stdout, re.MULTILINE)
    assert re.search(r"^Iris +whole +10 ", listed.stdout, re.MULTILINE)
    assert listed.stderr == f"Iris:t: {fault}; `dianne verify` tells what can be done\n"
    tags = {entry["tag"]: entry for entry in json.loads(run("dianne tags --json", code=1).stdout)}
    assert tags["t"] == {"network": "Iris", "tag": "t", "fault": fault}
    assert "nothing was removed" in run("dianne gc", code=1).stderr
    told = run("dianne verify", code=1)
    assert told.stdout.splitlines() == [
        fault,
        f"Iris:t cannot be loaded; the newest entry that can is Iris:{before[:12]}",
        f"  put it under the tag: dianne tag Iris:{before[:12]} t",
    ]
    assert told.stderr.endswith(": 1 fault\n")
    run(f"dianne tag Iris:{before[:12]} t")
    assert [entry["iteration"] for entry in entries(run, "Iris:t")] == [20, 10]
    assert "cannot be loaded" not in run("dianne verify", code=1).stdout


def test_weights_go_to_another_store_and_come_back(run: Run, learned: Path) -> None:
    pushed = run("dianne push Iris:t shared").stdout
    assert re.fullmatch(r"Iris:t is [0-9a-f]{12} in shared: 3 entries, [\d.]+ kB\n", pushed)
    (learned / "models").rename(learned / "lost")
    assert run(f"dianne pull Iris:t file://{learned}/shared").stdout == pushed.replace("shared", "models")
    assert run("dianne pull Iris:t shared").stdout.endswith("in models: it was there\n")
    run("dianne rollback Iris:t~1")
    refused = run("dianne pull Iris:t shared", code=2).stderr
    assert "somebody has stored there since" in refused
    assert "it left behind Iris:" in run("dianne pull Iris:t shared --force").stdout


def test_a_workspace_can_keep_its_weights_elsewhere(run: Run, learned: Path) -> None:
    (learned / "dianne.yaml").write_text("models: elsewhere\n")
    run("dianne check dianne.yaml")
    assert run("dianne tags").stderr == "nothing is stored in this workspace yet\n"
    run("dianne pull Iris:t models")
    assert "Iris" in run("dianne tags").stdout
    assert (learned / "elsewhere/refs/Iris/t").is_file()
    (learned / "dianne.yaml").write_text("models: [1]\n")
    message = "dianne.yaml:1:9: models: expected a folder or a URL such as s3://bucket/prefix, found [1]"
    assert run("dianne check dianne.yaml", code=2).stdout == message + "\n"
    assert run("dianne tags", code=2).stderr == f"error: dianne.yaml: 1 problem\n  {message}\n"


def test_gc_tells_what_it_removes(run: Run, learned: Path) -> None:
    run("dianne untag Iris:t")
    assert run("dianne gc --keep 1").stdout == (
        "removed 0 files, 0 bytes; 6 stay, 6 of them only because they are younger than a day\n"
    )
    told = json.loads(run("dianne gc --dry-run --json").stdout)
    assert told == {"removed": [], "bytes": 0, "kept": 6, "young": 6, "dryRun": True}


def test_commands_about_stored_weights_do_not_import_torch(learned: Path) -> None:
    program = """
import sys
from dianne.cli import main
sys.argv = ["dianne", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    sys.exit(end.code or 100 * ("torch" in sys.modules))
"""
    for words in ("log Iris:t", "tag Iris:t a", "rollback Iris:t~1", "untag Iris:a", "gc", "tags", "verify"):
        done = subprocess.run([sys.executable, "-c", program, *words.split()], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
