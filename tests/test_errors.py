"""How faults are said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.errors import ConfigError, DianneError, Problem, UsageError, listing, suggest


def test_a_config_error_lists_its_problems_below_its_source():
    problems = (Problem("Mine.yaml:4:12", "no such thing"), Problem("Mine.yaml:2:1", "nor this"))
    error = ConfigError("Mine.yaml", iter(problems))
    assert str(error) == "Mine.yaml: 2 problems\n  Mine.yaml:4:12: no such thing\n  Mine.yaml:2:1: nor this"
    assert (error.source, error.problems) == ("Mine.yaml", problems)


def test_a_single_problem_is_not_called_problems():
    error = ConfigError("learn", [Problem("option 'tag'", "expected text, found 3")])
    assert str(error) == "learn: 1 problem\n  option 'tag': expected text, found 3"


def test_what_the_user_asked_wrongly_has_another_exit_code_than_what_went_wrong():
    assert (DianneError.exit_code, UsageError.exit_code, ConfigError.exit_code) == (1, 2, 2)
    assert issubclass(ConfigError, UsageError)
    assert issubclass(UsageError, DianneError)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("Liner", "; did you mean 'Linear'?"),
        ("linear", "; did you mean 'Linear'?"),
        ("max pooling", "; did you mean 'MaxPooling'?"),
        ("max_poolin", "; did you mean 'MaxPooling'?"),
        ("zzz", "; types: elu, Linear, MaxPooling"),
        ("", "; types: elu, Linear, MaxPooling"),
    ],
)
def test_the_nearest_known_word_is_suggested_or_all_of_them(word, said):
    assert suggest(word, ["MaxPooling", "Linear", "elu", "elu"], "types") == said


def test_of_two_words_that_differ_in_case_the_same_one_is_suggested_in_every_run():
    roles = ["encoder", "decoder", "generator", "discriminator", "actor", "critic", "teacher", "student"]
    for role in roles:
        known = [role, role.capitalize()]
        assert suggest(role[:-1], known) == suggest(role[:-1], known[::-1]) == f"; did you mean '{known[1]}'?"
        assert suggest("zzz", known) == f"; known: {known[1]}, {known[0]}"


def test_nothing_is_suggested_where_nothing_is_known():
    assert suggest("hidden", []) == ""


@given(st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True), st.lists(st.text(max_size=8)))
def test_a_known_word_is_found_whatever_its_case_and_spaces(word, others):
    known = [
        other for other in others if other.lower().replace(" ", "").replace("_", "") != word.replace(" ", "")
    ]
    assert suggest(word.upper().replace(" ", "_"), [*known, word]) == f"; did you mean '{word}'?"


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "'a'"), (["a", "b"], "'a' and 'b'"), (("a", "b", "c"), "'a', 'b' and 'c'")],
)
def test_names_in_a_row_are_quoted(names, text):
    assert listing(names) == text
