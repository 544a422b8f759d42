"""YAML as people expect it, and the place of every fault in it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.document import MAX_BYTES, load, parse, read_scalar
from dianne.errors import ConfigError


def refused(text):
    """The text of the one fault of a file."""
    with pytest.raises(ConfigError) as fault:
        parse(text, "Mine.yaml").close()
    head, line = str(fault.value).split("\n")
    assert head == "Mine.yaml: 1 problem"
    return line.strip()


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("+3", 3), ("010", 10), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0),
        ("1e-3", 0.001), ("1E3", 1000.0), ("-.inf", float("-inf")),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("on", "on"), ("yes", "yes"), ("off", "off"), ("tRue", "tRue"), ("12:30", "12:30"),
        ("1_000", "1_000"), ("2024-01-31", "2024-01-31"), ("1.2.3", "1.2.3"), ("e3", "e3"),
        ("0,59999", "0,59999"), ("=", "="),
    ],
)  # fmt: skip
def test_plain_words_are_read_as_yaml_1_2_reads_them(text, value):
    found = read_scalar(text)
    assert (found, type(found)) == (value, type(value))


def test_quotes_make_text():
    data = parse("a: '12'\nb: \"true\"\nc: 12\nd: |\n  1.5\n", "Mine.yaml").data
    assert data == {"a": "12", "b": "true", "c": 12, "d": "1.5\n"}


def test_keys_are_text_whatever_they_look_like():
    assert parse("1: a\ntrue: b\n~: c\n", "Mine.yaml").data == {"1": "a", "true": "b", "~": "c"}


_WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_VALUES = st.recursive(
    _SCALARS | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_WORDS, _VALUES, max_size=5))
def test_json_is_read_as_what_it_says(data):
    document = parse(json.dumps(data), "Mine.yaml")
    assert document.data == data
    assert document.problems == []


# ------------------------------------------------------------------------------------------------ places


PLACES = """\
name: Mine
modules:
  image: {type: Input, shape: [1, 28]}
  empty:
"""


@pytest.mark.parametrize(
    ("path", "of_key", "place"),
    [
        (("name",), False, "1:7"),
        (("name",), True, "1:1"),
        (("modules", "image"), False, "3:10"),
        (("modules", "image", "shape"), False, "3:31"),
        (("modules", "image", "shape"), True, "3:24"),
        (("modules", "image", "shape", 1), False, "3:35"),
        (("modules", "image", "stride"), False, "3:3"),  # absent: its nearest parent, by key
        (("modules", "image", "shape", 7), False, "3:24"),
        (("nothing", "at", "all"), False, "1:1"),
        ((), False, "1:1"),
    ],
)
def test_every_key_and_value_knows_its_place(path, of_key, place):
    assert parse(PLACES, "Mine.yaml").where(path, of_key) == f"Mine.yaml:{place}"


def test_problems_are_raised_in_the_order_of_their_places():
    document = parse(PLACES, "Mine.yaml")
    document.report(("modules", "image", "shape"), "third")
    document.report(("modules", "image"), "second", of_key=True)
    document.report(("name",), "first")
    with pytest.raises(ConfigError) as fault:
        document.close()
    assert [problem.message for problem in fault.value.problems] == ["first", "second", "third"]


def test_nothing_is_raised_where_nothing_was_reported():
    parse(PLACES, "Mine.yaml").close()


def test_a_key_given_twice_is_reported_where_it_stands_again():
    document = parse("a: 1\nb: {c: 2, c: 3}\na: 4\n", "Mine.yaml")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert [str(problem) for problem in document.problems] == [
        "Mine.yaml:2:11: key 'c' is given twice",
        "Mine.yaml:3:1: key 'a' is given twice",
    ]


def test_a_key_that_is_no_word_is_reported():
    document = parse("{[1, 2]: a, b: 3}", "Mine.yaml")
    assert document.data == {"b": 3}
    assert [str(problem) for problem in document.problems] == [
        "Mine.yaml:1:2: a key must be a word, found a list or a mapping"
    ]


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: expected keys and values ('name: ...'), found nothing"),
        ("# all of it a comment\n", "1:1: expected keys and values ('name: ...'), found nothing"),
        ("- a\n- b\n", "1:1: expected keys and values ('name: ...'), found a list"),
        ("word", "1:1: expected keys and values ('name: ...'), found a value"),
        ("a: &x 1\n", "1:4: anchors (&x) are not supported; write the value out where it is used"),
        ("a: 1\nb: *a\n", "2:4: aliases (*a) are not supported; write the value out"),
        ("a: !!float 1\n", "1:4: tags (tag:yaml.org,2002:float) are not supported; write a plain value"),
        ("a: !mine 1\n", "1:4: tags (!mine) are not supported; write a plain value"),
        ("a: " + "[" * 60 + "]" * 60, "1:43: nested more than 40 levels deep"),
        ("a: 1\n---\nb: 2\n",
         "2:1: not valid YAML: expected a single document in the stream but found another document"),
        ("a: b: c\n", "1:5: not valid YAML: mapping values are not allowed here"),
        ("\ta: 1\n", "1:1: not valid YAML: while scanning for the next token found character '\\t' "
                     "that cannot start any token"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(text, fault):
    assert refused(text) == f"Mine.yaml:{fault}"


def test_nesting_costs_no_more_than_its_size():
    assert refused("a: " + "[" * 100_000).startswith("Mine.yaml:1:43: nested more than 40 levels deep")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a: "\\UFFFFFFFF"\n', id="beyond Unicode, by far"),
        pytest.param('a: "\\U00110000"\n', id="beyond Unicode"),
        pytest.param('a: "\\uD800"\n', id="half a character, which nothing can print"),
        pytest.param('"\\uD800": 1\n', id="half a character in a key"),
        pytest.param("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", id="a version of many digits"),
        pytest.param("a: \x00\n", id="zero"),
        pytest.param("a: \x7f\n", id="delete"),
    ],
)
def test_odd_characters_are_refused_not_crashed_on(text):
    assert refused(text).startswith("Mine.yaml:1:")


@given(st.text(st.sampled_from("ab:,-[]{}&*!|>'\"%@`#? \n\t0.~<\\uU9"), max_size=30))
def test_any_text_gives_a_mapping_or_a_config_error(text):
    with contextlib.suppress(ConfigError):
        document = parse(text, "Mine.yaml")
        assert isinstance(document.data, dict)
        document.close()


# ------------------------------------------------------------------------------------------------- files


def test_a_file_is_named_as_seen_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "networks").mkdir()
    file = tmp_path / "networks" / "Mine.yaml"
    file.write_text("name: Mine\n")
    assert load(file).source == str(file)
    monkeypatch.chdir(tmp_path)
    assert load(file).source == "networks/Mine.yaml"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "Mine.yaml: cannot be read: No such file or directory"),
        ("name: café\n".encode("latin-1"), "Mine.yaml: cannot be read: it is not UTF-8 text"),
        (b"#" * (MAX_BYTES + 1), "Mine.yaml:1:1: larger than 1,000,000 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path, monkeypatch, content, fault):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "Mine.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as found:
        load(file)
    assert str(found.value) == f"Mine.yaml: 1 problem\n  {fault}"


@pytest.mark.parametrize("start", ["\ufeff", "---\n", "%YAML 1.2\n---\n"])
def test_a_file_may_begin_as_yaml_files_do(tmp_path, start):
    file = tmp_path / "Mine.yaml"
    file.write_bytes((start + "name: é\r\nparameters: {a: 1}\r\n").encode())
    assert load(file).data == {"name": "é", "parameters": {"a": 1}}
