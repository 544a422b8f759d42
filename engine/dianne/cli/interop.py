"""Commands that bring networks in and take them out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import here, split, takes
from dianne.errors import UsageError

if TYPE_CHECKING:
    from dianne.interop.transfer import Arrived

_FORMATS = "dianne, torch, pt2, safetensors or onnx"
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command("export")
@takes("NETWORK tag=TAG [out=PATH]")
@click.option("--format", "format_", help=f"{_FORMATS}.")
@_json
def export(words: tuple[str, ...], format_: str | None, as_json: bool) -> None:
    """Write a stored network in the format of another program.

    out= is the file or folder; named after network and tag if left out.

    \b
      dianne export Decoder tag=vae --format onnx out=decoder.onnx
    """
    (network,), options = split(words, "NETWORK")
    if not format_:
        raise UsageError(f"--format is missing: {_FORMATS}")
    from dianne.interop import transfer

    path = transfer.export(here(), network, format_, options, say)
    shown = {"network": network, "format": format_, "path": str(path)}
    show_json(shown) if as_json else show(f"wrote {path}")


@click.command("import")
@takes("PATH [name=NAME] [tag=TAG] [KEY=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Show what would come in, and write nothing.")
@_json
def import_(words: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Bring networks and weights in: DIANNE, ONNX, torch, packages; told apart by their content.

    \b
      name=NAME tag=TAG  of the network and its weights, if not as the file says
      shape=1,28,28      of a sample, if the file does not say it; shapes=...;... of
                         several inputs
      into=NETWORK       what takes the weights of a file that holds nothing else;
                         its parameters can be given, too

    \b
      dianne import LeNet5/modules.txt
      dianne import weights.safetensors into=MLP tag=theirs --dry-run
    """
    (path,), options = split(words, "PATH")
    from dianne.interop import transfer

    if "into" in options and not as_json:  # the mapping is shown before it is applied
        made = table("weight", "tensor", "shape", "found by")
        for match in transfer.import_(here(), Path(path), options, dry_run=True)[0].mapping:
            row(made, match.weight, match.source, list(match.shape), match.by)
        show_table(made)
    arrived = transfer.import_(here(), Path(path), options, dry_run)
    _show_arrived(arrived, as_json, dry_run)


def _show_arrived(arrived: list[Arrived], as_json: bool, dry_run: bool = False) -> None:
    from dianne.document import display

    if as_json:
        show_json([
            {"name": one.name, "tags": one.tags, "files": [display(p) for p in one.files], "notes": one.notes,
             "mapping": {found.weight: found.source for found in one.mapping}}
            for one in arrived
        ])  # fmt: skip
        return
    wrote, stored = ("would write", "would store") if dry_run else ("wrote", "stored")
    for one in arrived:
        for note in one.notes:
            say(note)
        for file in one.files:
            show(f"{wrote} {display(file)}")
        for tag in one.tags:
            show(f"{stored} {one.name}:{tag}")


@click.command("pack")
@takes("NETWORK tag=TAG [out=FILE.dianne]")
@_json
def pack(words: tuple[str, ...], as_json: bool) -> None:
    """Write a network with all that it needs into one file, to be run or imported elsewhere.

    out= is the file; NETWORK-TAG.dianne if left out.

    \b
      dianne pack Decoder tag=vae
      dianne forward Decoder-vae.dianne random=16 out=digits.png
    """
    (network,), options = split(words, "NETWORK")
    from dianne.interop import transfer

    path = transfer.pack(here(), network, options)
    show_json({"network": network, "path": str(path)}) if as_json else show(f"wrote {path}")


@click.command("publish")
@takes("NETWORK tag=TAG repo=USER/NAME")
@_json
def publish(words: tuple[str, ...], as_json: bool) -> None:
    """Upload a network to a repository of a Hugging Face hub, with a page that tells of it.

    \b
      dianne publish Decoder tag=vae repo=somebody/digits
    """
    (network,), options = split(words, "NETWORK")
    from dianne.interop import hub

    address = hub.publish(here(), network, options)
    show_json({"network": network, "address": address}) if as_json else show(f"published {address}")


def pull_from_hub(words: tuple[str, ...], as_json: bool) -> None:
    """Fetch a network that was published on a hub, and import it: `hf://USER/NAME [name=NAME] [tag=TAG]`."""
    (address,), options = split(words, "hf://USER/NAME")
    from dianne.interop import hub

    _show_arrived(hub.pull(here(), address, options), as_json)


COMMANDS = (export, import_, pack, publish)
