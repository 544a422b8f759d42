"""The commands about deployed networks."""

from __future__ import annotations

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
def list_instances(as_json: bool) -> int:
    """List the deployed networks."""
    from dianne.runtime.listings import instances

    found = instances(here())
    faults = [one for one in found if "fault" in one]
    if as_json:
        show_json(found)
        return int(bool(faults))
    if not found:
        say("nothing is deployed in this workspace; dianne deploy NETWORK tag=TAG")
        return 0
    made = table("instance", "network", "tag", "iterations", "dataset", right=("iterations",))
    for one in found:
        iterations = f"{one['iteration']:,}" if "iteration" in one else None
        row(made, one["name"], one.get("network"), one.get("tag"), iterations, one.get("dataset"))
    show_table(made)
    for one in faults:
        say(f"{one['name']}: {one['fault']}", style="red")
    return int(bool(faults))


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
