"""The commands at a prompt, and words that shells complete."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from command import DIANNE, Run
from dianne.strategies.feed_forward import FeedForwardLearningStrategy

from dianne.api import Workspace
from dianne.cli.commands import cli
from dianne.cli.complete import words
from dianne.cli.shell import offers
from dianne.criteria import CRITERIA
from dianne.data.options import LearnDataOptions
from dianne.data.sampling import SAMPLING
from dianne.jobs.learn import LearnOptions, MemberOptions
from dianne.jobs.resources import Resources
from dianne.learning.methods import METHODS
from dianne.learning.schedules import SCHEDULES
from dianne.options import keys
from dianne.workspace import Folder


def offered(line: str) -> list[str]:
    return offers(cli, line)


def test_words_are_offered_as_the_usage_of_a_command_says(folder: Path) -> None:
    assert offered("eval") == ["evaluate "]
    assert offered("learn Enc") == ["Encoder "]
    assert offered("learn Encoder,De") == ["Encoder,Decoder "]
    assert offered("learn MLP Dig") == ["Digits "]
    assert offered("submit ev") == ["evaluate "]
    assert offered("submit evaluate MLP Digits storeIfB") == ["storeIfBetter="]
    assert offered("learn MLP Digits hid") == ["hidden="]
    assert offered("learn Encoder,Decoder Digits strategy=Variational") == [
        "strategy=VariationalAutoEncoder "
    ]
    assert offered("learn Encoder,Decoder Digits strategy=VariationalAutoEncoder samp") == [
        "sampleSize=", "sampling=",
    ]  # fmt: skip
    assert offered("learn MLP Digits track=tensorboard,m") == ["track=tensorboard,mlflow "]
    assert offered("sweep MLP Digits tri") == ["trials="]
    assert offered("strategies GA") == ["GAN "]
    assert offered("learn MLP --dr") == ["--dry-run "]
    assert offered("learn 'M") == ["MLP "]
    assert offered("job ") == offered("info ") == offered("learn MLP Digits hidden=") == []
    (folder / "job.yaml").write_text("networks: MLP\n")
    assert offered("learn jo") == ["job.yaml "]
    assert sorted(path.name for path in folder.iterdir()) == ["job.yaml"]


def test_a_workspace_with_faults_offers_less_and_never_fails(folder: Path) -> None:
    (folder / "networks").mkdir()
    (folder / "networks" / "Bad.yaml").write_text("modules: [")
    (folder / "dianne.yaml").write_text("models: [")
    assert offered("learn Ba") == ["Bad "]
    assert offered("learn Bad Digits hid") == offered("deploy Bad tag=") == []


def test_all_options_of_a_job_are_offered(folder: Path) -> None:
    components = [part for group in (METHODS, SCHEDULES, SAMPLING, CRITERIA) for _, part in group.items()]
    classes = [LearnOptions, LearnDataOptions, MemberOptions, FeedForwardLearningStrategy.Options, Resources]
    declared = {
        key for options in (*classes, *(part.Options for part in components)) for key in keys(options)
    }
    usage = "NETWORKS DATASET [KEY=VALUE]..."
    known = {word.rstrip("=") for word in words(Folder(folder), "submit", usage, ["MLP", "Digits"], "")}
    assert declared - known == set()


def test_bash_completes_behind_the_signs_at_which_it_takes_words_apart(folder: Path) -> None:
    Workspace().learn("MLP", "Digits", tag="first", maxIterations=2)
    script = """
    eval "$(dianne completion bash)"; compopt() { :; }
    ask() { COMPREPLY=(); COMP_LINE=$1; COMP_POINT=${#1}; _dianne_completion dianne; echo "${COMPREPLY[@]}"; }
    ask "dianne deploy MLP tag=f"; ask "dianne deploy MLP tag="; ask "dianne rerun MLP:f"
    ask "dianne learn Encoder,De"; ask "dianne learn MLP Digits learningR"
    """
    path = f"{DIANNE.parent}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert told.stderr == ""
    assert told.stdout.splitlines() == [
        "first", "first", "first", "Encoder,Decoder", "learningRate=",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_of_click(run: Run, shell: str) -> None:
    script = run(f"dianne completion {shell}").stdout
    assert f"_DIANNE_COMPLETE={shell}_complete" in script
    asked = run("dianne", COMP_WORDS="dianne learn ML", COMP_CWORD="2", _DIANNE_COMPLETE="zsh_complete")
    assert asked.stdout.split() == ["plain", "MLP", "_"]


def test_completing_takes_a_moment(folder: Path) -> None:
    """It imports no torch; 0.3 s on a quiet machine."""
    taken = []
    for _ in range(3):
        began = time.monotonic()
        env = {**os.environ, "COMP_LINE": "dianne learn MLP Digits m", "_DIANNE_COMPLETE": "bash_complete"}
        subprocess.run([str(DIANNE)], env=env, check=True, capture_output=True)
        taken.append(time.monotonic() - began)
    assert min(taken) < 1


def test_commands_run_one_after_the_other_in_one_process(folder: Path) -> None:
    typed = [
        "dianne learn MLP Digits tag='t' maxIterations=2",
        "tags MLP --json",
        "lern MLP",
        "",
        "forward 'MLP",
        "shell",
        "exit",
        "datasets",
    ]
    state = {"XDG_STATE_HOME": str(folder / "state"), "COLUMNS": "200"}
    told = subprocess.run(
        [str(DIANNE), "shell"], input="\n".join(typed), cwd=folder, env={**os.environ, **state},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "stored MLP:t after 2 iterations" in told.stdout
    assert '"tag": "t"' in told.stdout
    assert "Digits  " not in told.stdout
    assert told.stderr.splitlines()[-3:] == [
        "error: there is no command 'lern'; did you mean 'learn'?",
        "error: no closing quotation",
        "this is the shell",
    ]
