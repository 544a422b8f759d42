"""The commands: they parse, call the library and print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys

import click
from rich.text import Text

from dianne.cli.commands import cli
from dianne.cli.console import say, talk
from dianne.cli.words import refused
from dianne.compiler import put_off
from dianne.errors import DianneError

COMPLETE = "_DIANNE_COMPLETE"  # the variable by which click knows that a shell asks


def main() -> None:
    """Run a command, and exit with its code."""
    if COMPLETE in os.environ:
        from dianne.cli import complete  # noqa: F401  # registers the class for bash
    put_off()
    sys.exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run a command; a fault of the user's ends in one message and an exit code, never in a traceback."""
    if "" in words:
        return _fail("one of the words is empty; is it a variable of your shell that is not set?", 2)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        code = cli(words, "dianne", standalone_mode=False)
    except DianneError as error:
        return _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.message)
        return 2
    except click.UsageError as error:
        return _fail(refused(error), 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; Python would complain at exit
        return 141
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    talk.print(Text(f"error: {message}", style="red"))
    return code
