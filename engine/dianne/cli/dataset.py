"""`dianne dataset`: a subcommand for each thing that can be done with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dianne.binding import TYPED, Consumer, Given, bind
from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import Commands, here, plain, split, takes
from dianne.data.adapter_options import AdapterOptions
from dianne.data.descriptor import describe, parse_range
from dianne.data.files import home, locate
from dianne.errors import UsageError
from dianne.options import NonNegativeInt

if TYPE_CHECKING:
    from dianne.data.dataset import Batch
    from dianne.data.summary import Summary, Values

_MOST_VALUES = 8  # in a row of a table
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


class ShowOptions(AdapterOptions):
    """Options of `dianne dataset show`: adapters as for a learn job, and where the picture goes."""

    out: str | None = None
    """The picture's file, .png or .svg; samples are printed if it is left out."""
    seed: NonNegativeInt = 0
    """Where the adapters' random numbers come from."""


@click.group(cls=Commands)
def dataset() -> None:
    """Look at a dataset, fetch its files, or describe one of your own.

    \b
      dianne dataset show MNIST 0:16 out=grid.png
      dianne dataset stats MNIST
      dianne dataset add Flowers flowers.csv
    """


@dataset.command("show")
@takes("DATASET [RANGE] [KEY=VALUE]...")
@_json
def show_samples(words: tuple[str, ...], as_json: bool) -> None:
    """Show samples with their labels: as a picture (out=), or as numbers.

    RANGE is 0:16 if left out. Options are the adapters of learn, and seed= for their random numbers.

    \b
      dianne dataset show MNIST 0:16 out=grid.png
      dianne dataset show MNIST 0:16 rotation=20 hflip=0.5 out=augmented.png
      dianne dataset show Iris 5
    """
    (name, *rest), pairs = split(words, "DATASET", "RANGE", optional=1)
    given = {key: Given(value, TYPED) for key, value in pairs.items()}
    chosen = bind("dataset show", [Consumer("show", ShowOptions)], given).of("show", ShowOptions)
    try:
        samples = parse_range(rest[0] if rest else "0:16")
    except ValueError as error:
        raise UsageError(str(error)) from None
    if chosen.out and Path(chosen.out).suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"out={chosen.out}: a picture's file ends in .png or .svg")
    from dianne.cli.progress import Screen
    from dianne.data.adapters.stack import adapted
    from dianne.data.readers import open_dataset

    described = describe(here(), name)
    with Screen() as screen:
        full = open_dataset(here(), described, screen.fetching)
    data = adapted(full.select(samples), chosen).drawing(chosen.seed, learning=True)
    indices = list(samples.indices or range(samples.start, samples.start + len(data)))
    batch = data.batch(slice(None))
    labels = _labels(batch, data.labels)
    if len(indices) != len(data):  # adapters left some out
        indices = list(range(len(data)))
    if chosen.out:
        from dianne.plots.dataset import draw
        from dianne.plots.style import save

        save(draw(name, batch, indices, labels), chosen.out)
        tell = say if as_json else show
        tell(f"wrote {chosen.out}")
    if as_json:
        show_json([
            {"index": index, "input": inputs, "target": target, "label": label if data.labels else None}
            for index, inputs, target, label in
            zip(indices, batch.input.tolist(), batch.target.tolist(), labels, strict=True)
        ])  # fmt: skip
    elif not chosen.out:
        _show_rows(indices, batch, labels)


def _labels(batch: Batch, names: list[str] | None) -> list[str]:
    """What a target is called; few numbers are shown as they are."""
    if names:
        return [names[place] for place in batch.target.flatten(1).argmax(1).tolist()]
    targets = batch.target.reshape(len(batch.target), -1).tolist()
    return [_few(values) if len(values) <= _MOST_VALUES else "" for values in targets]


def _show_rows(indices: list[int], batch: Batch, labels: list[str]) -> None:
    made = table("sample", "target", "input", right=("sample",))
    for index, label, values in zip(indices, labels, batch.input.flatten(1).tolist(), strict=True):
        row(made, f"{index:,}", label, _few(values))
    show_table(made)


def _few(values: list[float], most: int = _MOST_VALUES) -> str:
    return " ".join(f"{value:.4g}" for value in values[:most]) + (" …" if len(values) > most else "")


@dataset.command()
@takes("DATASET")
@_json
def stats(words: tuple[str, ...], as_json: bool) -> None:
    """Count and measure all samples: classes, mean, deviation, range, missing values, checksum.

    \b
      dianne dataset stats MNIST
    """
    (name,) = plain(words, "DATASET")
    from dianne.cli.progress import Screen
    from dianne.data.readers import open_dataset
    from dianne.data.summary import summarize

    described = describe(here(), name)
    with Screen() as screen:
        found = summarize(open_dataset(here(), described, screen.fetching))
    if as_json:
        show_json(_entries(name, found))
    else:
        _show_summary(name, found)


def _entries(name: str, found: Summary) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "name": name, "samples": found.samples, "inputDims": found.input_dims,
        "targetDims": found.target_dims, "counts": found.counts,
    }  # fmt: skip
    for part, values in (("inputs", found.inputs), ("targets", found.targets)):
        if values:
            entries[part] = {
                "mean": values.mean, "deviation": values.deviation, "min": values.low, "max": values.high,
                "missing": values.missing,
            }  # fmt: skip
    return {**entries, "checksum": found.checksum}


def _show_summary(name: str, found: Summary) -> None:
    show(f"{name}: {found.samples:,} samples, {list(found.input_dims)} -> {list(found.target_dims)}\n")
    made = table("values of", "mean", "deviation", "min", "max", "missing", right=("min", "max", "missing"))
    parts: list[tuple[str, Values | None]] = [("inputs", found.inputs), ("targets", found.targets)]
    for part, values in parts:
        if values:
            ends = f"{values.low:.4g}", f"{values.high:.4g}"
            row(made, part, _few(values.mean), _few(values.deviation), *ends, f"{values.missing:,}")
    show_table(made)
    if found.counts:
        show("")
        made = table("class", "samples", "share", right=("samples", "share"))
        for label, count in found.counts.items():
            row(made, label, f"{count:,}", f"{count / found.samples:.2%}")
        show_table(made)
    show(f"\nsha256 {found.checksum}")


@dataset.command()
@takes("DATASET")
@_json
def fetch(words: tuple[str, ...], as_json: bool) -> None:
    """Fetch the files of a dataset that are not here yet, and check all of them.

    \b
      dianne dataset fetch MNIST
    """
    (name,) = plain(words, "DATASET")
    from dianne.cli.downloads import Downloads
    from dianne.data.mapping import check
    from dianne.document import display

    described = describe(here(), name)
    needed = described.descriptor.needs()
    if not needed:
        say(f"{name} needs no files")
    with Downloads() as downloads:
        check(here(), described, needed, downloads.fetching)
    paths = [locate(here(), name, file, home(described)) or Path(file) for file in needed]
    if as_json:
        show_json([display(path) for path in paths])
    for path in paths if not as_json else []:
        show(display(path))


@dataset.command()
@takes("NAME PATH")
@_json
def add(words: tuple[str, ...], as_json: bool) -> None:
    """Write datasets/NAME.yaml for data of your own; the type is guessed from the file.

    \b
      dianne dataset add Flowers flowers.csv
    """
    name, path = plain(words, "NAME", "PATH")
    from dianne.data.guess import add as describe_file
    from dianne.document import display

    written = describe_file(here(), name, Path(path))
    if as_json:
        show_json({"name": name, "file": display(written)})
    else:
        show(f"wrote {display(written)}; look at it: dianne dataset stats {name}")
