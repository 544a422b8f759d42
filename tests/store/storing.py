"""Small histories, for tests of what is done with them."""

import time
from dataclasses import replace

import pytest
import torch

from dianne.errors import DianneError
from dianne.store import Manifest

DAY = 24 * 60 * 60
BARE = Manifest(network="Encoder", text="modules: {}\n", parameters={})


def weights(number):
    """Weights that tell which ones they are."""
    return {"layer.weight": torch.full((3,), float(number))}


def put(store, tag, *numbers, network="Encoder", **facts):
    """Store under a tag, once for each number; the identifiers."""
    return [
        store.put(tag, replace(BARE, network=network, iteration=number, **facts), weights(number))
        for number in numbers
    ]


def stored(store, address, network="Encoder"):
    """The number that the weights under an address were made of, after a look at all they are."""
    manifest = store.manifest(network, address)
    found = store.weights(manifest)
    assert torch.equal(found["layer.weight"], weights(manifest.iteration)["layer.weight"])
    return manifest.iteration


def numbers(store, address, network="Encoder"):
    """What a history holds, newest first."""
    return [manifest.iteration for _, manifest in store.history(network, address)]


def refused(kind, call, *args, **options):
    """The message with which something is refused."""
    with pytest.raises(DianneError) as fault:
        call(*args, **options)
    assert type(fault.value) is kind
    return str(fault.value)


def tomorrow(days=1.5):
    """A time at which what is written now is old."""
    return time.time() + days * DAY
