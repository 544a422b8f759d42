"""What a network file may say: its keys, its parameters, its modules and the order in which they run."""

import json
import subprocess
import sys
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.errors import ConfigError, UsageError
from dianne.network.file import read
from dianne.workspace import shipped

INPUT = "modules:\n  image: {type: Input, shape: [4]}\n"
OUTPUT = "  output: {type: Output}\n"


def wires(network):
    """For each module, in the order in which they run, what it follows."""
    return {row.module: list(row.after) for row in network.rows()}


# ------------------------------------------------------------------------------------------ the top level


def test_a_file_needs_nothing_but_modules(describe):
    network = describe(INPUT + OUTPUT, name="Small")
    assert (network.name, network.file.description, network.parameters) == ("Small", "", {})
    assert (network.inputs, network.outputs, network.labels) == ({"image": (4,)}, {"output": (4,)}, None)


def test_a_file_may_say_its_name_and_what_it_is_for(describe):
    file = describe("name: Mine\ndescription: For tests.\n" + INPUT + OUTPUT).file
    assert (file.name, file.description) == ("Mine", "For tests.")


def test_the_labels_of_an_output_are_texts(describe):
    assert describe(INPUT + "  output: {type: Output, labels: [cat, 7]}\n").labels == ["cat", "7"]


@pytest.mark.parametrize(
    "kinds", [("Input", "ReLU", "Output"), ("input", "relu", "output"), ("INPUT", "ReLu", "OutPut")]
)
def test_types_are_found_whatever_their_case(describe, kinds):
    lines = [
        f"  image: {{type: {kinds[0]}, shape: [4]}}\n",
        f"  a: {{type: {kinds[1]}}}\n",
        f"  b: {{type: {kinds[2]}}}\n",
    ]
    network = describe("modules:\n" + "".join(lines))
    assert (network.inputs, network.outputs) == ({"image": (4,)}, {"b": (4,)})


def test_a_file_is_read_without_torch(tmp_path):
    (tmp_path / "Mine.yaml").write_text(INPUT + OUTPUT)
    probe = (
        "import sys; from pathlib import Path; from dianne.network.file import read;"
        "read(Path('Mine.yaml')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, check=False).returncode == 0


def test_reading_notes_faults_and_raises_none(tmp_path):
    (tmp_path / "Mine.yaml").write_text("modulse: 1\nname: Other\n" + INPUT + "  a: 3\n")
    assert [problem.message for problem in read(tmp_path / "Mine.yaml").document.problems] == [
        "unknown key 'modulse'; did you mean 'modules'?",
        "the network is called 'Other', but its file 'Mine'; make them equal",
        "a: expected {type: ...}, found '3'",
    ]


# -------------------------------------------------------------------------------------------- parameters


SIZED = "parameters: {hidden: 3, rate: 0.5, kind: sigmoid}\n"


def test_parameters_have_defaults_that_can_be_overridden(describe):
    text = SIZED + INPUT + '  a: {type: Linear, output: "${2 * hidden}"}\n' + OUTPUT
    assert describe(text).shapes["a"] == (6,)
    network = describe(text, hidden=5)
    assert network.shapes["a"] == (10,)
    assert network.parameters == {"hidden": 5, "rate": 0.5, "kind": "sigmoid"}


def test_parameters_stand_in_lists_and_in_texts(describe):
    text = SIZED + (
        'modules:\n  image: {type: Input, shape: ["${hidden - 2}", "${2 * hidden}"]}\n'
        '  a: {type: MultivariateGaussian, stdevActivation: "${kind}"}\n'
        '  output: {type: Output, labels: ["class ${hidden}"]}\n'
    )
    network = describe(text)
    assert (network.shapes["output"], network.labels) == ((1, 6), ["class 3"])
    assert network.build(1)(torch.zeros(1, 1, 6)).tolist() == [[[0.0, 0.0, 0.0, 0.5, 0.5, 0.5]]]


def test_a_division_that_leaves_nothing_over_gives_a_size(describe):
    text = "parameters: {hidden: 6}\n" + INPUT + '  a: {type: Linear, output: "${hidden / 2}"}\n' + OUTPUT
    assert describe(text).shapes["a"] == (3,)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden", "many", "option 'hidden': expected a whole number, found 'many'"),
        ("hidden", True, "option 'hidden': expected a whole number, found true"),
        ("rate", "high", "option 'rate': expected a number, found 'high'"),
        ("kind", 3, "option 'kind': expected text, found 3"),
        ("hiden", 3, "option 'hiden': nothing here reads 'hiden'; did you mean 'hidden'?"),
    ],
)
def test_a_parameter_has_the_kind_of_its_default(describe, key, value, message):
    with pytest.raises(ConfigError) as fault:
        describe(SIZED + INPUT + OUTPUT, **{key: value})
    assert str(fault.value) == f"describe: 1 problem\n  {message}"


def test_a_size_that_a_parameter_makes_impossible_is_said_where_it_is_used(describe):
    text = SIZED + INPUT + '  a: {type: Linear, output: "${hidden - 5}"}\n' + OUTPUT
    with pytest.raises(ConfigError) as fault:
        describe(text)
    assert str(fault.value).endswith(
        "Mine.yaml:4:29: a (Linear): output: expected more than 0, found -2 (from ${hidden - 5})"
    )
    assert describe(text, hidden=7).shapes["a"] == (2,)  # nothing is left of the fault


# ----------------------------------------------------------------------------------------------- wires


def test_each_module_follows_the_one_above_it(describe):
    network = describe(INPUT + "  a: {type: ReLU}\n  b: {type: Tanh}\n" + OUTPUT)
    assert wires(network) == {"image": [], "a": ["image"], "b": ["a"], "output": ["b"]}


def test_any_number_of_modules_may_follow_one_and_be_joined(describe):
    network = describe(
        INPUT + "  a: {type: ReLU, after: image}\n  b: {type: Tanh, after: image}\n"
        "  c: {type: Accumulate, after: [a, b, image]}\n" + OUTPUT
    )
    x = torch.tensor([[-1.0, 0.0, 1.0, 2.0]])
    assert torch.equal(network.build(1)(x), x.relu() + x.tanh() + x)


def test_results_are_joined_in_the_order_in_which_they_are_named(describe):
    network = describe(INPUT + "  a: {type: ReLU}\n  b: {type: Concat, after: [image, a]}\n" + OUTPUT)
    assert network.build(1)(torch.tensor([[-1.0, 0.0, 1.0, 2.0]])).tolist() == [[-1, 0, 1, 2, 0, 0, 1, 2]]


def test_modules_may_be_written_before_what_they_follow(describe):
    network = describe(
        "modules:\n  last: {type: Output, after: b}\n  b: {type: Tanh, after: a}\n"
        "  a: {type: ReLU, after: image}\n  image: {type: Input, shape: [4]}\n"
    )
    assert wires(network) == {"image": [], "a": ["image"], "b": ["a"], "last": ["b"]}
    x = torch.tensor([[-1.0, 0.0, 1.0, 2.0]])
    assert torch.equal(network.build(1)(x), x.relu().tanh())


def test_an_input_starts_afresh_and_there_may_be_several_outputs(describe):
    network = describe(
        INPUT
        + "  first: {type: Output}\n  more: {type: Input, shape: [2, 3]}\n  a: {type: Linear, output: 5}\n"
        "  second: {type: Output}\n  third: {type: Output, after: image}\n"
    )
    assert network.inputs == {"image": (4,), "more": (2, 3)}
    assert network.outputs == {"first": (4,), "second": (5,), "third": (4,)}
    results = network.build(1)(torch.ones(7, 4), torch.zeros(7, 2, 3))
    assert [tuple(result.shape) for result in results] == [(7, 4), (7, 5), (7, 4)]


def test_a_description_has_a_row_for_each_module(describe):
    network = describe(INPUT + "  a: {type: Linear, output: 3}\n" + OUTPUT)
    assert [(row.module, row.type, row.shape, row.weights) for row in network.rows()] == [
        ("image", "Input", (4,), 0),
        ("a", "Linear", (3,), 15),
        ("output", "Output", (3,), 0),
    ]


# ------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", ["", ", input: 24"])
def test_a_size_that_follows_may_be_left_out_or_given(describe, size):
    text = (
        f"modules:\n  image: {{type: Input, shape: [2, 3, 4]}}\n  a: {{type: Linear, output: 5{size}}}\n"
        + OUTPUT
    )
    assert describe(text).build(1).state_dict()["a.weight"].shape == (5, 24)


def test_shapes_are_found_without_memory_for_weights(describe):
    network = describe(
        "modules:\n  image: {type: Input, shape: [1000000]}\n  a: {type: Linear, output: 1000000}\n" + OUTPUT
    )
    assert network.rows()[1].weights == 10**12 + 10**6


# ---------------------------------------------------------------------------------------------- mutations


FILES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(shipped("networks").rglob("*.yaml"))}
_BITS = [
    *"{}[]:,&*!|>'\"%@`#-?\n\t $0123456789.~<\\é", "true", "null", "- ", "${", "-1", "1e9", "9" * 20,
    "${x}", "after: ", "type: ", "Input", "Concat", "Memory", "torch.nn.", "x:y", "<<: ", "---\n",
    "\\UFFFFFFFF",
]  # fmt: skip
_KEYS = [
    "after: []", "after: ", "after: [image, output]", "after: output", "type: input", "type: 3",
    "type: Memory", "share: ", "share: output", "repeat: 0", "repeat: 3", "output: 1e30",
    "shape: [true]", "size: 0", "width: 9",
]  # fmt: skip


def mutated(text, random):
    """A text with one to three accidents: something lost, doubled, moved or replaced."""
    for _ in range(random.randint(1, 3)):
        lines = text.split("\n")
        line, other = random.randrange(len(lines)), random.randrange(len(lines))
        place = random.randrange(len(text) + 1)
        end = place + random.randint(1, 6)
        accident = random.randrange(8)
        if accident == 0:
            text = text[:place] + text[end:]
        elif accident == 1:
            text = text[:end] + text[place:]
        elif accident == 2:
            text = text[:place] + random.choice(_BITS) + text[place:]
        elif accident == 3:
            text = text[:place] + random.choice(_BITS) + text[end:]
        elif accident == 4:
            text = "\n".join(lines[:line] + lines[line + 1 :])
        elif accident == 5:
            text = "\n".join(lines[: line + 1] + lines[line:])
        elif accident == 6:
            lines[line], lines[other] = lines[other], lines[line]
            text = "\n".join(lines)
        else:
            lines[line] = lines[line].replace("}", f", {random.choice(_KEYS)}}}", 1)
            text = "\n".join(lines)
    return text


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_or_checked_in_full(describe, name):
    random = Random(name)
    outcomes = set()
    for _ in range(60):
        text = mutated(FILES[name], random)
        try:
            outcomes.add(outcome(describe, text, name))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n\n{text}") from error
    assert "refused" in outcomes


def outcome(describe, text, name="Mine"):
    """Whether a file is refused; if not, its description must be complete."""
    try:
        network = describe(text, name=name)
    except UsageError:
        return "refused"
    assert {row.module for row in network.rows()} <= set(network.shapes)
    network.build_without_data()
    return "checked"


_WORDS = st.sampled_from(["image", "a", "ReLU", "Linear", "Input", "${a}", ""])
_KEY = st.sampled_from(["type", "after", "shape", "output", "a", "share", "repeat"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(_VALUES)
def test_any_value_in_any_place_is_refused_or_checked_in_full(describe, value):
    written = json.dumps(value)
    outcome(describe, f"modules: {written}\n")
    outcome(describe, f"parameters: {written}\n" + INPUT + OUTPUT)
    outcome(describe, INPUT + f"  a: {written}\n" + OUTPUT)
    outcome(describe, INPUT + f"  a: {{type: Linear, output: 4, after: {written}}}\n" + OUTPUT)
