"""YAML files that remember where everything stands, so that a fault can be named by line and column.

The subset is the one that people expect: mappings with text keys, lists and scalars. Numbers are read as
YAML 1.2 reads them (`1e-3` is a number, `on` is a word). Aliases, tags and merge keys are refused: a file
reads from top to bottom and costs no more than its size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from dianne.errors import ConfigError, Problem

DocumentPath: TypeAlias = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_FOREIGN = re.compile(r'("(?:\\.|[^"\\\n])*")|\t|//[^\n]*|/\*.*?\*/', re.DOTALL)  # JSON's text, or not YAML
_INK = re.compile(r"[^\n]")
_WORDS: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip


def read_scalar(text: str) -> Any:
    """The value of a plain YAML 1.2 scalar: null, a boolean, a number or text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) < 300:
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


@dataclass
class Document:
    """The plain data of a file, and the place of every key and value in it.

    Attributes:
        source: the file as messages name it (relative to the working directory where possible).
        text: the file's content.
        data: nested dicts, lists and scalars.
        problems: what is wrong with the text itself (keys given twice), or was reported since.
    """

    source: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _keys: dict[DocumentPath, yaml.Mark] = field(default_factory=dict)
    _values: dict[DocumentPath, yaml.Mark] = field(default_factory=dict)

    def where(self, path: DocumentPath, of_key: bool = False) -> str:
        """`file:line:column` of the value at `path`, or of its key; of the nearest parent if it is absent."""
        for length in range(len(path), -1, -1):
            short = path[:length]
            exact = length == len(path)
            mark = self._keys.get(short) if of_key or not exact else self._values.get(short)
            mark = mark or self._values.get(short)
            if mark is not None:
                return _at(self.source, mark)
        return _at(self.source, None)

    def report(self, path: DocumentPath, message: str, of_key: bool = False) -> None:
        """Note a fault at `path`; `close` raises what was noted."""
        self.problems.append(Problem(self.where(path, of_key), message))

    def close(self) -> None:
        """Raise all that was reported, in the order of lines.

        Raises:
            ConfigError: there was at least one problem.
        """
        if self.problems:
            raise ConfigError(self.source, sorted(self.problems, key=_line))


def _line(problem: Problem) -> tuple[int, int]:
    line, column = problem.where.rsplit(":", 2)[-2:]
    return int(line), int(column)


def display(path: Path) -> str:
    """A path as messages show it: relative to the working directory when it lies inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def load(path: Path) -> Document:
    """Read a YAML or JSON file whose top level is a mapping.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or is no mapping.
    """
    source = display(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(source, [Problem(f"{source}:1:1", f"larger than {MAX_BYTES:,} bytes")])
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(source, [Problem(source, f"cannot be read: {reason}")]) from error
    return parse(as_yaml(text) if path.suffix == ".json" else text, source)


def as_yaml(text: str) -> str:
    """JSON (with comments, if need be) as YAML: what YAML doesn't know becomes blanks in the same places."""
    return _FOREIGN.sub(lambda found: found[1] or _INK.sub(" ", found[0]), text)


def parse(text: str, source: str) -> Document:
    """Read YAML text; as `load`, with `source` as the name in messages."""
    document = Document(source, text)
    try:
        _refuse_indirection(text, source)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = _at(source, error.problem_mark or error.context_mark)
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(source, [Problem(where, f"not valid YAML: {detail}")]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # characters and numbers beyond all
        detail = str(error).split("\n")[0]
        raise ConfigError(source, [Problem(f"{source}:1:1", f"not valid YAML: {detail}")]) from error
    if not isinstance(root, yaml.MappingNode):
        found = "nothing" if root is None else "a list" if isinstance(root, yaml.SequenceNode) else "a value"
        message = f"expected keys and values ('name: ...'), found {found}"
        raise ConfigError(source, [Problem(f"{source}:1:1", message)])
    document.data = _plain(root, (), document)
    return document


def _at(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else f"{source}:1:1"


def _refuse_indirection(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        fault = ""
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            fault = f"nested more than {MAX_DEPTH} levels deep" if depth > MAX_DEPTH else ""
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.AliasEvent):
            fault = f"aliases (*{event.anchor}) are not supported; write the value out"
        elif isinstance(event, yaml.NodeEvent) and event.anchor:
            fault = f"anchors (&{event.anchor}) are not supported; write the value out where it is used"
        elif getattr(event, "tag", None) not in (None, "!"):
            fault = f"tags ({event.tag}) are not supported; write a plain value"  # type: ignore[attr-defined]
        if fault:
            raise ConfigError(source, [Problem(_at(source, event.start_mark), fault)])


def _refuse_surrogates(node: yaml.ScalarNode, document: Document) -> None:
    if not node.value.isascii() and any(0xD800 <= ord(sign) < 0xE000 for sign in node.value):
        message = "holds half a character (a surrogate), which nothing can print"
        raise ConfigError(document.source, [Problem(_at(document.source, node.start_mark), message)])


def _plain(node: yaml.Node, path: DocumentPath, document: Document) -> Any:
    document._values[path] = node.start_mark
    if isinstance(node, yaml.ScalarNode):
        _refuse_surrogates(node, document)
        return read_scalar(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), document) for index, item in enumerate(node.value)]
    result: dict[str, Any] = {}
    nowhere = (*path, "?")  # the place of a key that cannot be kept
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            document._values[nowhere] = key_node.start_mark
            document.report(nowhere, "a key must be a word, found a list or a mapping")
            continue
        _refuse_surrogates(key_node, document)
        key = str(key_node.value)
        place = (*path, key)
        if key in result:
            document._values[nowhere] = key_node.start_mark
            document.report(nowhere, f"key '{key}' is given twice")
            continue
        document._keys[place] = key_node.start_mark
        result[key] = _plain(value_node, place, document)
    return result
