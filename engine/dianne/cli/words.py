"""How a command line is taken apart: plain words, `key=value` words, and commands by their nearest name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dianne.errors import UsageError, suggest
from dianne.workspace import Folder

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SENTENCE = 200  # characters that the first sentence of a help may have
_ALIASES = {"eval": "evaluate"}


class Commands(click.Group):
    """A group that names the nearest command for an unknown one.

    Args:
        later: by name, groups that are imported when they are used: their module, and their short help.
    """

    def __init__(self, *args: Any, later: Mapping[str, tuple[str, str]] | None = None, **settings: Any):
        super().__init__(*args, **settings)
        self.later = dict(later or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them, by name."""
        return sorted({*super().list_commands(ctx), *self.later})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name or alias."""
        name = _ALIASES.get(name, name)
        if name in self.later:
            found: click.Command = getattr(import_module(self.later[name][0]), name)
            return found
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click does, with whole sentences, and without importing what is imported later."""
        names = self.list_commands(ctx)
        told = {name: command.get_short_help_str(_SENTENCE) for name, command in self.commands.items()}
        told |= {name: text for name, (_, text) in self.later.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, told[name]) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; raises UsageError with the nearest."""
        if args and self.get_command(ctx, args[0]) is None:
            known = suggest(args[0], self.list_commands(ctx), "commands")
            raise UsageError(f"there is no command '{args[0]}'{known}")
        return super().resolve_command(ctx, args)


def takes(metavar: str) -> Callable[[Any], Any]:
    """Give a command all of its words as `words`; the metavar also says how shells complete them."""
    return click.argument("words", nargs=-1, metavar=metavar, shell_complete=_complete)


def _complete(ctx: click.Context, param: click.Parameter, part: str) -> list[CompletionItem[Any]]:
    from dianne.cli.complete import complete_words

    return complete_words(ctx, param, part)


def split(words: tuple[str, ...], *names: str, optional: int = 0) -> tuple[list[str], dict[str, Any]]:
    """Positional words and options, in any order."""
    plain = [word for word in words if "=" not in word]
    if not len(names) - optional <= len(plain) <= len(names):
        missing = " and ".join(names[len(plain) : len(names) - optional])
        fault = f"{missing} missing" if missing else f"'{plain[len(names)]}' is one word too many"
        raise UsageError(f"{fault}; usage: {usage(click.get_current_context())}")
    if len(plain) == len(words):
        return plain, {}
    from dianne.binding import parse_pairs  # pydantic, that is a tenth of a second

    pairs = parse_pairs(word for word in words if "=" in word)
    for key, value in pairs.items():
        if not value:
            raise UsageError(f"'{key}=' has no value; write one behind it, or leave it out")
    return plain, pairs


def usage(ctx: click.Context) -> str:
    """How a command is called, on one line."""
    return " ".join(ctx.get_usage().removeprefix("Usage: ").split())


def refused(error: click.UsageError) -> str:
    """What click refuses, said as our own messages are."""
    ctx = error.ctx
    if isinstance(error, click.NoSuchOption):
        message = f"no such option '{error.option_name}'"
        if error.possibilities:
            return f"{message}; did you mean '{error.possibilities[0]}'?"
        takes_keys = ctx and any("=" in (param.metavar or "") for param in ctx.command.params)
        if takes_keys and error.option_name.startswith("--"):
            return f"{message}; write it as a word: {error.option_name[2:]}=..."
    elif isinstance(error, click.MissingParameter) and error.param and ctx:
        message = f"{error.param.make_metavar(ctx)} missing"
    else:
        message = error.format_message().rstrip(".")
        message = message[:1].lower() + message[1:]
    if ctx is None or type(error) is click.BadParameter:  # this says what would be right
        return message
    return f"{message}; usage: {usage(ctx)}"


def plain(words: tuple[str, ...], *names: str, optional: int = 0) -> list[str]:
    """The positional words of a command that takes no options; raises UsageError if there is one."""
    found, options = split(words, *names, optional=optional)
    refuse(options)
    return found


def refuse(options: Iterable[str], *known: str) -> None:
    """Raise UsageError for the first option that the command does not take.

    Args:
        options: their keys.
        known: those that it takes.
    """
    for key in options:
        if key not in known:
            ctx = click.get_current_context()
            flags = [param.opts[-1] for param in ctx.command.params if isinstance(param, click.Option)]
            near = suggest(key, [*(f"{one}=" for one in known), *flags], "options")
            raise UsageError(f"{ctx.command_path} takes no option '{key}'{near}")


def job_of(words: tuple[str, ...]) -> tuple[str, str, dict[str, Any]]:
    """Networks, dataset and options of a job: as words, or as a job file whose options words replace."""
    if not (words and words[0].endswith((".yaml", ".yml"))):
        (networks, dataset), options = split(words, "NETWORKS", "DATASET")
        return networks, dataset, options
    if more := [word for word in words[1:] if "=" not in word]:
        raise UsageError(
            f"{words[0]} is a job file, which names networks and dataset; leave {', '.join(more)} out"
        )
    (path,), typed = split(words, "JOB.yaml")
    from dianne.jobs.file import read_job

    networks, dataset, written = read_job(Path(path))
    return networks, dataset, {**written, **typed}


def here() -> Folder:
    """The workspace: the folder in which one works."""
    return Folder(Path())
