"""Values that a sweep tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.errors import UsageError
from dianne.jobs.ranges import Choices, Range, read_choices, read_range


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1..9", Range(1, 9)),
        ("1e-4..1e-2:log", Range(1e-4, 1e-2, log=True)),
        ("0.1..1", Range(0.1, 1.0)),
        (".5..2", Range(0.5, 2.0)),
        ("-3..3:2", Range(-3, 3, step=2)),
        ("0.0..1:0.25", Range(0.0, 1.0, step=0.25)),
        ("../folder", None),
        ("a..b", None),
        ("3", None),
    ],
)
def test_a_range_is_read_as_it_is_written(text, meant):
    found = read_range("key", text)
    assert found == meant
    if found and meant:
        assert [type(end) for end in found.ends] == [type(end) for end in meant.ends]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1..b", "k=1..b: expected a range of two numbers, such as 1e-4..1e-2"),
        ("2..2", "k=2..2: a range goes from a smaller number to a larger one"),
        ("1..1e999", "k=1..1e999: a range goes from a smaller number to a larger one"),
        ("0..1:log", "k=0..1:log: a range with :log begins above 0"),
        ("1..9:0.5", "k=1..9:0.5: after ':' comes log or a step, a whole number above 0; found '0.5'"),
        ("1..9:", "k=1..9:: after ':' comes log or a step, a whole number above 0; found ''"),
        ("0.1..1:lin", "k=0.1..1:lin: after ':' comes log or a step, a number above 0; found 'lin'"),
    ],
)
def test_what_looks_like_a_range_and_is_none_is_refused(text, message):
    with pytest.raises(UsageError) as fault:
        read_range("k", text)
    assert str(fault.value) == message


def test_choices_are_at_least_two_values():
    assert read_choices("2, 5,10,5") == Choices(("2", "5", "10"))
    assert read_choices("2") is read_choices("2,") is read_choices("") is None


@given(st.text("0123456789.e-:log,+ ", max_size=20))
def test_any_text_is_a_range_or_no_range_or_refused(text):
    try:
        found = read_range("k", text)
    except UsageError:
        return
    assert found is None or found.low < found.high
