"""Schedules: the factor on the learning rate in every iteration."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.errors import UsageError
from dianne.learning.schedules import SCHEDULES
from dianne.options import keys

every_schedule = pytest.mark.parametrize("name", list(SCHEDULES))


def factors(name: str, total: int, **options: object) -> list[float]:
    """The factors of a whole job."""
    schedule = SCHEDULES.get(name)
    chosen = schedule.Options.model_validate(options)
    return [schedule.factor(i, total, chosen) for i in range(total)]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("CONSTANT", {}, [1, 1, 1, 1]),
        ("CONSTANT", {"warmup": 3}, [1 / 3, 2 / 3, 1, 1]),
        ("LINEAR", {}, [1, 0.75, 0.5, 0.25]),
        ("LINEAR", {"minFactor": 0.2}, [1, 0.8, 0.6, 0.4]),
        ("LINEAR", {"warmup": 2}, [0.5, 1, 1, 0.5]),
        ("COSINE", {}, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("COSINE", {"minFactor": 0.5}, [1, (3 + math.sqrt(0.5)) / 4, 0.75, (3 - math.sqrt(0.5)) / 4]),
        ("COSINE", {"warmup": 2}, [0.5, 1, 1, 0.5]),
        ("STEP", {"stepInterval": 2}, [1, 1, 0.1, 0.1]),
        ("STEP", {"stepInterval": 1, "stepFactor": 0.5}, [1, 0.5, 0.25, 0.125]),
        ("STEP", {"stepInterval": 1, "stepFactor": 0.5, "warmup": 2}, [0.5, 1, 1, 0.5]),
        ("EXPONENTIAL", {"halfLife": 1}, [1, 0.5, 0.25, 0.125]),
        ("EXPONENTIAL", {"halfLife": 2}, [1, math.sqrt(0.5), 0.5, math.sqrt(0.125)]),
    ],
)
def test_the_factors_of_four_iterations(name, options, expected):
    assert factors(name, 4, **options) == pytest.approx(expected)


sizes = st.integers(1, 300)
shares = st.floats(0, 1)


def drawn(name: str, data: st.DataObject, warmup: int) -> dict[str, object]:
    """Options of a schedule, any that are allowed."""
    kinds = {"minFactor": shares, "stepInterval": sizes, "halfLife": sizes,
             "stepFactor": st.floats(0, 1, exclude_min=True)}  # fmt: skip
    known = keys(SCHEDULES.get(name).Options)
    assert set(known) <= {"warmup", *kinds}
    return {"warmup": warmup, **{key: data.draw(kind, key) for key, kind in kinds.items() if key in known}}


@every_schedule
@given(data=st.data(), total=sizes, warmup=st.integers(0, 400))
def test_a_factor_is_a_share_that_grows_in_the_warm_up_and_then_falls(name, data, total, warmup):
    found = factors(name, total, **drawn(name, data, warmup))
    rising, falling = found[:warmup], found[warmup:]
    assert all(0 <= factor <= 1 for factor in found)
    assert all(one < other for one, other in pairwise(rising))
    assert all(one >= other for one, other in pairwise(falling))
    assert found[0] > 0
    assert falling[:1] in ([], [1])


@every_schedule
@given(data=st.data(), total=sizes, warmup=st.integers(1, 400))
def test_a_warm_up_is_a_line_to_the_full_size(name, data, total, warmup):
    rising = factors(name, total, **drawn(name, data, warmup))[:warmup]
    assert rising == pytest.approx([(n + 1) / warmup for n in range(len(rising))])


@pytest.mark.parametrize("name", ["COSINE", "LINEAR"])
@given(total=sizes, warmup=st.integers(0, 100), low=shares)
def test_a_fall_ends_one_step_above_its_least_factor(name, total, warmup, low):
    """What would come after the last iteration is minFactor, and nothing later is less."""
    schedule = SCHEDULES.get(name)
    options = schedule.Options(warmup=warmup, min_factor=low)
    after = max(total, warmup + 1)
    assert schedule.factor(after, total, options) == pytest.approx(low)
    assert schedule.factor(after + 1000, total, options) == pytest.approx(low)
    assert all(
        factor >= low - 1e-12 for factor in factors(name, total, warmup=warmup, minFactor=low)[warmup:]
    )


@every_schedule
def test_every_option_says_what_it_is(name):
    fields = SCHEDULES.get(name).Options.model_fields
    assert [key for key, field in fields.items() if not field.description] == []


def test_an_unknown_schedule_is_refused():
    with pytest.raises(UsageError) as fault:
        SCHEDULES.get("cosinus")
    assert str(fault.value) == "unknown schedule 'cosinus'; did you mean 'COSINE'?"
