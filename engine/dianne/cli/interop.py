"""Commands that bring networks in and take them out."""

from __future__ import annotations

from pathlib import Path

import click

from dianne.cli.console import say, show, show_json
from dianne.cli.words import here, split, takes
from dianne.errors import UsageError

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command("export")
@takes("NETWORK tag=TAG [out=PATH]")
@click.option("--format", "format_", required=True, help="dianne, torch, pt2, safetensors or onnx.")
@_json
def export(words: tuple[str, ...], format_: str, as_json: bool) -> None:
    """Write a stored network in the format of another program.

    \b
      dianne export Decoder tag=vae --format onnx out=decoder.onnx
    """
    (network,), options = split(words, "NETWORK")
    from dianne.interop import transfer

    path = transfer.export(here(), network, format_, options, say)
    if as_json:
        show_json({"network": network, "format": format_, "path": str(path)})
    else:
        show(f"wrote {path}")


@click.command("import")
@takes("PATH [name=NAME] [tag=TAG] [KEY=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Show what would come in, and write nothing.")
@_json
def import_(words: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Bring networks and weights in: DIANNE, ONNX, torch, packages; told apart by their content.

    \b
      dianne import LeNet5/modules.txt
      dianne import weights.safetensors into=MLP tag=theirs --dry-run
    """
    (path,), options = split(words, "PATH")
    from dianne.document import display
    from dianne.interop import transfer

    arrived = transfer.import_(here(), Path(path), options, dry_run)
    if as_json:
        show_json([
            {"name": one.name, "tags": one.tags, "files": [display(p) for p in one.files], "notes": one.notes}
            for one in arrived
        ])  # fmt: skip
        return
    for one in arrived:
        for note in one.notes:
            say(note)
        for file in one.files:
            show(f"{'would write' if dry_run else 'wrote'} {display(file)}")
        for tag in one.tags:
            show(f"{'would store' if dry_run else 'stored'} {one.name}:{tag}")


@click.command("pull")
@takes("hf://USER/NAME [KEY=VALUE]...")
def pull(words: tuple[str, ...]) -> None:
    """Fetch a network that was published on a hub, and import it.

    \b
      dianne pull hf://somebody/digits tag=theirs
    """
    (address,), _ = split(words, "hf://USER/NAME")
    raise UsageError(f"{address}: only addresses such as hf://user/name can be pulled")


COMMANDS = (export, import_, pull)
