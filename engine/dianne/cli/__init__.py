"""The commands: they parse, call the library and print. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys

import click
from rich.text import Text

from dianne.cli.commands import cli
from dianne.cli.console import talk
from dianne.errors import DianneError


def main() -> None:
    """Run a command; a fault of the user's ends in one message and an exit code, never in a traceback."""
    try:
        code = cli(standalone_mode=False)
    except DianneError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has left; Python would complain at exit
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    talk.print(Text(f"error: {message}", style="red"))
    sys.exit(code)
