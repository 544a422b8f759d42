"""`dianne check`, `dianne schema`, `dianne modules`, and jobs as files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import Run

from dianne.cli import main
from dianne.network import reference

GOOD = """
modules:
  x: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 3}
  y: {type: Output}
"""
BAD = """modules:
  x: {type: Input, shape: [4]}
  hidden: {type: Lineer, output: 3}
  other: {type: Linear, output: -3, after: x}
  y: {type: Output, after: hiden}
"""
BAD_LINES = [
    "networks/Bad.yaml:3:18: hidden: unknown type 'Lineer'; did you mean 'Linear'?",
    "networks/Bad.yaml:4:33: other (Linear): output: expected more than 0, found -3",
    "networks/Bad.yaml:5:28: y: follows 'hiden', which is not there; did you mean 'hidden'?",
]
OPEN = """parameters: {width: null, activation: null}
modules:
  x: {type: Input}
  hidden: {type: Linear, output: "${width}"}
  bend: {type: "${activation}"}
  y: {type: Output}
"""
IRIS = "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}\n"


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run one command line in this process: there are many, and starting Python takes longer than each."""

    def run_(command: str, code: int = 0) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert left.value.code == code, out + err
        return SimpleNamespace(stdout=out, stderr=err)

    return run_


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


# ------------------------------------------------------------------------------------------------- check


def test_fine_files_are_fine(run: Run, folder: Path) -> None:
    write(folder, networks__Good=GOOD, networks__Open=OPEN, datasets__Iris=IRIS)
    write(folder, job="networks: Good\ndataset: Iris\n")
    result = run("dianne check networks/Good.yaml networks/Open.yaml datasets/Iris.yaml job.yaml")
    assert (result.stdout, result.stderr) == ("", "4 files are fine\n")
    one = run("dianne check networks/Good.yaml")
    assert (one.stdout, one.stderr) == ("", "1 file is fine\n")


def test_all_that_ships_is_fine(run: Run) -> None:
    from dianne.workspace import shipped

    files = [path for kind in ("networks", "datasets") for path in sorted(shipped(kind).rglob("*.yaml"))]
    assert run(f"dianne check {' '.join(map(str, files))}").stderr == f"{len(files)} files are fine\n"


def test_every_fault_has_a_line_with_its_place(run: Run, folder: Path) -> None:
    write(folder, networks__Good=GOOD, networks__Bad=BAD)
    result = run("dianne check networks/Good.yaml networks/Bad.yaml", code=2)
    assert result.stdout.splitlines() == BAD_LINES
    assert result.stderr == "3 problems\n"


def test_faults_can_be_read_by_machines(run: Run, folder: Path) -> None:
    write(folder, networks__Good=GOOD, networks__Bad=BAD)
    found = json.loads(run("dianne check --json networks/Bad.yaml networks/Good.yaml", code=2).stdout)
    assert [f"{fault['where']}: {fault['message']}" for fault in found] == BAD_LINES
    assert json.loads(run("dianne check --json networks/Good.yaml").stdout) == []


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "networks__Open",
            OPEN.replace("output:", "outputs:"),
            ["networks/Open.yaml:4:26: hidden (Linear): unknown key 'outputs'; did you mean 'output'?"],
        ),
        (
            "networks__Open",
            OPEN.replace("Linear", "Lineer"),
            ["networks/Open.yaml:4:18: hidden: unknown type 'Lineer'; did you mean 'Linear'?"],
        ),
        (
            "networks__Open",
            OPEN.replace("${width}", "${wide}"),
            [
                "networks/Open.yaml:4:34: hidden (Linear): output: unknown parameter 'wide'; "
                "did you mean 'width'?"
            ],
        ),
        (
            "networks__Open",
            OPEN.replace("  y: {type: Output}\n", ""),
            ["networks/Open.yaml:2:1: has no Output; a network needs at least one"],
        ),
        (
            "networks__Open",
            OPEN.replace("  hidden:", "  loop: {type: ReLU, after: loop}\n  hidden:"),
            ["networks/Open.yaml:4:3: loop: goes in a circle without a Memory: loop -> loop"],
        ),
        (
            "datasets__Iris",
            IRIS.replace("loader", "loadr"),
            ["datasets/Iris.yaml:1:17: unknown key 'loadr'; did you mean 'loader'?"],
        ),
        (
            "datasets__Iris",
            IRIS.replace("sklearn", "sklern"),
            ["datasets/Iris.yaml:1:8: unknown dataset type 'sklern'; did you mean 'sklearn'?"],
        ),
        (
            "job",
            "networks: [1]\n",
            [
                "job.yaml:1:1: has no 'dataset'; a job file names 'networks' and a 'dataset'",
                "job.yaml:1:11: networks: expected a name, found [1]",
            ],
        ),
        (
            "networks__Broken",
            "modules: [1\n",
            [
                "networks/Broken.yaml:2:1: not valid YAML: while parsing a flow sequence expected ',' or "
                "']', but got '<stream end>'"
            ],
        ),
    ],
)
def test_a_fault_of_any_kind_of_file_is_located(
    run: Run, folder: Path, name: str, text: str, lines: list[str]
) -> None:
    write(folder, **{name: text})
    result = run(f"dianne check {name.replace('__', '/')}.yaml", code=2)
    assert result.stdout.splitlines() == lines


def test_a_file_that_is_not_there_is_a_fault(run: Run) -> None:
    result = run("dianne check networks/Nowhere.yaml", code=2)
    assert result.stdout == "networks/Nowhere.yaml: cannot be read: No such file or directory\n"


# ----------------------------------------------------------------------------------- schema and modules


def test_schemas_and_modules_are_printed(run: Run) -> None:
    for kind in ("network", "dataset", "job"):
        assert json.loads(run(f"dianne schema {kind}").stdout)["title"] == f"dianne {kind}"
    assert run("dianne modules --markdown").stdout == reference.markdown()
    listed = json.loads(run("dianne modules --json").stdout)
    assert [entry["name"] for entry in listed] == [entry.name for entry in reference.entries()]
    shown = run("dianne modules dropout").stdout
    assert shown.startswith("Dropout\n\nIn training, sets each value to 0")
    assert "rate  number, at least 0, below 1  required  probability of dropping a value." in [
        "  ".join(line.split("  ")).strip() for line in shown.splitlines()
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dianne modules Lineer", "unknown module type 'Lineer'; did you mean 'Linear'?"),
        ("dianne schema networks", "'networks' is not one of 'network', 'dataset', 'job'"),
        ("dianne check", "FILE... missing; usage: dianne check [OPTIONS] FILE..."),
    ],
)
def test_a_wrong_word_gets_one_message(run: Run, command: str, message: str) -> None:
    result = run(command, code=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith(f"{message}\n")


# ------------------------------------------------------------------------------------------ jobs as files


JOB = """
networks: [Encoder, Decoder]
dataset: Digits
strategy: VariationalAutoEncoder
hidden: 8
latentDims: 3
maxIterations: 4
batchSize: 16
Encoder: {learningRate: 0.01}
Decoder:
  hidden: 5
range: [1, 2, 3, 4, 5]
tag: vae
"""


def test_a_job_is_learned_from_its_file(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text(JOB)
    run("dianne learn job.yaml maxIterations=3 seed=5")
    stored = {
        name: json.loads(run(f"dianne tags {name} --json").stdout)[0] for name in ("Encoder", "Decoder")
    }
    assert stored["Encoder"]["parameters"] == {"latentDims": 3, "hidden": 8}
    assert stored["Decoder"]["parameters"] == {"latentDims": 3, "hidden": 5}
    assert stored["Encoder"]["iteration"] == 3


def test_a_dry_run_of_a_job_file_shows_what_it_says(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text(JOB)
    options = json.loads(run("dianne learn job.yaml batchSize=4 --dry-run --json").stdout)["options"]
    values = {key: option["value"] for key, option in options.items()}
    assert values["Encoder.learningRate"] == 0.01
    assert (values["Decoder.hidden"], values["hidden"], values["batchSize"]) == (5, 8, 4)
    assert values["range"] == "1,2,3,4,5"
    assert not (folder / "models").exists()


def test_what_is_typed_counts_more_than_the_file(run: Run, folder: Path) -> None:
    (folder / "job.yaml").write_text(JOB)
    typed = "Encoder.learningRate=0.5 Decoder.hidden=6"
    options = json.loads(run(f"dianne learn job.yaml {typed} --dry-run --json").stdout)["options"]
    assert (options["Encoder.learningRate"]["value"], options["Decoder.hidden"]["value"]) == (0.5, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "networks: MLP\n",
            "job.yaml: 1 problem\n"
            "  job.yaml:1:1: has no 'dataset'; a job file names 'networks' and a 'dataset'",
        ),
        (
            "networks: {a: b}\ndataset: 3\n",
            "job.yaml: 2 problems\n"
            "  job.yaml:1:11: networks: expected a name, found {'a': 'b'}\n"
            "  job.yaml:2:10: dataset: expected a name, found 3",
        ),
        (
            "networks: MLP\ndataset: Digits\ndataset: MNIST\n",
            "job.yaml: 1 problem\n  job.yaml:3:1: key 'dataset' is given twice",
        ),
        (
            "networks: MLP\ndataset: Digits\nbatchSise: 3\nMLP: {learningRate: fast}\n",
            "learn: 2 problems\n"
            "  option 'MLP.learningRate' (job.yaml:4:21): expected a number, found 'fast'\n"
            "  option 'batchSise' (job.yaml:3:1): nothing here reads 'batchSise'; did you mean 'batchSize'?",
        ),
    ],
)
def test_a_fault_in_a_job_file_is_located(run: Run, folder: Path, text: str, message: str) -> None:
    (folder / "job.yaml").write_text(text)
    assert run("dianne learn job.yaml", code=2).stderr == f"error: {message}\n"


def test_a_job_file_that_is_not_there_is_named(run: Run) -> None:
    assert run("dianne learn job.yaml", code=2).stderr == (
        "error: job.yaml: 1 problem\n  job.yaml: cannot be read: No such file or directory\n"
    )
