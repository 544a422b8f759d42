"""Arithmetic in `${...}`: Python's results, and nothing but arithmetic."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.network.expressions import ExpressionError, evaluate, substitute

PARAMETERS = {"a": 3, "b": -2, "x": 0.5, "hidden": 512, "flag": True, "name": "ReLU", "nothing": None}


def refused(text):
    with pytest.raises(ExpressionError) as fault:
        evaluate(text, PARAMETERS)
    return str(fault.value)


# ---------------------------------------------------------------------------------------------- results


_NUMBERS = (
    st.integers(0, 50).map(str) | st.integers(0, 200).map(lambda n: str(n / 4)) | st.sampled_from("abx")
)
_ARITHMETIC = st.recursive(
    _NUMBERS | _NUMBERS.map("({} ** 2)".format),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        st.tuples(inner, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), inner, inner, inner).map(
            "({0[3]} if {0[0]} {0[1]} {0[2]} else {0[4]})".format
        ),
        st.tuples(inner, inner, inner).map("({0[0]} if {0[1]} <= a < {0[2]} else {0[1]})".format),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        st.tuples(st.sampled_from(["int", "float", "-", "+"]), inner).map("{0[0]}({0[1]})".format),
        inner.map("int(not {})".format),
    ),
    max_leaves=5,  # so that nothing in between comes near 2**63
)


@settings(max_examples=500, deadline=None)
@given(_ARITHMETIC)
def test_arithmetic_agrees_with_python(text):
    try:
        expected = eval(text, {}, dict(PARAMETERS))
    except ZeroDivisionError:
        assert refused(text) == f"'{text}' divides by zero"
        return
    if abs(expected) > 2**60:
        return  # too near to the limit to say
    found = evaluate(text, PARAMETERS)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 * hidden", 1024),
        ("hidden // 3", 170),
        ("7 - 3 - 2", 2),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("hidden / 2", 256.0),
        ("2 ** 63", 2**63),
        ("1 if flag else 2", 1),
        ("name == 'ReLU'", True),
        ("1 < a < 3", False),
        ("'tall' if hidden > 100 else 'small'", "tall"),
        ("name", "ReLU"),
        ("nothing", None),
        ("int(2.7)", 2),
        ("  a\n", 3),
        ("1 if flag else 1 / 0", 1),
    ],
)
def test_an_expression_has_the_value_that_one_expects(text, value):
    found = evaluate(text, PARAMETERS)
    assert (found, type(found)) == (value, type(value))


# ----------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden", "unknown parameter 'hiden'; did you mean 'hidden'?"),
        ("zz", "unknown parameter 'zz'; parameters: a, b, flag, hidden, name, nothing, x"),
        ("abs(a)", "unknown function 'abs'; functions: float, int, max, min"),
        ("mni(1, 2)", "unknown function 'mni'; did you mean 'min'?"),
        ("2 *", "'2 *' is no expression"),
        ("", "'' is no expression"),
        ("1; 2", "'1; 2' is no expression"),
        ("a = 1", "'a = 1' is no expression"),
        ("1 // (a - 3)", "'1 // (a - 3)' divides by zero"),
        ("5 % 0", "'5 % 0' divides by zero"),
        ("0 ** -1", "'0 ** -1' divides by zero"),
        ("2 * name", "'2 * name' needs numbers, found 'ReLU'"),
        ("nothing + 1", "'nothing + 1' needs numbers, found 'None'"),
        ("'a' * 9", "''a' * 9' needs numbers, found 'a'"),
        ("1 < name", "'1 < name' cannot be computed: '<' not supported between instances of 'int' and 'str'"),
        ("int('x')", "'int('x')' cannot be computed: invalid literal for int() with base 10: 'x'"),
        ("2 ** 64", "'2 ** 64' is beyond 2**63"),
        ("3 * 2 ** 62", "'3 * 2 ** 62' is beyond 2**63"),
        ("1e200 * 1e200", "'1e+200 * 1e+200' is beyond 2**63"),
        ("2 ** 65", "'2 ** 65' has an exponent above 64"),
        ("1+" * 250 + "1", "an expression of 501 characters (at most 500)"),
    ],
)
def test_what_cannot_be_computed_says_why(text, message):
    assert refused(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "a.real", "(1).__class__", "name.upper()", "name[0]", "[1, 2]", "(1, 2)", "{1}", "{}",
        "[i for i in name]", "(i for i in name)", "lambda: 1", "(y := 2)", "f'{a}'", "b'a'", "1j", "...",
        "await a", "min(*name)", "~a", "a and b", "a or b", "a in name", "a is b", "a | b", "a << 2", "a @ b",
    ],
)  # fmt: skip
def test_all_that_is_no_arithmetic_is_refused(text):
    assert refused(text).endswith(" is not allowed in an expression")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('x')",
        "eval('1')",
        "print(1)",
        "getattr(a, 'real')",
        "min(1, 2, key=int)",
        "name()",
    ],
)
def test_calls_of_anything_but_the_four_functions_are_refused(text):
    assert refused(text).startswith(("unknown function '", "'min(1, 2, key=int)' is not allowed"))


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9",
        "(9**9)**(9**9)",
        "2**10**9",
        "10**64**64",
        "(2.5**64)**64",
        "-" * 499 + "1",
        "(" * 250 + ")" * 250,
    ],
)
def test_what_would_take_for_ever_is_refused_at_once(text):
    start = time.perf_counter()
    with contextlib.suppress(ExpressionError):
        evaluate(text, {})
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "text", ["9" * 30, "-" + "9" * 30, "int('" + "9" * 30 + "')", "1e400", "float('inf')", "int(1e30)"]
)
def test_no_number_is_beyond_the_limit_however_it_is_written(text):
    with pytest.raises(ExpressionError):
        evaluate(text, {})


def test_a_root_of_a_negative_number_is_not_called_large():
    assert refused("(-8) ** 0.5") == "'(-8) ** 0.5' is no real number"


_FRAGMENTS = st.lists(
    st.sampled_from([
        "a", "b", "hidden", "name", "nothing", "1", "0", "2.5", "1e9", "'s'", "+", "-", "*", "/", "**",
        "%", "(", ")", " ", ",", "min", "max(", "int(", "if", "else", "not", "<", "==", ".", "[", "]",
        "lambda", ":", "for", "in", "$", "{", "}", "\\", "\n", "\x00", "é", "#",
    ]),
    max_size=14,
)  # fmt: skip


@given(st.text(max_size=40) | _FRAGMENTS.map("".join) | _FRAGMENTS.map(" ".join))
def test_any_text_gives_a_plain_value_or_an_expression_error(text):
    with contextlib.suppress(ExpressionError):
        value = evaluate(text, PARAMETERS)
        assert value is None or isinstance(value, int | float | str)


# ------------------------------------------------------------------------------------------ substitution


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${a}", 3),
        (" ${ 2 * a } ", 6),
        ("${a}${b}", "3-2"),
        ("block ${a} of ${name}", "block 3 of ReLU"),
        (["${a}", 4, ["${x}"]], [3, 4, [0.5]]),
        ("costs $5", "costs $5"),
        ("{a}", "{a}"),
        ("", ""),
        (7, 7),
        (None, None),
        (True, True),
    ],
)
def test_expressions_in_values_are_computed(written, value):
    found = substitute(written, PARAMETERS)
    assert (found, type(found)) == (value, type(value))


def test_what_was_written_is_left_as_it_is():
    written = ["${a}", ["${b}"]]
    substitute(written, PARAMETERS)
    assert written == ["${a}", ["${b}"]]


@pytest.mark.parametrize("written", ["${a", "1 ${a", "${a} ${", "$${a"])
def test_an_expression_that_is_not_closed_is_refused(written):
    with pytest.raises(ExpressionError) as fault:
        substitute(written, PARAMETERS)
    assert str(fault.value) == f"'{written}' has a '${{' that is not closed"


def test_a_fault_inside_a_longer_text_is_said():
    with pytest.raises(ExpressionError, match=r"^unknown parameter 'c'"):
        substitute("block ${c}", PARAMETERS)
