"""The commands about deployed networks."""

from __future__ import annotations

from dataclasses import asdict

import click

from dianne.cli.console import row, say, show, show_json, show_table, table
from dianne.cli.words import here, plain, takes

_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.command()
@takes("INSTANCE")
@_json
def undeploy(words: tuple[str, ...], as_json: bool) -> None:
    """Forget a deployed network; its weights stay."""
    (name,) = plain(words, "INSTANCE")
    from dianne.runtime.deployments import undeploy as forget

    forget(here(), name)
    if as_json:
        show_json({"instance": name})
    else:
        show(f"undeployed {name}")


@click.command("list")
@_json
def list_instances(as_json: bool) -> None:
    """List the deployed networks."""
    from dianne.runtime.deployments import deployed
    from dianne.store import Store

    store = Store(here().models)
    found = [(one, store.manifest(one.network, one.tag)) for one in deployed(here())]
    if as_json:
        show_json([
            {**asdict(one), "iteration": manifest.iteration, "dataset": manifest.dataset.get("name")}
            for one, manifest in found
        ])  # fmt: skip
        return
    if not found:
        say("nothing is deployed in this workspace; dianne deploy NETWORK tag=TAG")
        return
    made = table("instance", "network", "tag", "iterations", "dataset", right=("iterations",))
    for one, manifest in found:
        row(made, one.name, one.network, one.tag, f"{manifest.iteration:,}", manifest.dataset.get("name"))
    show_table(made)


@click.command()
@takes("INSTANCE")
@_json
def info(words: tuple[str, ...], as_json: bool) -> None:
    """Print the modules of a deployed network, their shapes and weights."""
    (name,) = plain(words, "INSTANCE")
    from dianne.cli.tables import show_network
    from dianne.runtime.instances import find, network_of

    instance = find(here(), name)
    if not as_json:
        show(f"{instance.name}: {instance.network} with the weights of {instance.tag}\n")
    show_network(network_of(here(), instance), as_json)


@click.command()
@takes("INSTANCE")
@_json
def size(words: tuple[str, ...], as_json: bool) -> None:
    """Print how many weights a deployed network has."""
    (name,) = plain(words, "INSTANCE")
    from dianne.runtime.instances import find, network_of

    count = sum(line.weights for line in network_of(here(), find(here(), name)).rows())
    if as_json:
        show_json({"instance": name, "weights": count})
    else:
        show(f"{count:,}")


COMMANDS = (undeploy, list_instances, info, size)
