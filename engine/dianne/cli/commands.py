"""What a user types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import dianne
from dianne.cli import instances, interop, jobs, runtime, store
from dianne.cli.console import row, say, show, show_json, show_table, stream, table
from dianne.cli.learned import show_learned, stop_on_signals
from dianne.cli.resume import rerun, resume
from dianne.cli.shell import completion, shell
from dianne.cli.sweep import sweep
from dianne.cli.track import track
from dianne.cli.words import Commands, here, job_of, plain, split, takes
from dianne.errors import UsageError


@click.group(
    cls=Commands,
    later={
        "dataset": ("dianne.cli.dataset", "Look at a dataset, fetch its files, or describe one of yours."),
        "plot": ("dianne.cli.plot", "Draw pictures of jobs, codes and networks, as .png or .svg."),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(dianne.__version__, prog_name="dianne", message="%(prog)s %(version)s")
def cli() -> None:
    """Declare networks in YAML, train them with strategies, keep their weights under tags.

    \b
      dianne learn Encoder,Decoder Digits strategy=VariationalAutoEncoder tag=vae
      dianne deploy Decoder tag=vae
      dianne forward Decoder random=16 out=digits.png
      dianne plot manifold Decoder tag=vae

    Options are key=value words; --dry-run shows all that a job would use.
    """


_GROUPS = (jobs, runtime, instances, store, interop)
for command in (
    *(command for group in _GROUPS for command in group.COMMANDS),
    resume,
    rerun,
    sweep,
    track,
    shell,
    completion,
):
    cli.add_command(command)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@cli.command()
@takes("NETWORKS DATASET [KEY=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Print the resolved job and stop.")
@_json
def learn(words: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Train networks together and store them under a tag.

    Options are those of jobs, of the strategy (`dianne strategies NAME`) and the parameters of the networks;
    --dry-run lists them all.

    \b
      dianne learn Encoder,Decoder MNIST strategy=VariationalAutoEncoder latentDims=2 tag=vae
      dianne learn MLP MNIST tag=mlp
      dianne learn job.yaml learningRate=1e-4
    """
    networks, dataset, options = job_of(words)
    from dianne.cli.progress import Screen
    from dianne.jobs.learn import prepare
    from dianne.jobs.learn_run import LearnRun

    job = prepare(here(), networks, dataset, options)
    if dry_run:
        team = ", ".join(f"{member.name} ({member.role})" for member in job.team)
        _show_settings(f"learn {team} on {dataset} with {job.strategy.__name__}", job, as_json)
        return 0
    with Screen() as screen, stop_on_signals() as (stop, code):
        result = LearnRun(job, screen, stop).run()
    show_learned(result, as_json)
    return code()


@cli.command()
@takes("NETWORKS DATASET tag=TAG [KEY=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Print the resolved job and stop.")
@_json
def evaluate(words: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Judge stored networks on a dataset (its test part, unless range= says otherwise).

    --dry-run lists all options.

    \b
      dianne evaluate MLP MNIST tag=mlp
      dianne evaluate Encoder,Decoder MNIST tag=vae
    """
    (networks, dataset), options = split(words, "NETWORKS", "DATASET")
    from dianne.cli.progress import Screen
    from dianne.cli.results import show_evaluation
    from dianne.jobs.evaluate import prepare, run

    job = prepare(here(), networks, dataset, options)
    if dry_run:
        title = f"evaluate {', '.join(job.names)} on {dataset} with {job.strategy.__name__}"
        _show_settings(title, job, as_json)
        return
    with Screen() as screen:
        found = run(job, screen.fetching, note=screen.note).summary()
    if as_json:
        show_json(found)
    else:
        show_evaluation(found)


def _show_settings(title: str, job: Any, as_json: bool) -> None:
    from dianne.data.adapter_options import shown, wanted

    bound, listed = job.bound, job.described.descriptor.adapters
    adapters = [adapter for options in (*listed, bound.get("data")) for adapter in wanted(options)]
    if as_json:
        show_json({
            "job": title,
            "options": {
                setting.key: {"value": setting.value, "origin": setting.origin, "readers": setting.readers}
                for setting in bound.settings
            },
            "adapters": adapters,
        })  # fmt: skip
        return
    show(f"{title}\n")
    if adapters:
        show(f"samples: {', then '.join(adapters)}\n")
    made = table("option", "value", "from", "read by")
    for setting in sorted(bound.settings, key=lambda s: (s.origin == "default", s.readers[0])):
        value = shown(setting.value) if isinstance(setting.value, bool | list) else setting.value
        row(made, setting.key, value, setting.origin, ", ".join(setting.readers))
    show_table(made)


@cli.command()
@takes("NETWORK tag=TAG [name=NAME]")
@_json
def deploy(words: tuple[str, ...], as_json: bool) -> None:
    """Bring a network up with the weights of a tag, as an instance of this workspace.

    It takes new weights when the tag moves. name= is its name; the network's if left out.

    \b
      dianne deploy Decoder tag=vae
    """
    (network,), options = split(words, "NETWORK")
    from dianne.binding import TYPED, Consumer, Given, bind
    from dianne.runtime.instances import DeployOptions
    from dianne.runtime.instances import deploy as start

    given = {key: Given(value, TYPED) for key, value in options.items()}
    chosen = bind("deploy", [Consumer("deploy", DeployOptions)], given).of("deploy", DeployOptions)
    deployed = start(here(), network, chosen.tag, chosen.name)
    name, manifest = deployed.instance.name, deployed.manifest
    inputs, outputs = list(deployed.input_dims), deployed.output_dims
    if as_json:
        show_json({
            "instance": name, "network": network, "tag": chosen.tag, "manifest": deployed.version,
            "iteration": manifest.iteration, "dataset": manifest.dataset.get("name"),
            "inputDims": inputs, "outputDims": outputs,
        })  # fmt: skip
        return
    shapes = f"{inputs} -> {', '.join(str(list(shape)) for shape in outputs)}"
    done = f"{manifest.iteration:,} iterations on {manifest.dataset.get('name')}"
    show(f"deployed {name}: {network}:{chosen.tag} {shapes}, {done}")


@cli.command()
@takes("INSTANCE|FILE.dianne [DATASET] [KEY=VALUE]...")
@_json
def forward(words: tuple[str, ...], as_json: bool) -> None:
    """Forward samples through a deployed network, or through one in a package.

    \b
      random=N      so many samples of noise; seed=N repeats them
      input=VALUES  values with commas, samples with semicolons, or a .npy file
      DATASET       its samples; range= says which, its test part if left out
      out=FILE      where results go: .png, .npy or .json; printed if left out
      tag=TAG       weights of this tag of a network, deployed or not

    \b
      dianne forward Decoder random=16 out=digits.png
      dianne forward Decoder input=0.5,-1.2
      dianne forward Encoder MNIST range=0,9 --json
      dianne forward Decoder-vae.dianne random=16
    """
    (name, *rest), options = split(words, "INSTANCE", "DATASET", optional=1)
    from dianne.binding import TYPED, Consumer, Given, bind
    from dianne.cli.progress import Screen
    from dianne.cli.results import show_results
    from dianne.runtime import forward as forwarding
    from dianne.runtime.deployments import names
    from dianne.runtime.instances import Instance, find, load

    given = {key: Given(value, TYPED) for key, value in options.items()}
    consumer = Consumer("forward", forwarding.ForwardOptions)
    chosen = bind("forward", [consumer], given).of("forward", forwarding.ForwardOptions)
    dataset = rest[0] if rest else None
    forwarding.check(chosen, dataset)
    if Path(name).suffix == ".dianne":
        from dianne.interop.package import deployed as opened

        if chosen.tag:
            raise UsageError(f"tag={chosen.tag}: a package has one tag; leave it out")
        network = opened(Path(name))
    elif Path(name).is_file() and not chosen.tag and name not in names(here()):
        raise UsageError(f"{name}: is no package; `dianne import {name}` brings in what it holds")
    else:
        instance = Instance(name, name, chosen.tag) if chosen.tag else find(here(), name)
        network = load(here(), instance)
    with Screen() as screen:
        results = forwarding.forward(here(), network, chosen, dataset, screen.fetching)
    if chosen.out:
        forwarding.write(results, chosen.out)
        tell = say if as_json else show
        tell(f"wrote {len(results)} results of {list(results.shape[1:])} to {chosen.out}")
    if as_json:
        show_json(forwarding.as_lists(results.numpy()))
    elif not chosen.out:
        show_results(results)


@cli.command()
@takes("INSTANCE [PROMPT] [KEY=VALUE]...")
@_json
def generate(words: tuple[str, ...], as_json: bool) -> None:
    """Let a network that has learned from text go on with a prompt.

    \b
      n=500          characters to make up
      temperature=1  below 1 likely characters become likelier; 0 takes the likeliest
      seed=N         repeats a text
      tag=TAG        weights of this tag of a network, deployed or not
      prompt=TEXT    the prompt, if it holds a =

    \b
      dianne generate CharLSTM "First Citizen:" tag=text temperature=0.8
    """
    (name, *rest), options = split(words, "INSTANCE", "PROMPT", optional=1)
    from dianne.binding import TYPED, Consumer, Given, bind
    from dianne.runtime.generate import GenerateOptions
    from dianne.runtime.generate import generate as draw
    from dianne.runtime.instances import Instance, find, load
    from dianne.seeds import new_seed

    given = {
        key: Given(value, TYPED) for key, value in [*zip(["prompt"], rest, strict=False), *options.items()]
    }
    chosen = bind("generate", [Consumer("generate", GenerateOptions)], given).of("generate", GenerateOptions)
    seed = new_seed() if chosen.seed is None else chosen.seed
    instance = Instance(name, name, chosen.tag) if chosen.tag else find(here(), name)
    prompt = chosen.prompt or ""
    characters = draw(load(here(), instance), prompt, chosen.n, chosen.temperature, seed)
    if as_json:
        show_json({"prompt": prompt, "text": "".join(characters), "seed": seed})
    else:
        stream(prompt, characters)


@cli.command()
@takes("NETWORK [PARAMETER=VALUE]...")
@_json
def describe(words: tuple[str, ...], as_json: bool) -> None:
    """Print a network's modules with their shapes and weights.

    \b
      dianne describe Encoder latentDims=10
    """
    (name,), parameters = split(words, "NETWORK")
    from dianne.api import Workspace
    from dianne.cli.tables import show_network

    show_network(Workspace().describe(name, **parameters), as_json)


@cli.command()
@_json
def models(as_json: bool) -> None:
    """List the networks of this workspace and those that ship, with their tags."""
    from dianne.cli.listings import list_models

    list_models(here(), as_json)


@cli.command()
@takes("[NETWORK]")
@_json
def tags(words: tuple[str, ...], as_json: bool) -> int:
    """List stored weights: of one network, or of all."""
    network = plain(words, "NETWORK", optional=1)
    from dianne.cli.listings import list_tags

    return list_tags(here(), network[0] if network else None, as_json)


@cli.command()
@_json
def datasets(as_json: bool) -> None:
    """List the datasets, and whether their files are here."""
    from dianne.cli.listings import list_datasets

    list_datasets(here(), as_json)


@cli.command()
@takes("[STRATEGY [NETWORKS]] [KEY=VALUE]...")
@click.option("--try", "as_trial", is_flag=True, help="Run it for a moment on made-up data.")
@_json
def strategies(words: tuple[str, ...], as_trial: bool, as_json: bool) -> int:
    """List the strategies, or one with its options; or try one, and see what is wrong with it.

    \b
      dianne strategies GAN
      dianne strategies Mine Encoder,Decoder --try
    """
    names, options = split(words, "STRATEGY", "NETWORKS", optional=2)
    from dianne.cli import listings

    if as_trial:
        if not names:
            raise UsageError("--try needs a strategy; `dianne strategies` lists them")
        from dianne.cli.tables import show_trial
        from dianne.jobs.trial import attempt

        trial = attempt(here(), names[0], names[1] if len(names) > 1 else None, options)
        show_trial(trial, as_json)
        return 0 if trial.fine else 1
    if more := [*names[1:], *options]:
        raise UsageError(f"networks and options go with --try only; leave {', '.join(more)} out")
    if names:
        listings.show_strategy(here(), names[0], as_json)
    else:
        listings.list_strategies(here(), as_json)
    return 0


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@_json
def check(files: tuple[Path, ...], as_json: bool) -> int:
    """Check network, dataset and job files, and dianne.yaml; print every fault as file:line:column.

    \b
      dianne check networks/*.yaml
    """
    from dianne.cli.check import check_files

    return check_files(here(), files, as_json)


@cli.command()
@click.argument("kind", type=click.Choice(["network", "dataset", "job"]))
def schema(kind: str) -> None:
    """Print a JSON Schema, with which editors complete and check files."""
    from dianne.cli.check import schema_of

    show_json(schema_of(here(), kind), indent=1)


@cli.command()
@takes("[TYPE]")
@_json
@click.option("--markdown", is_flag=True, help="Print all types as a page of documentation.")
def modules(words: tuple[str, ...], as_json: bool, markdown: bool) -> None:
    """List the module types of the catalog, or tell all about one.

    \b
      dianne modules Convolution
    """
    names = plain(words, "TYPE", optional=1)
    from dianne.cli.modules import list_modules, show_module
    from dianne.network import reference

    if markdown:
        if names or as_json:
            raise UsageError("--markdown prints all types as one page; leave all else out")
        print(reference.markdown(), end="")
    elif names:
        show_module(reference.entry(names[0]), as_json)
    else:
        list_modules(reference.entries(), as_json)
