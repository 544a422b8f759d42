"""The commands at a prompt, and what makes other shells complete them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

from dianne.cli.console import say, show

_LEAVE = ("exit", "quit")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes your shell complete commands, networks, tags, datasets and options.

    \b
      eval "$(dianne completion bash)"       # in ~/.bashrc; zsh the same
      dianne completion fish > ~/.config/fish/completions/dianne.fish
    """
    from dianne.cli import COMPLETE, complete  # noqa: F401  # registers the class for bash

    found = get_completion_class(shell)
    assert found is not None
    made = found(ctx.find_root().command, {}, "dianne", COMPLETE)
    print(made.source_template % made.source_vars(), end="")


@click.command()
@click.pass_context
def shell(ctx: click.Context) -> None:
    """The same commands at a prompt: with history and completion, and torch is imported once.

    Ctrl-C ends a command, Ctrl-D (or exit) the shell.
    """
    from dianne.cli import run

    root = ctx.find_root().command
    forget = _edit_lines(root)
    try:
        while (line := _line()) is not None:
            try:
                words = shlex.split(line)
            except ValueError as error:
                say(f"error: {str(error).lower()}", style="red")
                continue
            words = words[1:] if words[:1] == ["dianne"] else words
            if words[:1] == ["shell"]:
                say("this is the shell")
            elif words and words[0] in _LEAVE:
                return
            elif words:
                run(words)
    finally:
        forget()


def _line() -> str | None:
    """What was typed; None at the end."""
    while True:
        try:
            return input("dianne> ")
        except EOFError:
            show("")
            return None
        except KeyboardInterrupt:
            show("")


def _history() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "dianne" / "history"


def _edit_lines(root: click.Command) -> Callable[[], None]:
    """Give `input` history and completion; returns what writes the history."""
    try:
        import readline
    except ImportError:  # a Python without it: lines are typed, no more
        return lambda: None
    path = _history()
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(1000)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(_Completer(root))
    readline.parse_and_bind("tab: complete")

    def keep() -> None:
        with suppress(OSError):  # a history that cannot be kept is no fault of a command
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)

    return keep


class _Completer:
    """What readline asks for one word after the other."""

    def __init__(self, root: click.Command):
        self.root = root
        self.found: list[str] = []

    def __call__(self, _: str, number: int) -> str | None:
        import readline

        if number == 0:
            self.found = offers(self.root, readline.get_line_buffer()[: readline.get_endidx()])
        return self.found[number] if number < len(self.found) else None


def offers(root: click.Command, line: str) -> list[str]:
    """The words that may stand at the end of a line; those that are whole with a blank behind them."""
    from dianne.cli.complete import words_before

    given, part = words_before(f"dianne {line}")
    found = ShellComplete(root, {}, "dianne", "").get_completions(given, part)
    return [item.value if item.value.endswith("=") else f"{item.value} " for item in found]
