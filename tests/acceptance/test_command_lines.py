"""Lines of all commands, in one process: quick enough to try many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from dianne.cli import run
from dianne.cli.commands import cli
from dianne.interop.formats import ImportOptions
from dianne.interop.hub import PublishOptions
from dianne.interop.transfer import ExportOptions
from dianne.options import keys
from dianne.runtime.forward import ForwardOptions
from dianne.runtime.generate import GenerateOptions
from dianne.runtime.instances import DeployOptions

WORDS = {
    "NETWORKS": "MLP", "NETWORK": "MLP", "ENCODER": "MLP", "DECODER": "MLP", "ENCODER,DECODER": "MLP,MLP",
    "DATASET": "Iris", "INSTANCE": "MLP", "INSTANCE|FILE.dianne": "MLP", "JOB": "MLP:t", "JOB...": "MLP:t",
    "NETWORK:TAG": "MLP:t", "NETWORKS:TAG": "MLP:t", "NETWORKS:TAG~N": "MLP:t", "A": "MLP:t", "B": "MLP:t",
    "TAG...": "u", "URL": "elsewhere", "NAME": "Own", "PATH": "own.csv", "FILE...": "job.yaml",
    "tag=TAG": "tag=t", "repo=USER/NAME": "repo=a/b", "KEY=VALUES...": "hidden=4,8",
    "{network|dataset|job}": "job", "{bash|zsh|fish}": "bash",
}  # fmt: skip
"""By what a usage says, a word that fits."""
FLAGS = {"export": ["--format", "onnx"]}


def commands(group: click.Group = cli, *before: str) -> Iterator[tuple[str, ...]]:
    """The names of all commands, those inside groups too."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name)


def fitting(names: tuple[str, ...]) -> list[str]:
    """A line of that command to which nothing is wanting."""
    command: click.Command = cli
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    usage = " ".join(
        param.make_metavar(click.Context(command))
        for param in command.params
        if isinstance(param, click.Argument)
    )
    needed = [word for word in usage.partition(" | ")[0].split() if not word.startswith("[")]
    return [
        *names,
        *FLAGS.get(" ".join(names), []),
        *(WORDS[word] for word in needed if not word.endswith("]")),
    ]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights, their job and an instance."""
    made = tmp_path_factory.mktemp("learned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert run(["learn", "MLP", "Digits", "hidden=4", "maxIterations=2", "tag=t"]) == 0
        assert run(["deploy", "MLP", "tag=t"]) == 0
    (made / "own.csv").write_text("1,2\n")
    (made / "job.yaml").write_text("networks: MLP\ndataset: Iris\n")
    return made


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
def test_an_option_that_a_command_does_not_know_is_named(
    learned: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], names: tuple[str, ...]
) -> None:
    monkeypatch.chdir(learned)
    before = sorted(learned.rglob("*"))
    assert run([*fitting(names), "nosuch=1"]) == 2
    out, err = capfd.readouterr()
    assert "nosuch" in err + out
    assert sorted(learned.rglob("*")) == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("tags nosuch=1", "dianne tags takes no option 'nosuch'; options: --json"),
        ("logs MLP:t follow=1", "dianne logs takes no option 'follow'; did you mean '--follow'?"),
        ("dataset fetch Iris nosuch=1", "dianne dataset fetch takes no option 'nosuch'; options: --json"),
        ("finished N=3", "dianne finished takes no option 'N'; did you mean 'n='?"),
        ("finished n=few", "n=few: expected how many jobs to list, a whole number of at most 9 digits"),
        (
            "finished n=9999999999",
            "n=9999999999: expected how many jobs to list, a whole number of at most 9 digits",
        ),
        (
            "resume MLP:t batchSize=3",
            "a job goes on with the options that it began with; leave batchSize out",
        ),
        ("jobs nosuch=1", "got unexpected extra argument (nosuch=1); usage: dianne jobs [OPTIONS]"),
        ("diff MLP:t", "B missing; usage: dianne diff [OPTIONS] A B"),
        ("completion", "{bash|zsh|fish} missing; usage: dianne completion [OPTIONS] {bash|zsh|fish}"),
        (
            "dataset show",
            "DATASET missing; usage: dianne dataset show [OPTIONS] DATASET [RANGE] [KEY=VALUE]...",
        ),
        (
            "dataset show Iris -3",
            "no such option '-3'; usage: dianne dataset show [OPTIONS] DATASET [RANGE] [KEY=VALUE]...",
        ),
        ("learn MLP Digits strategy=", "'strategy=' has no value; write one behind it, or leave it out"),
        (
            "learn job.yaml Digits Iris",
            "job.yaml is a job file, which names networks and dataset; leave Digits, Iris out",
        ),
        (
            "learn MLP Digits batchSize=99999999999999999999 threads=99999",
            "learn: 2 problems\n"
            "  option 'threads': expected at most 1024, found '99999'\n"
            "  option 'batchSize': expected at most 9,223,372,036,854,775,807, found 99999999999999999999",
        ),
        (
            "forward MLP random=99999999999999",
            "random=99999999999999: so many samples do not fit into memory",
        ),
        ("resume --kills 2", "--kills goes with --selftest only; leave it out"),
        ("modules Linear --markdown", "--markdown prints all types as one page; leave all else out"),
        ("learn MLP Digits --tag=t", "no such option '--tag'; write it as a word: tag=..."),
        ("learn MLP Digits --dryrun", "no such option '--dryrun'; did you mean '--dry-run'?"),
        ("jobs --all", "no such option '--all'; usage: dianne jobs [OPTIONS]"),
        ("gc --keep", "option '--keep' requires an argument"),
        ("pull --force hf://a/b", "--force moves tags of a store; a hub has none, so leave it out"),
    ],
)
def test_a_command_says_what_it_takes(
    learned: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(learned)
    assert run(command.split()) == 2
    assert capfd.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ("plot loss MLP:t out=loss.svg", {"out": "loss.svg"}),
        ("dataset fetch Iris", []),
        ("dataset add Own own.csv", {"name": "Own", "file": "datasets/Own.yaml"}),
    ],
)
def test_what_was_written_is_told_to_machines(
    learned: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    result: Any,
) -> None:
    monkeypatch.chdir(learned)
    assert run([*command.split(), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == result


@pytest.mark.parametrize("names", [[], ["learn"], ["dataset", "show"]])
def test_help_is_a_word_too(capfd: pytest.CaptureFixture[str], names: list[str]) -> None:
    assert run(["help", *names]) == 0
    told = capfd.readouterr().out
    assert run([*names, "--help"]) == 0
    assert told == capfd.readouterr().out


OPTIONS = {
    "deploy": DeployOptions, "forward": ForwardOptions, "generate": GenerateOptions,
    "import": ImportOptions, "export": ExportOptions, "pack": ExportOptions, "publish": PublishOptions,
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_a_help_tells_of_every_option(capfd: pytest.CaptureFixture[str], command: str) -> None:
    assert run([command, "--help"]) == 0
    told = capfd.readouterr().out
    assert [key for key in keys(OPTIONS[command]) if f"{key}=" not in told] == []


def test_the_help_of_the_whole_has_whole_sentences(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "check Check network, dataset and job files, and dianne.yaml; print every fault as " in told
    assert "..." not in told.partition("[ARGS]...")[2]


def test_a_word_that_is_empty_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["push", "MLP:t", ""]) == 2
    assert capfd.readouterr().err == (
        "error: one of the words is empty; is it a variable of your shell that is not set?\n"
    )


@pytest.mark.parametrize("group", ["", "runtime", "dataset", "plot"])
def test_a_group_alone_shows_its_help(capfd: pytest.CaptureFixture[str], group: str) -> None:
    assert run(group.split()) == 2
    told = capfd.readouterr()
    assert run([*group.split(), "--help"]) == 0
    assert (told.out, told.err) == ("", capfd.readouterr().out)
