"""The modules of a network as formats want to see them."""

from __future__ import annotations

from dataclasses import replace

from dianne.network.expressions import substitute
from dianne.network.file import Node
from dianne.network.network import Network


def nodes_of(network: Network) -> list[Node]:
    """The modules in the order in which they run, with types that parameters name filled in."""
    return [replace(node, type=str(substitute(node.type, network.parameters))) for node in network.nodes]
