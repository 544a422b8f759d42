"""Finding strategies by name, without importing a file that does not match.

A strategy is a class in a Python file of the workspace's `strategies/` or of the shipped ones, a
`package.module:Class`, or an entry point of the group `dianne.strategies`. Files are read as syntax trees:
listing them runs none of their code.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from dianne.document import display
from dianne.errors import DianneError, UsageError, suggest
from dianne.workspace import Folder, shipped

LEARNING, EVALUATION = "LearningStrategy", "EvaluationStrategy"


@dataclass(frozen=True)
class StrategyFile:
    """A strategy as its file declares it; `kind` is LEARNING or EVALUATION, `summary` one sentence."""

    name: str
    kind: str
    summary: str
    path: Path


class StrategyError(DianneError):
    """A strategy's own code failed; says where in it, and how."""


def strategies(folder: Folder) -> dict[str, StrategyFile]:
    """All strategies in files, by class name; the workspace's own hide shipped ones."""
    classes: dict[str, tuple[ast.ClassDef, Path]] = {}
    for path in folder.walk("strategies"):
        for node in _classes(path):
            classes.setdefault(node.name, (node, path))
    nodes = {name: node for name, (node, _) in classes.items()}
    found = {}
    for name, (node, path) in classes.items():
        kind = _kind(name, nodes)
        if kind and not name.startswith("_"):
            summary = (ast.get_docstring(node) or "").split("\n")[0]
            found[name] = StrategyFile(name, kind, summary, path)
    return dict(sorted(found.items()))


def _classes(path: Path) -> list[ast.ClassDef]:
    try:
        return [node for node in _parsed(path).body if isinstance(node, ast.ClassDef)]
    except StrategyError:
        return []  # said in full when a strategy that could be in this file is asked for


def _kind(name: str, classes: dict[str, ast.ClassDef]) -> str | None:
    """Which contract a class follows, judged by the names of its bases and theirs."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current in seen or current not in classes:
            continue
        seen.add(current)
        bases = [ast.unparse(base).rsplit(".", 1)[-1] for base in classes[current].bases]
        for base in bases:
            for kind in (LEARNING, EVALUATION):
                if base not in classes and base.endswith(kind):
                    return kind
        waiting += bases
    return None


def _a(kind: str) -> str:
    return f"{'an' if kind == EVALUATION else 'a'} {kind}"


def find(folder: Folder, name: str, kind: str) -> type:
    """The strategy class that `name` means; the suffix of its kind may be left out.

    Args:
        folder: the workspace.
        name: a class name, with or without suffix, or `module:Class`.
        kind: LEARNING or EVALUATION.

    Raises:
        UsageError: there is none of that name and kind.
        StrategyError: its file cannot be imported.
    """
    if ":" in name:
        return _from_module(folder, *name.split(":", 1))
    name = plain_name(name)
    known = strategies(folder)
    points = {point.name: point for point in importlib.metadata.entry_points(group="dianne.strategies")}
    for candidate in (name, name + kind):
        if candidate in known:
            if known[candidate].kind != kind:
                raise UsageError(f"{candidate} is {_a(known[candidate].kind)}, and this needs {_a(kind)}")
            path = known[candidate].path
            return _class_of(_load_file(path), candidate, display(path))
        if candidate in points:
            return points[candidate].load()  # type: ignore[no-any-return]
    own = folder.root / "strategies"
    for path in sorted(own.rglob("*.py")) if own.is_dir() else []:
        _parsed(path)  # a broken file could hold the missing strategy
    options = [key for key, strategy in known.items() if strategy.kind == kind] + list(points)
    if not name.endswith(kind):  # compare short names with a short name
        options = [key.removesuffix(kind) for key in options]
    hint = suggest(name, options, "strategies")
    raise UsageError(f"there is no {kind} '{name}' in {display(own)}/ or among those that ship{hint}")


def name_of(strategy: type, asked: str) -> str:
    """The name by which a strategy is found again: of its class, or `module:Class` as it was asked for."""
    return asked if ":" in asked else strategy.__name__


def find_function(folder: Folder, name: str) -> Callable[..., object]:
    """The function that `file.py:name` or `package.module:name` means.

    Raises:
        UsageError: there is no such file, module or function.
        StrategyError: it cannot be imported.
    """
    module, sign, function = name.partition(":")
    if not sign:
        raise UsageError(f"'{name}' names no function; write file.py:function or package.module:function")
    imported, place = _module(folder, module)
    found = getattr(imported, function, None)
    if not callable(found):
        functions = [key for key, value in vars(imported).items() if isinstance(value, FunctionType)]
        raise UsageError(f"{place} has no function '{function}'{suggest(function, functions, 'functions')}")
    return found  # type: ignore[no-any-return]


def plain_name(name: str) -> str:
    """A class name, as files have it: DIANNE's users may name its package too, and papers write VAE-GAN."""
    return name.rpartition(".")[2].replace("-", "")


def _from_module(folder: Folder, module: str, class_name: str) -> type:
    imported, place = _module(folder, module)
    return _class_of(imported, class_name, place)


def _module(folder: Folder, module: str) -> tuple[ModuleType, str]:
    """A module by its file in the workspace or by its name, and what messages call it."""
    if module.endswith(".py"):
        path = folder.root / module
        if not path.is_file():
            raise UsageError(f"there is no file {display(path)}")
        return _load_file(path), display(path)
    if not _exists(module):
        raise UsageError(f"there is no Python module '{module}'; is it installed here?")
    with user_code(f"importing {module}"):
        return importlib.import_module(module), module


def _exists(module: str) -> bool:
    try:
        with user_code(f"importing {module}"):  # the packages around a module are imported to find it
            return importlib.util.find_spec(module) is not None
    except StrategyError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError):  # no name at all, or a module that has no file
            return False
        if isinstance(cause, ImportError) and (not cause.name or f"{module}.".startswith(f"{cause.name}.")):
            return False
        raise


def _parsed(path: Path) -> ast.Module:
    """The syntax tree of a file.

    Raises:
        StrategyError: it is no text, or not valid Python.
    """
    try:
        return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as error:
        place = f"{display(path)}:{error.lineno}" if error.lineno else display(path)
        raise StrategyError(f"{place}: not valid Python: {error.msg}") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise StrategyError(f"{display(path)}: not valid Python: it is not UTF-8 text") from error


def _class_of(module: ModuleType, name: str, place: str) -> type:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise UsageError(f"{place} has no class '{name}'{suggest(name, classes, 'classes')}")
    return found


def _load_file(path: Path) -> ModuleType:
    path = path.resolve()
    ships = path.is_relative_to(shipped("strategies").resolve())
    name = f"dianne.strategies.{path.stem}" if ships else f"dianne_workspace_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path) and ships:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with user_code(f"importing {display(path)}"):
        spec.loader.exec_module(module)
    return module


@contextmanager
def user_code(doing: str) -> Iterator[None]:
    """Run a plug-in's code; what it raises becomes a `StrategyError` that names the plug-in's line.

    This is the boundary to code that is not ours, so every exception is caught here, and only here.
    """
    try:
        yield
    except DianneError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        inside = Path(__file__).parent
        own = [f for f in frames if not Path(f.filename).is_relative_to(inside) and not _library(f.filename)]
        place = f"{display(Path(own[-1].filename))}:{own[-1].lineno}: " if own else ""
        if isinstance(error, SyntaxError):
            place = f"{display(Path(error.filename or ''))}:{error.lineno}: "
        text = str(error).strip().split("\n")[0]
        raise StrategyError(f"{doing}: {place}{type(error).__name__}: {text}") from error


def _library(filename: str) -> bool:
    return "site-packages" in filename or filename.startswith(("<", f"{sys.base_prefix}{os.sep}"))
