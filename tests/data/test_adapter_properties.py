"""What holds for any range, and for adapters in any combination."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from dianne.data.adapter_options import STACK, AdapterOptions, wanted
from dianne.data.adapters.stack import adapted
from dianne.data.dataset import Dataset
from dianne.data.descriptor import parse_range

COUNT = 12
NUMBERS = Dataset("Numbers", torch.arange(COUNT).float().view(-1, 1), torch.arange(COUNT).float())


@some.composite
def datasets(draw):
    """Images with classes, with numbers, or with masks as targets."""
    planes = draw(some.sampled_from([(), (1,), (3,)]))
    shape = (*planes, draw(some.integers(2, 7)), draw(some.integers(2, 7)))
    generator = torch.Generator().manual_seed(draw(some.integers(0, 99)))
    inputs = torch.randint(256, (COUNT, *shape), generator=generator).to(torch.uint8)
    if draw(some.booleans()):
        inputs = inputs.float() / 255
    kind = draw(some.sampled_from(["classes", "numbers", "masks"]))
    if kind == "masks":
        return Dataset("Masks", inputs, inputs.float())
    if kind == "numbers":
        return Dataset("Images", inputs, torch.arange(COUNT).float())
    return Dataset("Images", inputs, torch.arange(COUNT) % 3, ["a", "b", "c"])


shares = some.sampled_from([0.0, 0.3, 1.0])
some_options = some.fixed_dictionaries(
    {},
    optional={
        "vflip": shares,
        "hflip": shares,
        "rotation": some.one_of(some.floats(0, 180), some.just([-20.0, 40.0])),
        "crop_width": some.integers(1, 2),
        "crop_padding": some.integers(0, 3),
        "frame": some.lists(some.integers(2, 5), min_size=2, max_size=3),
        "binarize": some.floats(-0.5, 1.5),
        "stochastic_binarize": some.booleans(),
        "autoencode": some.booleans(),
        "encoder_drop": shares,
        "split": some.sampled_from([0.25, 0.5]),
        "split_seed": some.just(5),
    },
).filter(lambda found: "split" in found or "split_seed" not in found)


@given(datasets(), some_options, some.integers(0, 9), some.booleans())
@settings(max_examples=200, deadline=None)
def test_stacks_of_adapters(dataset, options, seed, learning):
    """Shapes are as announced, values stay from 0 to 1, and equal seeds give equal batches."""
    found = adapted(dataset, AdapterOptions(**options))
    once, twice = (
        [one.batch(torch.arange(6) % len(one)), one.batch(slice(0, 3))]
        for one in (found.drawing(seed, learning), found.drawing(seed, learning))
    )
    for batch, again in zip(once, twice, strict=True):
        count = len(batch.input)
        assert batch.input.shape == (count, *found.input_dims)
        assert batch.target.shape == (count, *found.target_dims)
        assert batch.input.dtype == batch.target.dtype == torch.float32
        assert float(batch.input.min()) >= 0
        assert float(batch.input.max()) <= 1 + 1e-6
        assert torch.equal(batch.input, again.input)
        assert torch.equal(batch.target, again.target)


@given(datasets(), some.integers(0, 9))
@settings(deadline=None)
def test_nothing_changes_at_probability_0(dataset, seed):
    options = AdapterOptions(
        hflip=0.0, rotation=0.0, crop_padding=0, encoder_drop=0.0, frame=dataset.input_dims
    )
    found = adapted(dataset, options).drawing(seed, learning=True)
    for indices in (slice(None), torch.arange(5)):
        assert torch.equal(found.batch(indices).input, dataset.batch(indices).input)
        assert torch.equal(found.batch(indices).target, dataset.batch(indices).target)


@given(datasets(), some.sampled_from(["hflip", "vflip"]), some.integers(0, 9))
@settings(deadline=None)
def test_two_flips_are_none(dataset, key, seed):
    flip = AdapterOptions(**{key: 1.0})
    twice = adapted(adapted(dataset, flip), flip).drawing(seed, learning=True)
    assert torch.equal(twice.batch(slice(None)).input, dataset.batch(slice(None)).input)
    assert torch.equal(twice.batch(slice(None)).target, dataset.batch(slice(None)).target)


@given(datasets(), some_options, some.integers(0, 9))
@settings(deadline=None)
def test_another_seed_draws_something_else_only_where_something_is_drawn(dataset, options, seed):
    found = adapted(dataset, AdapterOptions(**options))
    fixed = found.drawing(seed, learning=False).batch(slice(None)).input
    other = found.drawing(seed + 1, learning=False).batch(slice(None)).input
    assert options.get("stochastic_binarize") or torch.equal(fixed, other)


@given(some.integers(0, COUNT - 1), some.integers(1, COUNT))
def test_both_spellings_of_a_range_choose_the_same(start, size):
    stop = min(start + size, COUNT)
    half_open = NUMBERS.select(parse_range(f"{start}:{stop}")).inputs.flatten().tolist()
    both_ends = NUMBERS.select(parse_range(f"{start},{stop - 1}")).inputs.flatten().tolist()
    assert half_open == both_ends == list(range(start, stop))
    if not start:
        assert NUMBERS.select(parse_range(str(stop))).inputs.flatten().tolist() == half_open


@given(some.lists(some.integers(0, COUNT - 1), min_size=3, max_size=20))
def test_three_and_more_numbers_are_indices_in_their_order(indices):
    chosen = NUMBERS.select(parse_range(indices))
    assert len(chosen) == len(indices)
    assert chosen.inputs.flatten().tolist() == chosen.targets.tolist() == indices


def test_every_option_belongs_to_one_adapter():
    fields = [field for fields in STACK.values() for field in fields]
    assert fields == list(AdapterOptions.model_fields)


@given(some_options)
def test_told_adapters_are_those_that_are_asked_for(options):
    chosen = AdapterOptions(**options)
    told = {pair.split("=")[0] for part in wanted(chosen) for pair in part.split(" ")}
    defaults = AdapterOptions()
    differ = {name for name in options if getattr(chosen, name) != getattr(defaults, name)}
    assert told == {AdapterOptions.model_fields[name].alias for name in differ}
