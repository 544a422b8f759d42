"""What can come next on a command line, for shells and for `dianne shell`.

The usage of a command says what its words are (`NETWORKS DATASET [KEY=VALUE]...`). Keys of options are read
off the text of the engine and of strategies, as importing them, and torch with them, would take seconds.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

import dianne
from dianne.errors import DianneError
from dianne.workspace import Folder

_JOB = (
    "criteria.py", "data/adapter_options.py", "data/options.py", "data/sampling.py", "jobs/learn.py",
    "learning/execution.py", "learning/loop.py", "learning/methods.py",
    "learning/schedules.py", "learning/stopping.py", "learning/strategy.py", "learning/trainer.py",
)  # fmt: skip
_QUEUED = (*_JOB, "jobs/resources.py")
_JUDGING = ("data/adapter_options.py", "data/options.py", "jobs/evaluate.py", "evaluation/strategy.py")
_SOURCES = {
    "learn": _JOB, "submit": _QUEUED, "resubmit": _QUEUED, "sweep": (*_QUEUED, "jobs/sweep.py"),
    "evaluate": _JUDGING, "forward": ("runtime/forward.py",), "generate": ("runtime/generate.py",),
}  # fmt: skip
"""By command, the files of the engine whose options it takes."""
_NEWEST = 20  # jobs that are offered


def complete_words(ctx: click.Context, param: click.Parameter, part: str) -> list[CompletionItem[Any]]:
    """What click asks: the words that `part` may become; none in a workspace with faults."""
    given = [word for word in ctx.params.get(param.name or "") or () if isinstance(word, str)]
    try:
        found = words(Folder(Path()), ctx.info_name or "", str(param.metavar), given, part)
    except (DianneError, OSError):
        return []
    if any(slot in ("PATH", "FILE") for slot in found):
        return [CompletionItem(part, type="file")]
    return [CompletionItem(word) for word in sorted(set(found)) if word.startswith(part)]


def words(folder: Folder, command: str, usage: str, given: list[str], part: str) -> list[str]:
    """All words that may come next.

    Args:
        folder: the workspace.
        command: its name.
        usage: the command's, such as `NETWORKS DATASET [KEY=VALUE]...`.
        given: words that are there.
        part: what is there of the next word.
    """
    key, sign, value = part.partition("=")
    plain = [word for word in given if "=" not in word]
    if sign:
        return [f"{key}={found}" for found in _values(folder, key, plain, value)]
    tokens = usage.replace("|", " | ").split()
    slots = [token.strip("[].") for token in tokens if "=" not in token and token != "|"]
    kinds = [slot for slot in slots if slot.islower() and slot.isalpha()]  # learn|evaluate
    slots = [slot for slot in slots if slot not in kinds]
    offered = kinds if not plain else []
    if plain and plain[0] in kinds:
        command, plain = plain[0], plain[1:]
    many = usage.endswith("...") and "=" not in usage
    if len(plain) < len(slots) or many:
        slot = slots[min(len(plain), len(slots) - 1)]
        return [*offered, *_plain(folder, slot, part)]
    own = [token.strip("[]").split("=")[0] for token in tokens if "=" in token]
    found = {key for key in own if not key.isupper()}
    found |= {key for source in _SOURCES.get(command, ()) for key in _keys(_engine() / source)}
    found |= _own_keys(folder, plain, given)
    there = {word.partition("=")[0] for word in given}
    return [f"{key}=" for key in found - there]


def _plain(folder: Folder, slot: str, part: str) -> Iterable[str]:
    """What a plain word may be."""
    if slot == "NETWORKS":
        files = [path.name for path in folder.root.glob("*.yaml")]
        return [*_listed(folder.files("networks"), part), *files]
    if slot in ("NETWORK", "DATASET"):
        return folder.files(f"{slot.lower()}s")
    if slot in ("NETWORK:TAG", "NETWORKS:TAG"):
        return [f"{network}:{tag}" for network, tag in _refs(folder)]
    if slot == "STRATEGY":
        return _strategies(folder)
    if slot == "INSTANCE":
        from dianne.runtime.deployments import names

        return names(folder)
    if slot == "JOB":
        from dianne.jobs.queue import Queue

        return [job.id for job in Queue(folder).jobs(newest=_NEWEST)]
    if slot == "TRACKERS":
        return _values(folder, "track", [], part)
    return [slot] if slot in ("PATH", "FILE") else []


def _values(folder: Folder, key: str, plain: list[str], part: str) -> Iterable[str]:
    """What the value of an option may be."""
    key = key.rpartition(".")[2]
    if key in ("tag", "initTag"):
        networks = {name for word in plain for name in word.split(",")}
        tags = _refs(folder)
        own = [tag for network, tag in tags if network in networks]
        return own or [tag for _, tag in tags]
    if key == "strategy":
        return _strategies(folder)
    if key == "track":
        from dianne.jobs.track import TRACKERS

        return _listed(TRACKERS, part)
    return []


def _listed(names: Iterable[str], part: str) -> list[str]:
    """Names that may follow the last comma of a list, behind all that is before it."""
    before = part[: part.rfind(",") + 1]
    return [before + name for name in names if name not in before.split(",")]


def _refs(folder: Folder) -> list[tuple[str, str]]:
    from dianne.store import Store

    return Store(folder.models).refs()


def _strategies(folder: Folder) -> list[str]:
    from dianne import plugins

    found = plugins.strategies(folder).values()
    return [file.name.removesuffix(plugins.LEARNING) for file in found if file.kind == plugins.LEARNING]


def _own_keys(folder: Folder, plain: list[str], given: list[str]) -> set[str]:
    """Parameters of the networks that are named, and options of the strategy."""
    from dianne import plugins
    from dianne.network import file

    networks, chosen = folder.files("networks"), "FeedForward"
    found: set[str] = set()
    for name in (name for word in plain[:1] for name in word.split(",")):
        if name in networks:
            found |= set(file.read(networks[name]).parameters)
    for word in given:
        key, _, value = word.partition("=")
        chosen = value if key == "strategy" else chosen
    known = plugins.strategies(folder)
    strategy = known.get(chosen) or known.get(chosen + plugins.LEARNING)
    return found | set(_keys(strategy.path)) if strategy and found else found


def _engine() -> Path:
    return Path(dianne.__file__).parent


def _keys(path: Path) -> Iterable[str]:
    """The options that the classes in a file declare, as users type them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and _declares(node):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    first, *rest = field.target.id.split("_")
                    yield first + "".join(map(str.capitalize, rest))


def _declares(node: ast.ClassDef) -> bool:
    return any(name.endswith("Options") for name in (node.name, *map(ast.unparse, node.bases)))


# -------------------------------------------------------------------------------------------------- shells

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(COMP_LINE="${COMP_LINE:0:$COMP_POINT}" %(complete_var)s=bash_complete $1 2>/dev/null)
    for completion in $response; do
        IFS=',' read type value <<< "$completion"
        if [[ $type == 'file' ]]; then
            compopt -o default
        else
            COMPREPLY+=("$value")
            [[ $value == *= ]] && compopt -o nospace
        fi
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class Bash(BashComplete):
    """As click's, but for words that bash takes apart at `=` and `:`; behind `tag=` comes no blank."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words that are there, and the part of the next one; as far as the cursor."""
        return words_before(os.environ.get("COMP_LINE", ""))

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A word, or what bash takes for one."""
        _, part = self.get_completion_args()
        bare = item.value[len(re.match(r"(.*[=:])?", part)[0]) :]  # type: ignore[index]  # it matches all
        return f"{item.type},{bare}"


def words_before(line: str) -> tuple[list[str], str]:
    """The words on a line behind the first, and the part of the one at its end; open quotes are closed."""
    for close in ("", "'", '"'):
        try:
            found = shlex.split(line + close)
        except ValueError:
            continue
        part = found.pop() if found and not (line[-1:].isspace() and not close) else ""
        return found[1:], part
    return [], ""
