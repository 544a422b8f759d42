"""How much memory samples may take, as users say it and as messages do."""

import pytest

from dianne.data.memory import free, limit_of, parse_size, shown


@pytest.mark.parametrize(
    ("text", "size"),
    [("2000000", 2_000_000), (2_000_000, 2_000_000), ("500M", 500_000_000), ("1.5G", 1_500_000_000),
     (" 2 gb ", 2_000_000_000), ("3k", 3000), ("1T", 10**12)],
)  # fmt: skip
def test_bytes_can_be_said_in_short(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "M", "5 X", "", True, "1e9"])
def test_what_is_no_number_of_bytes_is_refused(text):
    with pytest.raises(ValueError, match="expected bytes, such as 500M or 2G, found"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(20, "20 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (5.02e9, "5.02 GB"), (3.2e12, "3,200 GB")],
)
def test_bytes_are_shown_as_people_say_them(size, text):
    assert shown(size) == text


def test_without_a_limit_half_of_what_is_free_is_one():
    assert limit_of(7) == 7
    assert 0.3 < limit_of(None) / free() < 0.7
