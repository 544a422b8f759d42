"""What there is: networks, tags, datasets, strategies. Only showing one strategy imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dianne import plugins
from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.errors import UsageError, suggest
from dianne.options import Choice, default_of, keys
from dianne.runtime import listings
from dianne.store import Manifest
from dianne.workspace import Folder


def list_models(folder: Folder, as_json: bool) -> None:
    """Networks by name; a file that cannot be read is listed with its fault."""
    entries = listings.models(folder)
    if as_json:
        show_json(entries)
        return
    made = table("network", "parameters", "tags", "description")
    for entry in entries:
        parameters = entry["parameters"].items()
        shown = _few(key if value is None else f"{key}={value}" for key, value in parameters)
        row(made, entry["name"], shown, ", ".join(entry["tags"]), entry["description"])
    show_table(made)


def _few(words: Iterable[str], most: int = 4) -> str:
    """The first of some words, so that a column stays narrow."""
    found = list(words)
    return " ".join([*found[:most], "…"] if len(found) > most else found)


def list_tags(folder: Folder, network: str | None, as_json: bool) -> int:
    """Tags with iterations, loss and time; spoilt ones with their fault, and then the exit code is 1."""
    found = listings.tags(folder, network)
    faults = [one for one in found if not isinstance(one[2], Manifest)]
    if as_json:
        show_json([listings.tag_entry(*one) for one in found])
        return int(bool(faults))
    if not found:
        say(f"nothing is stored{f' for {network}' if network else ''} in this workspace yet")
        return 0
    made = table("network", "tag", "iterations", "loss", "dataset", "parameters", "stored (UTC)",
                 right=("iterations", "loss"))  # fmt: skip
    for name, tag, m in found:
        if not isinstance(m, Manifest):
            row(made, name, tag, "spoilt")
            continue
        loss = f"{m.loss['loss']:.4g}" if "loss" in m.loss else ""
        parameters = " ".join(f"{key}={value}" for key, value in m.parameters.items())
        created = m.created.split("+")[0].replace("T", " ")
        row(made, name, tag, f"{m.iteration:,}", loss, m.dataset.get("name"), parameters, created)
    show_table(made)
    for name, tag, fault in faults:
        say(f"{name}:{tag}: {fault}; `dianne verify` tells what can be done", style="red")
    return int(bool(faults))


def list_datasets(folder: Folder, as_json: bool) -> None:
    """Datasets by name; samples and shape as far as their descriptors tell them."""
    entries = listings.datasets(folder)
    if as_json:
        show_json(entries)
        return
    made = table("dataset", "type", "samples", "dims", "files", "description", right=("samples",))
    for entry in entries:
        count = f"{entry['samples']:,}" if entry["samples"] else ""
        shown = entry["inputDims"], entry["files"], entry["description"]
        row(made, entry["name"], entry["type"], count, *shown)
    show_table(made)


def list_strategies(folder: Folder, as_json: bool) -> None:
    """Strategies by name, those for learning first."""
    entries = listings.strategies(folder)
    if as_json:
        show_json(entries)
        return
    made = table("strategy", "what it does")
    for entry in entries:
        row(made, entry["name"], entry["summary"])
    show_table(made)


def show_strategy(folder: Folder, name: str, as_json: bool) -> None:
    """One strategy: its roles, what it says of itself, and every option with type, default and meaning."""
    strategy: Any = _find_any(folder, name)
    rows = _option_rows(strategy.Options)
    if as_json:
        show_json({
            "name": strategy.__name__, "roles": strategy.roles, "defaults": dict(strategy.defaults),
            "options": [{"key": key, "default": default, "meaning": text} for key, default, text in rows],
        })  # fmt: skip
        return
    show(f"{strategy.__name__}\n\n{_dedented(strategy.__doc__)}\n")
    show(f"networks: {', '.join(strategy.roles)}")
    if strategy.defaults:
        show(f"sets: {' '.join(f'{key}={_plain(value)}' for key, value in strategy.defaults.items())}")
    example = dict(getattr(strategy, "example", {}))
    if example:
        short = strategy.__name__.removesuffix(plugins.LEARNING)
        words = [str(example.pop(key)) for key in ("networks", "dataset") if key in example]
        words += [f"strategy={short}", *(f"{key}={_plain(value)}" for key, value in example.items())]
        show(f"example: dianne learn {' '.join(words)}")
    made = table("option", "default", "meaning")
    for key, default, text in rows:
        row(made, key, _plain(default), text)
    if rows:
        show("")
        show_table(made)


def _find_any(folder: Folder, name: str) -> type:
    known = plugins.strategies(folder)
    for kind in (plugins.LEARNING, plugins.EVALUATION):
        for candidate in (plugins.plain_name(name), plugins.plain_name(name) + kind):
            if candidate in known:
                return plugins.find(folder, candidate, known[candidate].kind)
    if ":" in name:
        return plugins.find(folder, name, plugins.LEARNING)
    raise UsageError(f"there is no strategy '{name}'{suggest(name, known, 'strategies')}")


def _option_rows(options: Any) -> list[tuple[str, Any, str]]:
    """Key, default and meaning of each option; those of a chosen component follow their choice."""
    rows = []
    for key, info in keys(options).items():
        choice = next((mark for mark in info.metadata if isinstance(mark, Choice)), None)
        names = f" ({', '.join(choice.registry)})" if choice else ""
        rows.append((key, default_of(info), (info.description or "") + names))
        if choice:
            inner = choice.registry.get(default_of(info)).Options
            rows += [(f"  {inner_key}", default, text) for inner_key, default, text in _option_rows(inner)]
    return rows


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else value


def _dedented(text: str | None) -> str:
    import inspect

    return inspect.cleandoc(text or "")
