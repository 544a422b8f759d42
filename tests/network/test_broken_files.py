"""What is said about network files with faults in them: where, what, and what instead."""

import pytest

import dianne
from dianne.errors import ConfigError

INPUT = "modules:\n  image: {type: Input, shape: [4]}\n"
IMAGE = "modules:\n  image: {type: Input, shape: [1, 4, 4]}\n"
OUTPUT = "  output: {type: Output}\n"


def faults(text):
    """All that is said about a file of this text, but for the name of the file."""
    (folder := dianne.Workspace().folder.root / "networks").mkdir()
    (folder / "Bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as fault:
        dianne.Workspace().describe("Bad")
    return str(fault.value)


@pytest.fixture(autouse=True)
def _in_a_fresh_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


FILES = {
    # ------------------------------------------------------------------------------------------ the text
    "nothing": ("", "1:1: expected keys and values ('name: ...'), found nothing"),
    "a list at the top": ("- image\n- output\n", "1:1: expected keys and values ('name: ...'), found a list"),
    "a word at the top": ("network", "1:1: expected keys and values ('name: ...'), found a value"),
    "no YAML: a colon too many": (
        "name: Bad: really\n" + INPUT + OUTPUT,
        "1:10: not valid YAML: mapping values are not allowed here",
    ),
    "no YAML: a tab": (
        "modules:\n\timage: {type: Input}\n",
        "2:1: not valid YAML: while scanning for the next token found character '\\t' "
        "that cannot start any token",
    ),
    "an anchor": (
        "modules:\n  image: &image {type: Input, shape: [4]}\n" + OUTPUT,
        "2:10: anchors (&image) are not supported; write the value out where it is used",
    ),
    "an alias": (
        INPUT + "  relu: *relu\n" + OUTPUT,
        "3:9: aliases (*relu) are not supported; write the value out",
    ),
    "a tag": (
        "modules:\n  image: !!python/object:os.system {type: Input}\n",
        "2:10: tags (tag:yaml.org,2002:python/object:os.system) are not supported; write a plain value",
    ),
    "nested too deep": (
        INPUT + "  a: {type: Reshape, shape: " + "[" * 60 + "4" + "]" * 60 + "}\n" + OUTPUT,
        "3:66: nested more than 40 levels deep",
    ),
    "two documents": (
        INPUT + OUTPUT + "---\n" + INPUT,
        "4:1: not valid YAML: expected a single document in the stream but found another document",
    ),
    "a key twice": (
        INPUT + "  relu: {type: ReLU}\n  relu: {type: Tanh}\n" + OUTPUT,
        "4:3: key 'relu' is given twice",
    ),
    "a key twice inside": (
        INPUT + "  a: {type: Linear, output: 3, output: 4}\n" + OUTPUT,
        "3:32: key 'output' is given twice",
    ),
    "a list as a key": (
        "[a, b]: 1\n" + INPUT + OUTPUT,
        "1:1: a key must be a word, found a list or a mapping",
    ),
    # -------------------------------------------------------------------------------------- the top level
    "an unknown key": (
        "modulse: {}\n" + INPUT + OUTPUT,
        "1:1: unknown key 'modulse'; did you mean 'modules'?",
    ),
    "an unknown key, near to none": (
        "version: 3\n" + INPUT + OUTPUT,
        "1:1: unknown key 'version'; keys: description, modules, name, parameters",
    ),
    "another name": (
        "name: Good\n" + INPUT + OUTPUT,
        "1:7: the network is called 'Good', but its file 'Bad'; make them equal",
    ),
    "a description in pieces": (
        "description: [a, b]\n" + INPUT + OUTPUT,
        "1:14: description: expected text, found a list",
    ),
    "no modules": ("name: Bad\n", "1:1: has no 'modules'; write at least an Input and an Output"),
    "empty modules": (
        "modules: {}\n",
        "1:10: expected modules by name, such as {image: {type: Input, ...}}",
    ),
    "a list of modules": (
        "modules:\n  - {type: Input, shape: [4]}\n",
        "2:3: expected modules by name, such as {image: {type: Input, ...}}",
    ),
    "parameters without defaults": (
        "parameters: [hidden]\n" + INPUT + OUTPUT,
        "1:13: expected names and defaults, such as {latentDims: 2}",
    ),
    "a parameter that is a list": (
        "parameters: {hidden: [1, 2]}\n" + INPUT + OUTPUT,
        "1:22: parameter 'hidden': expected a number or a text",
    ),
    # --------------------------------------------------------------------------------------- the modules
    "no Input": (
        "modules:\n  a: {type: ReLU}\n" + OUTPUT,
        "1:1: has no Input; a network needs at least one",
        "2:3: a (ReLU): nothing comes in; write an Input above it, or 'after: ...'",
    ),
    "no Output": (INPUT + "  relu: {type: ReLU}\n", "1:1: has no Output; a network needs at least one"),
    "a module before the Input": (
        "modules:\n  a: {type: ReLU}\n  image: {type: Input, shape: [4]}\n" + OUTPUT,
        "2:3: a (ReLU): nothing comes in; write an Input above it, or 'after: ...'",
    ),
    "a name with a blank": (
        INPUT + "  my layer: {type: ReLU}\n" + OUTPUT,
        "3:3: 'my layer' cannot name a module: use letters, digits, _ and -",
    ),
    "a name with a dot": (
        INPUT + "  my.layer: {type: ReLU}\n" + OUTPUT,
        "3:3: 'my.layer' cannot name a module: use letters, digits, _ and -",
    ),
    "a type in place of a module": (
        INPUT + "  relu: ReLU\n" + OUTPUT,
        "3:9: relu: expected {type: ...}, found 'ReLU'",
    ),
    "an empty module": (INPUT + "  relu:\n" + OUTPUT, "3:8: relu: expected {type: ...}, found nothing"),
    "no type": (INPUT + "  a: {output: 3}\n" + OUTPUT, "3:3: a: has no 'type'; write {type: Linear, ...}"),
    "an empty type": (
        INPUT + "  a: {type: ''}\n" + OUTPUT,
        "3:3: a: has no 'type'; write {type: Linear, ...}",
    ),
    "an unknown type": (
        INPUT + "  a: {type: Liner, output: 3}\n" + OUTPUT,
        "3:13: a: unknown type 'Liner'; did you mean 'Linear'?",
    ),
    "an unknown key of a module": (
        INPUT + "  a: {type: Linear, outptu: 3}\n" + OUTPUT,
        "3:21: a (Linear): unknown key 'outptu'; did you mean 'output'?",
    ),
    "a key in the spelling of Python": (
        IMAGE + "  a: {type: Convolution, no_output_planes: 2, kernelWidth: 3, kernelHeight: 3}\n" + OUTPUT,
        "3:26: a (Convolution): unknown key 'no_output_planes'; did you mean 'noOutputPlanes'?",
    ),
    "an argument that is missing": (
        INPUT + "  a: {type: Linear}\n" + OUTPUT,
        "3:3: a (Linear): output: is missing and has no default",
    ),
    "no shape": (
        "modules:\n  image: {type: Input}\n" + OUTPUT,
        "2:3: image (Input): has no 'shape'; write the shape of one sample, such as [1, 28, 28]",
    ),
    # ---------------------------------------------------------------------------------------- the values
    "a word for a number": (
        INPUT + "  a: {type: Linear, output: many}\n" + OUTPUT,
        "3:29: a (Linear): output: expected a whole number, found 'many'",
    ),
    "a boolean for a number": (
        INPUT + "  a: {type: Linear, output: true}\n" + OUTPUT,
        "3:29: a (Linear): output: expected a whole number, found true",
    ),
    "half a number": (
        INPUT + "  a: {type: Linear, output: 3.5}\n" + OUTPUT,
        "3:29: a (Linear): output: expected a whole number, found 3.5",
    ),
    "no number": (
        INPUT + "  a: {type: Linear, output: }\n" + OUTPUT,
        "3:28: a (Linear): output: expected a whole number, found nothing",
    ),
    "a number below 0": (
        INPUT + "  a: {type: Linear, output: -3}\n" + OUTPUT,
        "3:29: a (Linear): output: expected more than 0, found -3",
    ),
    "a list for a number": (
        INPUT + "  a: {type: Linear, output: [3]}\n" + OUTPUT,
        "3:29: a (Linear): output: expected a whole number, found [3]",
    ),
    "a number for a list": (
        INPUT + "  a: {type: Reshape, shape: 4}\n" + OUTPUT,
        "3:29: a (Reshape): shape: expected a list, found 4",
    ),
    "an empty list": (
        INPUT + "  a: {type: Reshape, shape: []}\n" + OUTPUT,
        "3:29: a (Reshape): shape: expected at least 1 item, found []",
    ),
    "a word in a list": (
        INPUT + "  a: {type: Reshape, shape: [2, two]}\n" + OUTPUT,
        "3:33: a (Reshape): shape: expected a whole number, found 'two'",
    ),
    "a boolean for a list": (
        INPUT + "  a: {type: Reshape, shape: true}\n" + OUTPUT,
        "3:29: a (Reshape): shape: expected a list, found true",
    ),
    "a boolean in a list": (
        "modules:\n  image: {type: Input, shape: [true, 4]}\n" + OUTPUT,
        "2:32: image (Input): shape: expected a whole number, found true",
    ),
    "half a number among labels": (
        INPUT + "  output: {type: Output, labels: [cat, 2.5]}\n",
        "3:40: output (Output): labels: expected text or a whole number, found 2.5",
    ),
    "a rate of 1": (
        INPUT + "  a: {type: Dropout, rate: 1}\n" + OUTPUT,
        "3:28: a (Dropout): rate: expected less than 1.0, found 1",
    ),
    "an activation that is none": (
        INPUT + "  a: {type: MultivariateGaussian, stdevActivation: Tanh}\n" + OUTPUT,
        "3:3: a (MultivariateGaussian): knows the activations sigmoid, softplus, found 'Tanh'",
    ),
    # ----------------------------------------------------------------------------------- the expressions
    "an expression that is none": (
        INPUT + "  a: {type: Linear, output: '${2 *}'}\n" + OUTPUT,
        "3:29: a (Linear): output: '2 *' is no expression",
    ),
    "an expression that is not closed": (
        INPUT + "  a: {type: Linear, output: '${2'}\n" + OUTPUT,
        "3:29: a (Linear): output: '${2' has a '${' that is not closed",
    ),
    "an unknown parameter": (
        "parameters: {hidden: 3}\n" + INPUT + "  a: {type: Linear, output: '${hiden}'}\n" + OUTPUT,
        "4:29: a (Linear): output: unknown parameter 'hiden'; did you mean 'hidden'?",
    ),
    "an expression that is code": (
        INPUT + "  a: {type: Linear, output: '${().__class__}'}\n" + OUTPUT,
        "3:29: a (Linear): output: '().__class__' is not allowed in an expression",
    ),
    "an expression that divides by zero": (
        INPUT + "  a: {type: Linear, output: '${1 // 0}'}\n" + OUTPUT,
        "3:29: a (Linear): output: '1 // 0' divides by zero",
    ),
    "an expression that gives half a number": (
        "parameters: {hidden: 3}\n" + INPUT + "  a: {type: Linear, output: '${hidden / 2}'}\n" + OUTPUT,
        "4:29: a (Linear): output: expected a whole number, found 1.5 (from ${hidden / 2})",
    ),
    "an expression that gives a word": (
        "parameters: {hidden: many}\n" + INPUT + "  a: {type: Linear, output: '${hidden}'}\n" + OUTPUT,
        "4:29: a (Linear): output: expected a whole number, found 'many' (from ${hidden})",
    ),
    # ----------------------------------------------------------------------------------------- the wires
    "a wire to nowhere": (
        INPUT + "  a: {type: ReLU, after: imgae}\n" + OUTPUT,
        "3:26: a: follows 'imgae', which is not there; did you mean 'image'?",
    ),
    "a wire to nowhere in a list": (
        INPUT + "  a: {type: Concat, after: [image, imgae]}\n" + OUTPUT,
        "3:36: a: follows 'imgae', which is not there; did you mean 'image'?",
    ),
    "no wire": (
        INPUT + "  a: {type: ReLU, after: }\n" + OUTPUT,
        "3:25: a: after: expected the name of a module, found nothing",
    ),
    "an empty list of wires": (
        INPUT + "  a: {type: ReLU, after: []}\n" + OUTPUT,
        "3:26: a: after: expected the name of a module, found nothing",
    ),
    "nothing in a list of wires": (
        INPUT + "  a: {type: Concat, after: [image, null]}\n" + OUTPUT,
        "3:36: a: follows a module by its name, found nothing",
    ),
    "keys and values for a wire": (
        INPUT + "  a: {type: ReLU, after: {image: 1}}\n" + OUTPUT,
        "3:26: a: follows a module by its name, found keys and values",
    ),
    "weights shared with nothing": (
        INPUT + "  a: {share: }\n" + OUTPUT,
        "3:13: a: shares the weights of a module by its name, found nothing",
    ),
    "weights shared with itself": (
        INPUT + "  a: {share: a}\n" + OUTPUT,
        "3:14: a: shares the weights of 'a', which has none of its own",
    ),
    "weights shared in a circle": (
        INPUT + "  a: {share: b}\n  b: {share: a, after: image}\n" + OUTPUT,
        "3:14: a: shares the weights of 'b', which has none of its own",
        "4:14: b: shares the weights of 'a', which has none of its own",
    ),
    "a module after itself": (
        INPUT + "  a: {type: ReLU, after: a}\n" + OUTPUT,
        "3:3: a: goes in a circle without a Memory: a -> a",
    ),
    "a circle": (
        INPUT + "  a: {type: Accumulate, after: [image, c]}\n  b: {type: ReLU}\n  c: {type: Tanh}\n" + OUTPUT,
        "3:3: a: goes in a circle without a Memory: a -> b -> c -> a",
    ),
    "several results into one": (
        INPUT + "  a: {type: ReLU}\n  b: {type: ReLU, after: [image, a]}\n" + OUTPUT,
        "4:26: b (ReLU): takes one result, found 2; join them first, as with Concat",
    ),
    "an Input after something": (
        INPUT + "  more: {type: Input, shape: [4], after: image}\n" + OUTPUT,
        "3:42: more: an Input takes no other module's result",
    ),
    # ---------------------------------------------------------------------------------------- the shapes
    "a size that does not fit": (
        INPUT + "  a: {type: Linear, output: 3, input: 5}\n" + OUTPUT,
        "3:39: a (Linear): input: 5 does not fit 'image', which gives [4]; write 4 or leave it out",
    ),
    "planes that do not fit": (
        IMAGE
        + "  a: {type: Convolution, noOutputPlanes: 2, kernelWidth: 3, kernelHeight: 3, noInputPlanes: 3}\n"
        + OUTPUT,
        "3:93: a (Convolution): noInputPlanes: 3 does not fit 'image', which gives [1, 4, 4]; "
        "write 1 or leave it out",
    ),
    "a size beyond all": (
        INPUT + "  a: {type: Linear, output: 9223372036854775808}\n" + OUTPUT,
        "3:29: a (Linear): output: expected at most 9,223,372,036,854,775,807, found 9223372036854775808",
    ),
    "a product of sizes beyond all": (
        INPUT + "  a: {type: Linear, output: 9223372036854775807}\n" + OUTPUT,
        "3:3: a (Linear): its sizes are beyond what a computer holds",
    ),
    "a shape beyond all": (
        "modules:\n  image: {type: Input, shape: [99999999999, 99999999999]}\n" + OUTPUT,
        "2:3: image (Input): its sizes are beyond what a computer holds",
    ),
    "a window that is too large": (
        IMAGE + "  a: {type: Convolution, noOutputPlanes: 2, kernelWidth: 5, kernelHeight: 5}\n" + OUTPUT,
        "3:3: a (Convolution): a window of [5, 5] does not fit into [4, 4]",
    ),
    "a pooling window that is too large": (
        IMAGE + "  a: {type: MaxPooling, width: 2, height: 5}\n" + OUTPUT,
        "3:3: a (MaxPooling): a window of [5, 2] does not fit into [4, 4]",
    ),
    "a pad that is too large": (
        IMAGE + "  a: {type: MaxPooling, width: 2, height: 2, padX: 2}\n" + OUTPUT,
        "3:3: a (MaxPooling): a pad of [0, 2] is more than half the window [2, 2]",
    ),
    "a convolution of values": (
        INPUT + "  a: {type: Convolution, noOutputPlanes: 2, kernelWidth: 5, kernelHeight: 5}\n" + OUTPUT,
        "3:3: a (Convolution): takes samples of [planes, height, width], found [4]",
    ),
    "a reshape that does not hold": (
        INPUT + "  a: {type: Reshape, shape: [3, 2]}\n" + OUTPUT,
        "3:3: a (Reshape): [3, 2] holds 6 values, but [4] has 4",
    ),
    "a sum of different shapes": (
        INPUT + "  a: {type: Linear, output: 3}\n  b: {type: Accumulate, after: [image, a]}\n" + OUTPUT,
        "4:3: b (Accumulate): joins samples of one shape, found [4], [3]",
    ),
    "a concatenation of different shapes": (
        INPUT + "  a: {type: Reshape, shape: [2, 2]}\n  b: {type: Concat, after: [image, a]}\n" + OUTPUT,
        "4:3: b (Concat): joins samples that differ in one dimension only, found [[4], [2, 2]]",
    ),
    "a dimension that is not there": (
        INPUT + "  a: {type: ReLU}\n  b: {type: Concat, dim: 2, after: [image, a]}\n" + OUTPUT,
        "4:3: b (Concat): there is no dimension 2 from the end in [[4], [4]]",
    ),
    "as many deviations as means, and one more": (
        "modules:\n  image: {type: Input, shape: [3]}\n  a: {type: MultivariateGaussian}\n" + OUTPUT,
        "3:3: a (MultivariateGaussian): takes as many deviations as means, found [3]",
    ),
    # ------------------------------------------------------------------------------------------- several
    "many faults, in the order of lines": (
        "modulse: 1\nname: Good\n" + INPUT + "  a: {type: Liner}\n  b: {type: Linear, output: x}\n"
        "  c: {type: Linear, after: zzz}\n  d: {type: Linear, output: 3, input: 9, after: image}\n",
        "1:1: unknown key 'modulse'; did you mean 'modules'?",
        "2:7: the network is called 'Good', but its file 'Bad'; make them equal",
        "3:1: has no Output; a network needs at least one",
        "5:13: a: unknown type 'Liner'; did you mean 'Linear'?",
        "6:29: b (Linear): output: expected a whole number, found 'x'",
        "7:3: c (Linear): output: is missing and has no default",
        "7:28: c: follows 'zzz', which is not there; modules: a, b, d, image",
        "8:39: d (Linear): input: 9 does not fit 'image', which gives [4]; write 4 or leave it out",
    ),
    "two faults of one module": (
        INPUT + "  a: {type: Linear, output: x, foo: 3}\n" + OUTPUT,
        "3:29: a (Linear): output: expected a whole number, found 'x'",
        "3:32: a (Linear): unknown key 'foo'; keys: after, input, output, repeat, share",
    ),
    "a circle, and a fault beside it": (
        INPUT + "  a: {type: ReLU, after: b}\n  b: {type: Tahn}\n" + OUTPUT,
        "3:3: a: goes in a circle without a Memory: a -> b -> a",
        "4:13: b: unknown type 'Tahn'; did you mean 'Tanh'?",
    ),
    "what follows from a fault is not said": (
        INPUT
        + "  a: {type: Liner, output: 3}\n  b: {type: Linear, output: 3, input: 7}\n  c: {type: ReLU}\n"
        + OUTPUT,
        "3:13: a: unknown type 'Liner'; did you mean 'Linear'?",
    ),
}


@pytest.mark.parametrize(("text", "expected"), [(t, e) for t, *e in FILES.values()], ids=FILES)
def test_every_fault_is_said_with_its_place(text, expected):
    count = f"{len(expected)} problem{'s' if len(expected) > 1 else ''}"
    lines = [f"networks/Bad.yaml: {count}", *(f"  networks/Bad.yaml:{line}" for line in expected)]
    assert faults(text) == "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "name:\n" + INPUT + OUTPUT,
        "description:\n" + INPUT + OUTPUT,
        INPUT + "  a: {type: ReLU, after: [~]}\n" + OUTPUT,
    ],
    ids=["name", "description", "after"],
)
def test_what_is_left_empty_is_called_nothing(text):
    found = faults(text)
    assert "None" not in found
    assert "nothing" in found


def test_a_type_that_is_no_word_is_not_called_missing():
    assert "has no 'type'" not in faults(INPUT + "  a: {type: 3}\n" + OUTPUT)
