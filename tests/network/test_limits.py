"""Files that would cost too much, or never end: each is refused with its place, in under a second."""

from __future__ import annotations

import time

import pytest
from writing import between, fault, network


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory):
    """The first use of tensors without data loads half a second of torch, which is not what is timed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("warm"))
        network(between("[4]", "a: {type: Linear, output: 3}", "b: {type: ReLU}"))


def refused(text: str, **files: str) -> str:
    begin = time.perf_counter()
    message = fault(text, files={f"networks/{name}.yaml": content for name, content in files.items()})
    assert time.perf_counter() - begin < 1
    return message.split("\n", 1)[1].strip()


def block(*modules: str) -> str:
    return (
        "modules:\n  x: {type: Input}\n" + "".join(f"  {row}\n" for row in modules) + "  y: {type: Output}\n"
    )


def test_a_network_that_contains_itself():
    assert refused(between("[4]", "inner: {type: Mine}")) == (
        "networks/Mine.yaml:3:3: inner (Mine): contains itself: Mine -> Mine"
    )


def test_networks_that_contain_each_other():
    files = {"A": block("b: {type: B}"), "B": block("c: {type: C}"), "C": block("a: {type: A}")}
    assert refused(between("[4]", "a: {type: A}"), **files) == (
        "networks/C.yaml:3:3: a (A): contains itself: Mine -> A -> B -> C -> A "
        "(inside c, networks/B.yaml:3:3) (inside b, networks/A.yaml:3:3) (inside a, networks/Mine.yaml:3:3)"
    )


@pytest.mark.parametrize(
    "level",
    [
        block(*(f"part{i}: {{type: INNER}}" for i in range(10))),
        block("part: {type: INNER, repeat: 10}"),
        block('part: {type: INNER, repeat: "${2 * 5}"}'),
    ],
)
def test_ten_levels_of_ten_each(level):
    files = {f"L{i}": level.replace("INNER", f"L{i - 1}") for i in range(1, 11)}
    message = refused(between("[4]", "all: {type: L10}"), L0=block("a: {type: ReLU}"), **files)
    place, _, rest = message.partition(": ")
    assert place.startswith("networks/")
    assert "modules; at most 20,000 are possible" in rest
    assert len(message.splitlines()) == 1


def test_ten_levels_that_never_get_smaller_shapes():
    """Each use has another shape, so that none is like one seen before."""
    level = block(*(f"p{i}: {{type: INNER}}" for i in range(10)))
    files = {f"L{i}": level.replace("INNER", f"L{i - 1}") for i in range(1, 11)}
    grow = block("a: {type: Zeropad, dim0: 1}")
    assert "at most 20,000 are possible" in refused(between("[4]", "all: {type: L10}"), L0=grow, **files)


def test_a_repeat_beyond_the_limit():
    assert refused(between("[4]", "a: {type: ReLU, repeat: 1001}")) == (
        "networks/Mine.yaml:3:27: a: repeat: expected 1 to 1000, found 1001"
    )


def test_many_repeats_at_the_limit():
    rows = [f"a{letter}: {{type: ReLU, repeat: 1000}}" for letter in "bcdefghijklmnopqrstuvwxyz"]
    assert refused(between("[4]", *rows)).endswith("modules; at most 20,000 are possible")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_yaml_of_many_levels(opening):
    text = f"modules:\n  {opening * 5000}"
    assert "nested more than 40 levels deep" in refused(text)


def test_a_deep_file_by_indentation():
    text = "".join(f"{' ' * depth}a:\n" for depth in range(300))
    assert refused(text) == "networks/Mine.yaml:41:41: nested more than 40 levels deep"


def test_a_huge_file():
    rows = (f"a{i}: {{type: ReLU}}" for i in range(60_000))
    assert refused(between("[4]", *rows)) == "networks/Mine.yaml:1:1: larger than 1,000,000 bytes"


def test_an_alias():
    assert refused("modules:\n  x: &same {type: Input, shape: [3]}\n  y: *same\n") == (
        "networks/Mine.yaml:2:6: anchors (&same) are not supported; write the value out where it is used"
    )


def test_aliases_of_aliases():
    rows = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20))]
    assert refused("\n".join(rows)) == (
        "networks/Mine.yaml:1:5: anchors (&a0) are not supported; write the value out where it is used"
    )


def test_an_anchor_that_holds_itself():
    assert refused("modules: &all\n  x: *all\n") == (
        "networks/Mine.yaml:1:10: anchors (&all) are not supported; write the value out where it is used"
    )


def test_a_merge_key():
    message = refused(between("[4]", "a: {<<: {type: Linear}, output: 3}"))
    assert message.startswith("networks/Mine.yaml:3:")


def test_an_expression_of_many_levels():
    text = between("[4]", f'a: {{type: Linear, output: "${{{"(" * 240}1{")" * 240}}}"}}')
    assert refused(text).startswith("networks/Mine.yaml:3:29: a (Linear): output: ")


def test_an_expression_beyond_all_numbers():
    assert refused(between("[4]", 'a: {type: Linear, output: "${9**9**9}"}')) == (
        "networks/Mine.yaml:3:29: a (Linear): output: '9 ** 9 ** 9' has an exponent above 64"
    )


def test_a_layer_that_no_machine_holds_is_only_described():
    """Shapes are found without data, so that its size costs nothing before a job starts."""
    begin = time.perf_counter()
    found = network(between("[4]", "a: {type: Linear, output: 1000000000000}"))
    assert time.perf_counter() - begin < 1
    assert found.shapes["a"] == (10**12,)


@pytest.mark.parametrize(
    "row",
    [
        "{type: Linear, output: 1e30}",
        "{type: Linear, output: 9223372036854775807}",
        "{type: Zeropad, dim0: 9223372036854775807}",
    ],
)
def test_sizes_beyond_all_tensors(row):
    assert refused(between("[4]", f"a: {row}")).startswith("networks/Mine.yaml:3:")
