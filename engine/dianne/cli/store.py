"""What one does with stored weights: look back, name, go back, check, tidy up, copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.interop import pull_from_hub
from dianne.cli.words import here, plain, takes
from dianne.errors import UsageError
from dianne.store import Manifest, Store, addresses, history
from dianne.store.addresses import SHORT

if TYPE_CHECKING:
    from dianne.store.diff import Difference
    from dianne.store.transfer import Copied
    from dianne.store.verify import Affected

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_force = click.option(
    "--force", is_flag=True, help="Move the tag there even if it has gone another way since."
)


def _store() -> Store:
    return Store(here().models)


def measured(manifest: Manifest) -> str:
    """The loss of some weights, or the metric for which they were kept."""
    if manifest.metrics:
        name, value = next(iter(manifest.metrics.items()))
        return f"{name} {value:.4g}"
    return f"{manifest.loss['loss']:.4g}" if "loss" in manifest.loss else ""


def stored_at(manifest: Manifest) -> str:
    """When weights were stored, in UTC."""
    return manifest.created.split("+")[0].replace("T", " ")


@click.command()
@click.argument("weights", metavar="NETWORK:TAG")
@_json
def log(weights: str, as_json: bool) -> None:
    """Show the history of a tag, the newest entry first.

    \b
      dianne log Encoder:vae
      dianne evaluate Encoder,Decoder MNIST tag=vae~1     # an entry can be used like a tag
    """
    networks, address = addresses.parse(weights)
    store = _store()
    entries = [(name, entry) for name in networks for entry in history.log(store, name, address)]
    if as_json:
        show_json([
            {
                "network": name, "address": f"{address}~{e.back}", "id": e.identifier,
                "created": e.manifest.created, "iteration": e.manifest.iteration, "loss": e.manifest.loss,
                "metrics": e.manifest.metrics, "job": e.manifest.job.get("id"),
                "dataset": e.manifest.dataset.get("name"), "note": e.note,
            }
            for name, e in entries
        ])  # fmt: skip
        return
    made = table("entry", "id", "stored (UTC)", "iterations", "loss", "job", "dataset", "note",
                 right=("iterations", "loss"))  # fmt: skip
    for name, e in entries:
        m = e.manifest
        place = f"{name}:{address}" + (f"~{e.back}" if e.back else "")
        row(made, place, e.identifier[:SHORT], stored_at(m), f"{m.iteration:,}", measured(m),
            m.job.get("id"), m.dataset.get("name"), e.note)  # fmt: skip
    show_table(made)


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@_json
def diff(a: str, b: str, as_json: bool) -> None:
    """Show what differs between two sets of weights: network, job, data, and how far each module went.

    \b
      dianne diff Encoder:vae~1 Encoder:vae
    """
    one, other = addresses.parse_one(a), addresses.parse_one(b)
    from dianne.store.diff import diff as compare

    found = compare(_store(), one, other)
    if as_json:
        show_json(asdict(found))
        return
    for title in ("structure", "job", "data", "versions"):
        _show_differences(title, getattr(found, title), a, b)
    made = table("module", "|A|", "|B|", "|A-B|", right=("|A|", "|B|", "|A-B|"))
    for d in found.norms:
        between = "other shapes" if d.between is None and None not in (d.a, d.b) else _number(d.between)
        row(made, d.module, _number(d.a), _number(d.b), between)
    show_table(made)


def _show_differences(title: str, differences: list[Difference], a: str, b: str) -> None:
    if differences:
        made = table(title, a, b)
        for d in differences:
            row(made, d.key, d.a, d.b)
        show_table(made)
        show("")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


@click.command()
@click.argument("weights", metavar="NETWORKS:TAG")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@_json
def tag(weights: str, tags: tuple[str, ...], as_json: bool) -> None:
    """Give stored weights more tags.

    \b
      dianne tag Encoder,Decoder:vae good published
      dianne tag Encoder:vae@1000 vae
    """
    networks, address = addresses.parse(weights)
    moved = history.tag(_store(), networks, address, tags)
    if as_json:
        show_json([asdict(one) for one in moved])
        return
    for one in moved:
        was = f"; before: {one.before[:SHORT]}" if one.before and one.before != one.after else ""
        show(f"{one.network}:{one.tag} is {(one.after or '')[:SHORT]}{was}")


@click.command()
@click.argument("weights", metavar="NETWORKS:TAG")
@_json
def untag(weights: str, as_json: bool) -> None:
    """Take a tag away; its weights stay until `dianne gc` finds them older than a day.

    \b
      dianne untag Encoder,Decoder:vae@1000
    """
    networks, address = addresses.parse(weights)
    moved = history.untag(_store(), networks, address)
    if as_json:
        show_json([asdict(one) for one in moved])
        return
    for one in moved:
        if one.before:
            short = one.before[:SHORT]
            back = f"; it named {short}, and comes back by: dianne tag {one.network}:{short} {one.tag}"
        else:
            back = "; its file was spoilt, and what it named is unknown"
        show(f"{one.network}:{one.tag} is gone{back}")


@click.command()
@click.argument("weights", metavar="NETWORKS:TAG~N")
@_json
def rollback(weights: str, as_json: bool) -> None:
    """Put earlier weights under a tag again; this is one more entry of its history, so it can be undone.

    \b
      dianne rollback Encoder,Decoder:vae~1
    """
    networks, address = addresses.parse(weights)
    store = _store()
    moved = history.rollback(store, networks, address)
    if as_json:
        show_json([asdict(one) for one in moved])
        return
    for one in moved:
        iterations = store.read_manifest(one.after or "").iteration
        show(f"{one.network}:{one.tag} has the weights of {iterations:,} iterations again")
    say(f"to undo it: dianne rollback {','.join(networks)}:{moved[0].tag}~1")


@click.command()
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Entries of each history to keep; else all."
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@_json
def gc(keep: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove weights that no tag reaches any more, and that are older than a day.

    \b
      dianne gc --keep 10 --dry-run
    """
    from dianne.store.gc import collect

    swept = collect(_store(), keep, dry_run)
    if as_json:
        show_json({
            "removed": [found.path for found in swept.removed], "bytes": swept.size, "kept": swept.kept,
            "young": swept.young, "dryRun": dry_run,
        })  # fmt: skip
        return
    for found in swept.removed if dry_run else []:
        show(f"{found.path}  {size(found.size)}")
    verb = "would remove" if dry_run else "removed"
    young = f", {swept.young:,} of them only because they are younger than a day" if swept.young else ""
    show(f"{verb} {len(swept.removed):,} files, {size(swept.size)}; {swept.kept:,} stay{young}")


def size(count: int) -> str:
    """A number of bytes as people read it."""
    value, units = float(count), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while value >= 1000 and (larger := next(units, "")):
        value, unit = value / 1000, larger
    return f"{value:,.3g} {unit}" if unit != "bytes" else f"{count} bytes"


@click.command()
@click.argument("weights", required=False, metavar="[NETWORK[:TAG]]")
@_json
def verify(weights: str | None, as_json: bool) -> int:
    """Read all weights once more, and say which are not what was written; then the exit code is 1.

    \b
      dianne verify
      dianne verify Encoder:vae
    """
    from dianne.store.verify import verify as checking

    found = checking(_store(), weights)
    if as_json:
        show_json({
            "tags": found.tags, "files": found.files, "bytes": found.size, "faults": found.faults,
            "affected": [{**asdict(one), "address": one.address} for one in found.affected],
        })  # fmt: skip
        return 1 if found.faults else 0
    for fault in found.faults.values():
        show(fault)
    for line in _remedies(found.affected):
        show(line)
    tags = "1 tag" if found.tags == 1 else f"{found.tags:,} tags"
    count = f"{tags}, {found.files:,} files, {size(found.size)}"
    if found.faults:
        say(f"{count}: {len(found.faults)} fault{'s' if len(found.faults) > 1 else ''}", style="red")
        return 1
    show(f"{count}: all is as it was written")
    return 0


def _remedies(affected: list[Affected]) -> Iterator[str]:
    for one in affected:
        name = f"{one.network}:{one.tag}"
        if not one.whole:
            yield f"{one.address} cannot be loaded, and no entry of {name} can; restore the files from a copy"
        elif one.back:
            yield f"{one.address} cannot be loaded; {name} can; `dianne gc --keep {one.back}` drops the rest"
        else:
            whole = f"{one.network}:{one.whole[:SHORT]}"
            yield f"{one.address} cannot be loaded; the newest entry that can is {whole}"
            yield f"  put it under the tag: dianne tag {whole} {one.tag}"


@click.command()
@click.argument("weights", metavar="NETWORKS:TAG")
@click.argument("url")
@_force
@_json
def push(weights: str, url: str, force: bool, as_json: bool) -> None:
    """Copy tags with their history to another store: a folder, or any URL that fsspec opens.

    \b
      dianne push Encoder,Decoder:vae s3://bucket/models
    """
    _copy(weights, _store(), Store(url), force, as_json)


@click.command()
@takes("NETWORKS:TAG URL | hf://USER/NAME [name=NAME] [tag=TAG]")
@_force
@_json
def pull(words: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Copy tags with their history from another store, or a network from a Hugging Face hub.

    \b
      dianne pull Encoder,Decoder:vae s3://bucket/models
      dianne pull hf://somebody/digits tag=theirs
    """
    if words and words[0].startswith("hf://"):
        if force:
            raise UsageError("--force moves tags of a store; a hub has none, so leave it out")
        pull_from_hub(words, as_json)
        return
    weights, url = plain(words, "NETWORKS:TAG", "URL")
    _copy(weights, Store(url), _store(), force, as_json)


def _copy(weights: str, source: Store, target: Store, force: bool, as_json: bool) -> None:
    networks, name = addresses.parse(weights)
    from dianne.store.transfer import copy

    copied = [copy(source, target, network, name, force) for network in networks]
    if as_json:
        show_json([asdict(one) for one in copied])
        return
    for one in copied:
        show(f"{one.network}:{one.tag} is {one.after[:SHORT]} in {target.files.name()}: {_what(one)}")


def _what(one: Copied) -> str:
    if one.before == one.after:
        return "it was there"
    copied = f"{one.entries:,} entr{'y' if one.entries == 1 else 'ies'}, {size(one.size)}"
    if one.forced and one.before:
        short = one.before[:SHORT]
        return f"{copied}; it left behind {one.network}:{short}, for which there is no tag any more"
    return copied


COMMANDS: list[Any] = [log, diff, tag, untag, rollback, gc, verify, push, pull]
