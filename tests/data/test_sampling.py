"""Sampling: what every registered strategy promises, and what each of them is for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.binding import TYPED, Consumer, Given, bind
from dianne.data.dataset import Dataset
from dianne.data.sampling import SAMPLING, Sampler
from dianne.errors import ConfigError, UsageError

SIZE = 10
OPTIONS = {"WEIGHTED": {"weighted_ranges": [0, 0], "probabilities": [0.5]}}


def counting(size=SIZE):
    """A dataset in which every sample is its own index and class."""
    return Dataset("Counting", torch.arange(size).float(), torch.arange(size), [str(n) for n in range(size)])


def strategy(name, size=SIZE, seed=1, dataset=None, **options):
    kind = SAMPLING.get(name)
    given = kind.Options(**(options or OPTIONS.get(name, {})))
    return kind(dataset or counting(size), given, torch.Generator().manual_seed(seed))


def stream(name, counts, size=SIZE, seed=1, **options):
    """All indices that a strategy draws for batches of these sizes."""
    drawing = strategy(name, size, seed, **options)
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
    one = {"weighted_ranges": [0, 0], "probabilities": [1]} if name == "WEIGHTED" else {}
    assert stream(name, [3, 2], size=1, **one) == [0] * 5


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


# ----------------------------------------------------------------------------------- with probabilities


@pytest.mark.parametrize("probabilities", [(0.06, 0.30, 0.30, 0.25), (0.0, 0.4, 0.6, 0.0), (0, 0, 1, 0)])
def test_weighted_ranges_come_up_as_often_as_they_should(probabilities):
    ends = [25, 25, 326, 1000, 1002, 1003, 1050, 1500]
    options = {"weighted_ranges": ends, "probabilities": list(probabilities)}
    drawn = torch.tensor(stream("WEIGHTED", [1000] * 100, size=2000, **options))
    inside = torch.zeros(len(drawn), dtype=torch.bool)
    for first, last, probability in zip(ends[::2], ends[1::2], probabilities, strict=True):
        chosen = (drawn >= first) & (drawn <= last)
        inside |= chosen
        share = float(chosen.float().mean())
        assert share == pytest.approx(probability, abs=0.01 if 0 < probability < 1 else 0)
        counts = torch.bincount(drawn[chosen] - first, minlength=last - first + 1)
        if probability:  # alike inside a range: within six standard deviations
            mean = 100_000 * probability / len(counts)
            assert (counts - mean).abs().max() < 6 * mean**0.5
    assert float((~inside).float().mean()) == pytest.approx(1 - sum(probabilities), abs=0.01)
    if sum(probabilities) < 1:
        others = set(range(2000)) - {
            i for a, b in zip(ends[::2], ends[1::2], strict=True) for i in range(a, b + 1)
        }
        assert set(drawn[~inside].tolist()) == others


@st.composite
def weighted(draw):
    """A size, ascending ranges below it, and weights of theirs and of the rest."""
    size = draw(st.integers(1, 40))
    cuts = sorted(draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=10, unique=size > 1)))
    cuts = cuts[: len(cuts) // 2 * 2] if size > 1 else [0, 0]
    weights = draw(st.lists(st.integers(0, 5), min_size=len(cuts) // 2 + 1, max_size=len(cuts) // 2 + 1))
    return size, cuts, weights


@settings(deadline=None)
@given(weighted(), st.integers(0, 5))
def test_what_has_no_probability_is_never_drawn(case, seed):
    size, ends, weights = case
    total = sum(weights) or 1
    probabilities = [weight / total for weight in weights[:-1]]
    chances = torch.full((size,), 1 - sum(probabilities) if sum(weights) else 1.0)
    for first, last, probability in zip(ends[::2], ends[1::2], probabilities, strict=True):
        chances[first : last + 1] = probability
    options = {"weighted_ranges": ends, "probabilities": probabilities}
    covered = sum(last - first + 1 for first, last in zip(ends[::2], ends[1::2], strict=True))
    if covered == size and sum(probabilities) < 1 - 1e-6:
        with pytest.raises(UsageError):
            stream("WEIGHTED", [1], size, seed, **options)
        return
    drawn = stream("WEIGHTED", [200], size, seed, **options)
    assert all(chances[index] > 1e-9 for index in drawn)


@pytest.mark.parametrize(
    ("ranges", "probabilities", "message"),
    [
        ([0, 3, 8, 10], [0.1, 0.1],
         "weightedRanges reach to sample 10, but there are the samples 0 to 9 to draw from"),
        ([0, 3, 4, 9], [0.5, 0.25],
         "weightedRanges cover all samples, so probabilities must have the sum 1, found 0.75"),
    ],
    ids=["beyond", "all"],
)  # fmt: skip
def test_ranges_that_do_not_fit_the_dataset_are_refused(ranges, probabilities, message):
    with pytest.raises(UsageError) as fault:
        strategy("WEIGHTED", weighted_ranges=ranges, probabilities=probabilities)
    assert str(fault.value) == message


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"weightedRanges": "0,3,5", "probabilities": "0.5"},
         ["option 'weightedRanges': expected pairs of a first and a last sample, found 3 numbers"]),
        ({"weightedRanges": "3,0", "probabilities": "0.5"},
         ["option 'weightedRanges': the range 3,0 ends before it starts"]),
        ({"weightedRanges": "0,3,3,5", "probabilities": "0.5,0.1"},
         ["option 'weightedRanges': the range 3,5 must start after 3"]),
        ({"weightedRanges": "0,3,4,5", "probabilities": "0.5"},
         ["option 'probabilities': expected one for each of 2 ranges, found 1"]),
        ({"weightedRanges": "0,3,4,5", "probabilities": "0.5,0.6"},
         ["option 'probabilities': expected a sum of at most 1, found 1.1"]),
        ({"weightedRanges": "0,x", "probabilities": "-1"},
         ["option 'weightedRanges': expected a whole number, found 'x'",
          "option 'probabilities': expected at least 0.0, found '-1'"]),
        ({}, ["option 'weightedRanges': is missing and has no default",
              "option 'probabilities': is missing and has no default"]),
    ],
)  # fmt: skip
def test_wrong_ranges_are_reported_before_anything_runs(given, problems):
    with pytest.raises(ConfigError) as fault:
        bind("learn", [Consumer("WEIGHTED", SAMPLING.get("WEIGHTED").Options)],
             {key: Given(value, TYPED) for key, value in given.items()})  # fmt: skip
    assert [str(problem) for problem in fault.value.problems] == problems


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
)
def test_classes_take_turns_whatever_their_sizes_and_empty_ones_are_skipped(classes, counts):
    data = Dataset("Classes", torch.zeros(len(classes)), torch.tensor(classes), list("abcde"))
    drawn = stream("UNIFORMCLASS", counts, dataset=data)
    present = sorted(set(classes))
    assert [classes[index] for index in drawn] == [present[n % len(present)] for n in range(len(drawn))]


def test_inside_a_class_every_sample_is_as_likely():
    data = Dataset("Classes", torch.zeros(7), torch.tensor([1, 0, 1, 1, 0, 3, 1]), list("abcd"))
    counts = torch.bincount(torch.tensor(stream("UNIFORMCLASS", [30] * 1000, dataset=data)))
    assert counts.tolist() == pytest.approx([2500, 5000, 2500, 2500, 5000, 10_000, 2500], abs=250)


def test_taking_turns_needs_classes():
    with pytest.raises(UsageError) as fault:
        strategy("UNIFORMCLASS", dataset=Dataset("Numbers", torch.zeros(3), torch.zeros(3)))
    assert str(fault.value) == "sampling UNIFORMCLASS needs a dataset with classes; Numbers has none"


# ------------------------------------------------------------------------------------------- the sampler


def test_a_sampler_gives_batches_without_end():
    sampler = Sampler(counting(), 4, "SEQUENTIAL", seed=0)
    for expected in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]):
        batch = next(sampler)
        assert batch.input.tolist() == batch.target.argmax(1).tolist() == expected
    assert iter(sampler) is sampler


@pytest.mark.parametrize("name", list(SAMPLING))
def test_samplers_of_the_same_seed_give_the_same_batches(name):
    options = SAMPLING.get(name).Options(**OPTIONS.get(name, {}))
    one, other = (Sampler(counting(), 4, name, seed=3, options=options) for _ in range(2))
    for _ in range(6):
        assert torch.equal(next(one).input, next(other).input)


def test_an_unknown_strategy_is_reported_with_the_nearest():
    with pytest.raises(UsageError) as fault:
        Sampler(counting(), 4, "PERMUTE", seed=0)
    assert str(fault.value) == "unknown sampling strategy 'PERMUTE'; did you mean 'PERMUTATION'?"
