"""The state of samplers: whoever goes on from it draws what the first one would have drawn."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.stack import adapted
from dianne.data.dataset import Dataset
from dianne.data.sampling import SAMPLING, Sampler
from dianne.data.sequences import SequenceSampler

SIZE = 23
STRATEGIES = list(SAMPLING)
WEIGHTED = SAMPLING.get("WEIGHTED").Options(weighted_ranges=[2, 5], probabilities=[0.5])
ADAPTERS = AdapterOptions(hflip=0.5, crop_padding=2, rotation=30, encoder_noise=0.5)
IMAGES = torch.randint(256, (SIZE, 1, 5, 6), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def dataset(adapters):
    """Images with classes, drawn anew by the stream of augmentation if they have adapters."""
    found = Dataset("Images", IMAGES, torch.arange(SIZE) % 3, ["a", "b", "c"], sequential=True)
    return adapted(found, ADAPTERS).drawing(3, learning=True) if adapters else found


def sampler(name, batch_size, seed, adapters):
    options = WEIGHTED if name == "WEIGHTED" else None
    return Sampler(dataset(adapters), batch_size, name, seed, options)


def stored(state):
    """A state as it comes back from a file that holds no code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def goes_on_from(first, other, stop, after):
    """Whether `other`, given the state of `first` after `stop` batches, gives its next ones bit for bit."""
    for _ in range(stop):
        next(first)
    state = stored(first.state_dict())
    expected = [next(first) for _ in range(after)]
    other.load_state_dict(state)
    for batch in expected:
        again = next(other)
        assert torch.equal(again.input, batch.input)
        assert torch.equal(again.target, batch.target)


@pytest.mark.parametrize("adapters", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("name", STRATEGIES)
@settings(deadline=None, max_examples=30)
@given(batch_size=some.integers(1, 30), stop=some.integers(0, 12), drawn=some.integers(0, 5))
def test_a_sampler_goes_on_where_another_one_stopped(name, adapters, batch_size, stop, drawn):
    other = sampler(name, batch_size, seed=8, adapters=adapters)
    for _ in range(drawn):
        next(other)
    goes_on_from(sampler(name, batch_size, 7, adapters), other, stop, after=4)


@pytest.mark.parametrize("adapters", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("carry", [False, True], ids=["anywhere", "carried"])
@settings(deadline=None, max_examples=30)
@given(tracks=some.integers(1, 5), length=some.integers(1, 4), stop=some.integers(0, 12))
def test_sequences_go_on_where_others_stopped(carry, adapters, tracks, length, stop):
    first, other = (SequenceSampler(dataset(adapters), tracks, length, seed, carry) for seed in (7, 8))
    goes_on_from(first, other, stop, after=4)
    assert other.fresh is first.fresh


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_state_is_small_and_stays_as_it_was(name):
    first = sampler(name, 5, seed=7, adapters=True)
    next(first)
    state = first.state_dict()
    before = stored(state)
    expected = next(first)
    first.load_state_dict(state)
    assert torch.equal(next(first).input, expected.input)
    for part, value in before["order"].items():
        assert torch.equal(torch.as_tensor(state["order"][part]), torch.as_tensor(value))
    size = sum(torch.as_tensor(value).nbytes for value in state["order"].values())
    assert size < 6_000
