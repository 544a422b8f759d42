"""Sequences from samples that follow each other."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.data.dataset import Dataset
from dianne.data.descriptor import parse_range
from dianne.data.sequences import SequenceSampler
from dianne.errors import UsageError


def counting(size):
    """Samples that are their own index, each with the next as its target."""
    count = torch.arange(size + 1).float().unsqueeze(1)
    return Dataset("Counting", count[:-1], count[1:], sequential=True)


def starts(batch):
    """Of the sequences in a batch, once each is known to be one."""
    length = batch.input.shape[1]
    first = batch.input[:, 0, 0]
    assert torch.equal(batch.input[..., 0], first.unsqueeze(1) + torch.arange(length))
    assert torch.equal(batch.target, batch.input + 1)
    return [int(start) for start in first]


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.data())
def test_sequences_lie_inside_the_data(size, batch_size, data):
    length = data.draw(st.integers(1, size))
    sampler = SequenceSampler(counting(size), batch_size, length, seed=1)
    for _ in range(5):
        batch = next(sampler)
        assert batch.input.shape == batch.target.shape == (batch_size, length, 1)
        assert all(0 <= start <= size - length for start in starts(batch))
        assert sampler.fresh


def test_every_start_is_as_likely_the_last_one_too():
    sampler = SequenceSampler(counting(10), 1000, 4, seed=1)
    counts = torch.bincount(torch.tensor([start for _ in range(7) for start in starts(next(sampler))]))
    assert counts.tolist() == pytest.approx([1000] * 7, abs=150)


def test_sequences_may_all_start_at_the_first_sample():
    sampler = SequenceSampler(counting(10), 3, 4, seed=1, from_start=True)
    assert [starts(next(sampler)) for _ in range(3)] == [[0, 0, 0]] * 3


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 60), st.integers(0, 9))
def test_tracks_run_side_by_side_and_start_anew_together(batch_size, length, more, seed):
    size = batch_size * length + more
    sampler = SequenceSampler(counting(size), batch_size, length, seed, carry=True)
    windows = size // (batch_size * length)
    for _ in range(3):
        seen, before = [], None
        for window in range(windows):
            found = starts(next(sampler))
            assert sampler.fresh is (window == 0)
            assert before is None or found == [start + length for start in before]
            before = found
            seen += [start + step for start in found for step in range(length)]
        assert len(set(seen)) == len(seen) == windows * batch_size * length
        assert min(seen) >= 0
        assert max(seen) < size
        assert sorted(seen) == list(range(min(seen), max(seen) + 1))


def test_what_does_not_fill_a_window_has_its_turn_too():
    sampler = SequenceSampler(counting(11), 2, 4, seed=1, carry=True)
    seen = {start + step for _ in range(40) for start in starts(next(sampler)) for step in range(4)}
    assert seen == set(range(11))


@pytest.mark.parametrize("carry", [False, True])
def test_the_same_seed_gives_the_same_sequences(carry):
    first, second, other = (
        [starts(next(sampler)) for _ in range(9)]
        for sampler in (SequenceSampler(counting(50), 3, 4, seed, carry) for seed in (1, 1, 2))
    )
    assert first == second
    assert first != other


def test_samples_that_do_not_follow_each_other_are_refused():
    message = (
        "the samples of Counting do not follow each other in time, so there are no sequences of them; take a "
        "dataset of text or of measurements in time (sequential: true), and a range of neighbours"
    )
    for data in (replace(counting(9), sequential=False), counting(9).select(parse_range("0,1,2"))):
        with pytest.raises(UsageError) as fault:
            SequenceSampler(data, 1, 2, seed=1)
        assert str(fault.value) == message


@pytest.mark.parametrize(
    ("carry", "message"),
    [
        (False, "Counting has 9 samples, too few for sequences of 10"),
        (True, "Counting has 9 samples, too few for 2 tracks of at least 10"),
    ],
)
def test_too_few_samples_are_refused(carry, message):
    with pytest.raises(UsageError) as fault:
        SequenceSampler(counting(9), 2, 10, seed=1, carry=carry)
    assert str(fault.value) == message


def test_a_range_of_neighbours_is_a_sequence_still():
    part = counting(20).select(parse_range("5:12"))
    assert starts(next(SequenceSampler(part, 2, 7, seed=1))) == [5, 5]
