"""Sampling: what every registered strategy promises, and what each of them is for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.data.dataset import Dataset
from dianne.data.sampling import SAMPLING, Sampler
from dianne.errors import UsageError

SIZE = 10


def strategy(name, size=SIZE, seed=1):
    return SAMPLING.get(name)(size, torch.Generator().manual_seed(seed))


def stream(name, counts, size=SIZE, seed=1):
    """All indices that a strategy draws for batches of these sizes."""
    drawing = strategy(name, size, seed)
    return torch.cat([drawing.draw(count) for count in counts]).tolist()


# ------------------------------------------------------------------------------------------ the contract


@pytest.mark.parametrize("name", list(SAMPLING))
@pytest.mark.parametrize("count", [1, 7, SIZE, 25])
def test_a_draw_is_that_many_indices_of_the_dataset(name, count):
    drawing = strategy(name)
    for _ in range(20):
        drawn = drawing.draw(count)
        assert (drawn.shape, drawn.dtype) == ((count,), torch.int64)
        assert 0 <= drawn.min() <= drawn.max() < SIZE


@pytest.mark.parametrize("name", list(SAMPLING))
def test_the_same_seed_gives_the_same_indices_whatever_was_drawn_elsewhere(name):
    first = stream(name, [7] * 10)
    torch.rand(3)
    assert stream(name, [7] * 10) == first


@pytest.mark.parametrize("name", list(SAMPLING))
def test_drawing_takes_nothing_from_the_random_numbers_of_others(name):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    stream(name, [7] * 10)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", list(SAMPLING))
def test_every_sample_comes_up_in_the_end(name):
    assert set(stream(name, [7] * 50)) == set(range(SIZE))


@pytest.mark.parametrize("name", list(SAMPLING))
def test_a_dataset_of_one_sample_gives_it_again_and_again(name):
    assert stream(name, [3, 2], size=1) == [0] * 5


# ------------------------------------------------------------------------------------------ each of them


@settings(deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_a_permutation_visits_every_sample_once_a_pass_even_where_a_batch_spans_two(size, counts):
    drawn = stream("PERMUTATION", counts, size)
    passes = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    assert all(sorted(whole) == list(range(size)) for whole in passes[:-1])
    assert len(set(passes[-1])) == len(passes[-1])


def test_every_pass_of_a_permutation_has_an_order_of_its_own():
    drawn = stream("PERMUTATION", [100] * 3, size=100)
    passes = {tuple(drawn[start : start + 100]) for start in (0, 100, 200)}
    assert len(passes) == 3
    assert tuple(range(100)) not in passes


@pytest.mark.parametrize("name", ["PERMUTATION", "UNIFORM"])
def test_another_seed_gives_another_order(name):
    assert stream(name, [100], size=100, seed=1) != stream(name, [100], size=100, seed=2)


def test_sequential_goes_from_the_first_to_the_last_and_wraps():
    assert stream("SEQUENTIAL", [4] * 6) == [index % SIZE for index in range(24)]


def test_uniform_draws_every_sample_about_equally_often_and_independently():
    drawn = torch.tensor(stream("UNIFORM", [100] * 100))
    counts = torch.bincount(drawn, minlength=SIZE)
    assert counts.tolist() == pytest.approx([1_000] * SIZE, abs=150)  # five standard deviations
    repeats = int((drawn[1:] == drawn[:-1]).sum())
    assert repeats == pytest.approx(1_000, abs=150)


# ------------------------------------------------------------------------------------------- the sampler


def counting():
    return Dataset("Counting", torch.arange(SIZE).float(), torch.arange(SIZE), [str(n) for n in range(SIZE)])


def test_a_sampler_gives_batches_without_end():
    sampler = Sampler(counting(), 4, "SEQUENTIAL", seed=0)
    for expected in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]):
        batch = next(sampler)
        assert batch.input.tolist() == batch.target.argmax(1).tolist() == expected
    assert iter(sampler) is sampler


@pytest.mark.parametrize("name", list(SAMPLING))
def test_samplers_of_the_same_seed_give_the_same_batches(name):
    one, other = (Sampler(counting(), 4, name, seed=3) for _ in range(2))
    for _ in range(6):
        assert torch.equal(next(one).input, next(other).input)


def test_an_unknown_strategy_is_reported_with_the_nearest():
    with pytest.raises(UsageError) as fault:
        Sampler(counting(), 4, "PERMUTE", seed=0)
    assert str(fault.value) == "unknown sampling strategy 'PERMUTE'; did you mean 'PERMUTATION'?"
