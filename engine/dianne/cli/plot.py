"""`dianne plot`: a subcommand for each kind of picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dianne.binding import TYPED, Consumer, Given, bind
from dianne.cli.console import show, show_json
from dianne.cli.words import Commands, here, split, takes
from dianne.options import default_of, keys
from dianne.plots import options as kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ChosenT = TypeVar("ChosenT", bound=kinds.PlotOptions)


@click.group(cls=Commands)
def plot() -> None:
    """Draw pictures of jobs, codes and networks, as .png or .svg.

    \b
      dianne plot loss Encoder:vae
      dianne plot latent Encoder MNIST tag=vae
      dianne plot manifold Decoder tag=vae out=map.svg
    """


def _kind(
    usage: str, options: type[ChosenT]
) -> Callable[[Callable[[list[str], ChosenT], Figure]], click.Command]:
    """Make a subcommand of a function that draws: bind its options, and write what it gives.

    Args:
        usage: the plain words, such as "ENCODER DATASET"; one with dots stands for many.
        options: the class of its options.
    """

    def command(draw: Callable[[list[str], ChosenT], Figure]) -> click.Command:
        kind = draw.__name__

        @plot.command(kind, help=draw.__doc__, epilog=_listed(options))
        @takes(f"{usage} [KEY=VALUE]...")
        @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
        def run(words: tuple[str, ...], as_json: bool) -> None:
            names = usage.split()
            if usage.endswith("..."):
                names = [usage[:-3]] * max(1, sum("=" not in word for word in words))
            plain, pairs = split(words, *names)
            given = {key: Given(value, TYPED) for key, value in pairs.items()}
            chosen = bind(f"plot {kind}", [Consumer(kind, options)], given).of(kind, options)
            picture = draw(plain, chosen)
            from dianne.plots.style import save

            save(picture, chosen.out)
            show_json({"out": chosen.out}) if as_json else show(f"wrote {chosen.out}")

        return run

    return command


def _listed(options: type[Any]) -> str:
    """The options of a kind as the end of its help."""
    lines = []
    for key, info in sorted(keys(options).items(), key=lambda item: not item[1].is_required()):
        default = default_of(info)
        value = ",".join(map(str, default)) if isinstance(default, tuple) else default
        shown = key.upper() if info.is_required() else "" if value is None else value
        lines.append(f"  {f'{key}={shown}':<22} {' '.join((info.description or '').split())}")
    return "\b\n" + "\n".join(lines)


@_kind("JOB...", kinds.LossOptions)
def loss(jobs: list[str], _: kinds.LossOptions) -> Figure:
    """How the loss of jobs went: an identifier, the beginning of one, or NETWORK:TAG.

    \b
      dianne plot loss Encoder:vae Encoder:wide
    """
    from dianne.plots.loss import draw

    return draw(here(), jobs)


@_kind("ENCODER DATASET", kinds.LatentOptions)
def latent(names: list[str], chosen: kinds.LatentOptions) -> Figure:
    """Where an encoder puts samples, coloured by class.

    \b
      dianne plot latent Encoder MNIST tag=vae
      dianne plot latent Encoder MNIST tag=wide projection=TSNE
    """
    from dianne.cli.progress import Screen
    from dianne.plots.latent import draw

    encoder, dataset = names
    with Screen() as screen:
        return draw(here(), encoder, dataset, chosen, screen.fetching)


@_kind("ENCODER DATASET", kinds.JointOptions)
def joint(names: list[str], chosen: kinds.JointOptions) -> Figure:
    """Two dimensions of a code against each other, with their histograms.

    \b
      dianne plot joint Encoder MNIST tag=sparse dims=0,3
    """
    from dianne.cli.progress import Screen
    from dianne.plots.joint import draw

    encoder, dataset = names
    with Screen() as screen:
        return draw(here(), encoder, dataset, chosen, screen.fetching)


@_kind("DECODER", kinds.ManifoldOptions)
def manifold(names: list[str], chosen: kinds.ManifoldOptions) -> Figure:
    """What a decoder makes of all places of its latent space.

    \b
      dianne plot manifold Decoder tag=vae
    """
    from dianne.plots.manifold import draw

    return draw(here(), names[0], chosen)


@_kind("DECODER", kinds.SamplesOptions)
def samples(names: list[str], chosen: kinds.SamplesOptions) -> Figure:
    """What a conditional decoder makes of noise and each class.

    \b
      dianne plot samples Decoder tag=cvae
    """
    from dianne.plots.samples import draw

    return draw(here(), names[0], chosen)


@_kind("ENCODER,DECODER DATASET", kinds.ReconstructOptions)
def reconstruct(names: list[str], chosen: kinds.ReconstructOptions) -> Figure:
    """Samples above what encoder and decoder leave of them.

    \b
      dianne plot reconstruct Encoder,Decoder MNIST tag=vae
    """
    from dianne.cli.progress import Screen
    from dianne.plots.reconstruct import draw

    networks, dataset = names
    with Screen() as screen:
        return draw(here(), networks, dataset, chosen, screen.fetching)


@_kind("ENCODER,DECODER DATASET", kinds.InterpolateOptions)
def interpolate(names: list[str], chosen: kinds.InterpolateOptions) -> Figure:
    """The way from one sample to another: mixed directly, and decoded from between their codes.

    \b
      dianne plot interpolate Encoder,Decoder MNIST tag=vae from=3 to=7
    """
    from dianne.cli.progress import Screen
    from dianne.plots.interpolate import draw

    networks, dataset = names
    with Screen() as screen:
        return draw(here(), networks, dataset, chosen, screen.fetching)


@_kind("NETWORK DATASET", kinds.ConfusionOptions)
def confusion(names: list[str], chosen: kinds.ConfusionOptions) -> Figure:
    """Which classes a classifier takes for which.

    \b
      dianne plot confusion MLP MNIST tag=mlp
    """
    from dianne.cli.progress import Screen
    from dianne.plots.confusion import draw

    network, dataset = names
    with Screen() as screen:
        return draw(here(), network, dataset, chosen, screen.fetching)
