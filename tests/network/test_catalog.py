"""What every module type of the catalog keeps to, and the numbers that the reference computes."""

from math import prod

import pytest
import torch
from pydantic.alias_generators import to_camel
from safetensors.torch import load, save
from torch.func import functional_call

from dianne.errors import ConfigError
from dianne.network.catalog import MODULES, infer, inferable, joins

# --------------------------------------------------------------------------------------------- contract

# Keys and shapes with which a type can be tried, one or several times. A new type needs a line here.
SAMPLES = {
    "Affine": [("shape: [3]", (2, 3)), ("shape: [2, 1, 1]", (2, 3, 4))],
    "Accumulate": [("", (2, 3), (2, 3), (2, 3))],
    "Average": [("", (2, 3), (2, 3))],
    "AvgPooling": [
        ("width: 2", (7, 3)),
        ("width: 3, height: 2, strideX: 2, padX: 1", (2, 6, 7)),
        ("width: 2, height: 2, depth: 2", (2, 4, 4, 5)),
        ("width: -1, height: -1", (2, 3, 4)),
    ],
    "BatchNormalization": [("", (3,)), ("", (3, 4)), ("", (2, 4, 5))],
    "Concat": [("", (2,), (3,)), ("dim: 2", (2, 3, 4), (1, 3, 4))],
    "Convolution": [
        ("noOutputPlanes: 2, kernelWidth: 3", (7, 3)),
        ("noOutputPlanes: 2, kernelWidth: 3, kernelHeight: 2, strideX: 2, padY: 1", (2, 5, 7)),
        ("noOutputPlanes: 2, kernelWidth: 2, kernelHeight: 2, kernelDepth: 3, strideZ: 2", (1, 5, 3, 4)),
        ("noOutputPlanes: 2, kernelWidth: 3, kernelHeight: 3, pad: true", (2, 4, 5)),
    ],
    "Denormalization": [("mean: 2, stdev: 3", (2, 3))],
    "DropPath": [("rate: 0.5", (2, 3))],
    "Dropout": [("rate: 0.5", (2, 3))],
    "DuelJoin": [("", (1,), (4,)), ("", (4,), (1,))],
    "Duplicate": [("", (2, 3))],
    "ELU": [("", (5,)), ("alpha: 0.5", (5,))],
    "Embedding": [("entries: 5, output: 3", (4,))],
    "Frame": [("dim0: 2, dim1: 2", (3, 5)), ("dim0: 2, dim1: 3, dim2: 4", (2, 5, 6))],
    "FullConvolution": [
        ("noOutputPlanes: 3, kernelWidth: 3, kernelHeight: 2, strideX: 2", (2, 3, 4)),
        ("noOutputPlanes: 2, kernelWidth: 2, kernelHeight: 2, kernelDepth: 2, padX: 1", (1, 2, 3, 4)),
    ],
    "GELU": [("", (5,))],
    "GRU": [("output: 3", (4, 2)), ("output: 2, layers: 2, bidirectional: true", (3, 2))],
    "GaussianSampler": [("", (6,)), ("", (2, 4))],
    "Grid": [("x: 2, y: 3, strideX: 2", (4, 5)), ("x: 2, y: 2", (2, 3, 3))],
    "Input": [("shape: [2, 3]",)],
    "Invert": [("", (2, 3))],
    "LRN": [("size: 3", (5, 2, 2)), ("size: 2, alpha: 0.1, beta: 0.5, k: 2", (4, 3))],
    "LSTM": [("output: 3", (4, 2)), ("output: 2, layers: 2, bidirectional: true", (3, 2))],
    "LayerNorm": [("", (5,)), ("", (2, 3))],
    "LeakyReLU": [("", (5,)), ("leakyness: 0.3", (2, 3))],
    "Linear": [("output: 3", (4,)), ("output: 3", (2, 3, 4))],
    "LogSoftmax": [("", (4,)), ("", (3, 2, 2))],
    "MaskedMaxPooling": [("masks: '0,2;1'", (4,))],
    "MaxPooling": [
        ("width: 2", (7, 3)),
        ("width: 3, height: 2, strideX: 2, padX: 1", (2, 6, 7)),
        ("width: 2, height: 2, depth: 2", (2, 4, 4, 5)),
    ],
    "MaxUnpooling": [("width: 2, height: 2", (2, 2, 3), (2, 2, 3))],
    "Memory": [("size: 3", (3,))],
    "MultiheadAttention": [("heads: 2", (3, 4)), ("heads: 2", (3, 4), (5, 4))],
    "Multiply": [("", (2, 3), (2, 3), (2, 3))],
    "MultivariateGaussian": [
        ("", (4,)),
        ("meanActivation: Tanh, stdevActivation: SoftPlus", (2, 6)),
        ("", (3,), (3,)),
    ],
    "Narrow": [("index0: 1, size0: 2", (4,)), ("index0: 0, size0: 2, index1: 2, size1: 1", (3, 4))],
    "Normalization": [("mean: 2, stdev: 3", (2, 3))],
    "NormalizedAdvantageFunction": [("", (2,), (2,), (2, 2)), ("", (2,), (2,), (4,))],
    "Output": [("", (2, 3))],
    "PReLU": [("", (2, 3))],
    "Permute": [("order: [1, 0]", (2, 3)), ("order: [2, 0, 1]", (2, 3, 4))],
    "ReLU": [("", (2, 3))],
    "Reshape": [("shape: [3, 4]", (2, 6)), ("dim0: 4, dim1: 3", (2, 6))],
    "SELU": [("", (2, 3))],
    "Scale": [
        ("dim0: 4, dim1: 5", (2, 3)),
        ("factor0: 2, factor1: 2", (2, 3, 4)),
        ("dim0: 3, dim1: 2, dim2: 2", (1, 3, 4)),
    ],
    "SiLU": [("", (2, 3))],
    "Sigmoid": [("", (2, 3))],
    "SoftPlus": [("", (2, 3)), ("beta: 2", (5,))],
    "Softmax": [("", (4,)), ("", (3, 2, 2))],
    "Split": [("parts: 2", (5,)), ("split: '1,3', dim: 1", (4, 2))],
    "Tanh": [("", (2, 3))],
    "Threshold": [("thresh: 0.5, val: -1", (2, 3))],
    "Zeropad": [("dim0: 2", (3,)), ("dim0: 1, dim1: 0, dim2: 2", (2, 3, 4))],
}
# The values that types take which do not take any values; by position of the input.
VALUES = {
    ("Embedding", 0): lambda shape: torch.randint(0, 5, shape),
    ("MaxUnpooling", 1): lambda shape: torch.arange(prod(shape[2:])).mul(2).view(shape[2:]).expand(shape),
}

CASES = [
    pytest.param(kind, keys, shapes, id=f"{kind} {keys}".strip())
    for kind in MODULES
    for keys, *shapes in SAMPLES.get(kind, [])
]
each_case = pytest.mark.parametrize(("kind", "keys", "shapes"), CASES)


def text(kind, keys, shapes):
    """A file with a module "tested" between inputs of some shapes and an output."""
    inputs = [f"in{index}: {{type: Input, shape: {list(shape)}}}" for index, shape in enumerate(shapes)]
    after = f", after: [{', '.join(f'in{index}' for index in range(len(shapes)))}]" if shapes else ""
    tested = f"tested: {{type: {kind}{keys and f', {keys}'}{after}}}"
    output = [] if kind == "Output" else ["output: {type: Output, after: tested}"]
    return "modules:\n" + "".join(f"  {line}\n" for line in [*inputs, tested, *output])


def samples(network, kind, batch):
    """Random values for all inputs; two steps in time for a network with a Memory."""
    time = (2,) if network.build_without_data().recurrent else ()
    shapes = [(batch, *time, *shape) for shape in network.inputs.values()]
    made = [VALUES.get((kind, index), torch.randn)(shape) for index, shape in enumerate(shapes)]
    return [value if not value.is_floating_point() else value.double() for value in made]


def test_every_type_has_a_sample_and_every_sample_a_type():
    assert sorted(SAMPLES) == sorted(MODULES)


@pytest.mark.parametrize("kind", list(MODULES))
def test_every_type_says_what_it_does(kind):
    said = vars(MODULES.get(kind)).get("__doc__") or ""
    assert said.split("\n\n")[0].rstrip().endswith((".", ")"))


@each_case
def test_the_shape_foretold_is_the_real_one(describe, kind, keys, shapes):
    network = describe(text(kind, keys, shapes))
    graph = network.build(1).double().eval()
    for batch in (1, 5):
        given = samples(network, kind, batch)
        time = (2,) if graph.recurrent else ()
        assert graph(*given).shape == (batch, *time, *network.shapes["tested"])


@each_case
def test_gradients_are_those_of_the_results(describe, kind, keys, shapes):
    network = describe(text(kind, keys, shapes))
    graph = network.build(1).double().eval()
    torch.manual_seed(1)
    inputs = samples(network, kind, 2)
    weights = {name: weight.detach() for name, weight in graph.named_parameters()}
    # Whole numbers, such as the indices of an Embedding, have no gradients.
    varied = [x.requires_grad_() for x in [*inputs, *weights.values()] if x.is_floating_point()]

    def compute(*_):
        torch.manual_seed(2)  # so that a sampler draws the same noise
        return functional_call(graph, weights, tuple(inputs))

    assert varied
    assert torch.autograd.gradcheck(compute, varied)


@each_case
def test_a_sample_does_not_depend_on_the_others_of_its_batch(describe, kind, keys, shapes):
    network = describe(text(kind, keys, shapes))
    graph = network.build(1).double().eval()
    torch.manual_seed(1)
    batch, other = samples(network, kind, 4), samples(network, kind, 4)
    mixed = [torch.cat((x[:1], y[1:])) for x, y in zip(batch, other, strict=True)]
    torch.manual_seed(2)
    result = graph(*batch)
    torch.manual_seed(2)
    assert torch.allclose(graph(*mixed)[0], result[0], rtol=1e-12, atol=1e-12)


@each_case
def test_every_input_and_weight_gets_a_gradient_in_training(describe, kind, keys, shapes):
    network = describe(text(kind, keys, shapes))
    graph = network.build(1).double().train()
    inputs = [x.requires_grad_(x.is_floating_point()) for x in samples(network, kind, 4)]
    graph(*inputs).square().sum().backward()
    learned = [*(x for x in inputs if x.requires_grad), *graph.parameters()]
    assert [tensor.shape for tensor in learned if tensor.grad is None] == []


@each_case
def test_a_saved_module_computes_the_same(describe, kind, keys, shapes):
    network = describe(text(kind, keys, shapes))
    graph, other = network.build(1).eval(), network.build(2).eval()
    other.load_state_dict(load(save(graph.state_dict())))
    given = [x.float() for x in samples(network, kind, 3)]
    results = []
    for one in (graph, other):
        torch.manual_seed(2)
        results.append(one(*given))
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("kind", "key"),
    [(kind, to_camel(name)) for kind in MODULES for name in sorted(inferable(MODULES.get(kind)))],
)
def test_a_size_that_follows_is_checked_where_it_is_given(describe, kind, key):
    keys, *shapes = SAMPLES[kind][0]
    right = infer(MODULES.get(kind), *map(tuple, shapes))
    (size,) = right.values()
    separator = ", " if keys else ""
    network = describe(text(kind, f"{keys}{separator}{key}: {size}", shapes))
    assert network.shapes == describe(text(kind, keys, shapes)).shapes
    with pytest.raises(ConfigError) as fault:
        describe(text(kind, f"{keys}{separator}{key}: {size + 1}", shapes))
    assert f"tested ({kind}): {key}: {size + 1} does not fit " in str(fault.value)
    assert str(fault.value).endswith(f"; write {size} or leave it out")


@pytest.mark.parametrize(
    "kind", [kind for kind in MODULES if not joins(MODULES.get(kind)) and kind != "Input"]
)
def test_what_takes_one_result_refuses_two(describe, kind):
    keys, *shapes = SAMPLES[kind][0]
    with pytest.raises(
        ConfigError, match=r"tested \(\w+\): takes one result, found 2; join them first, as with Concat$"
    ):
        describe(text(kind, keys, [shapes[0], shapes[0]]))


# ---------------------------------------------------------------------------------------- golden numbers


@pytest.fixture
def compute(describe):
    """Runs one module with given weights; gives its result, the gradients by name, and its state."""

    def run(module, x, weights=None, *, gradient=1.0, training=False):
        kind, _, keys = module.partition(", ")
        graph = describe(text(kind, keys, [tuple(x.shape[1:])])).build(1).double().train(training)
        found = {
            name.removeprefix("tested."): value for name, value in graph.state_dict(keep_vars=True).items()
        }
        with torch.no_grad():
            for name, value in (weights or {}).items():
                found[name].copy_(torch.as_tensor(value, dtype=torch.float64).reshape(found[name].shape))
        x = x.double().requires_grad_()
        y = graph(x)
        y.backward(torch.full_like(y, gradient))
        return y.detach(), {"x": x.grad, **{name: value.grad for name, value in found.items()}}, found

    return run


def close(found, expected):
    torch.testing.assert_close(
        found, torch.as_tensor(expected, dtype=torch.float64).expand(found.shape), atol=5e-6, rtol=1e-5
    )
    return True


def test_linear(compute):
    weights = {"weight": [[1, 0], [0.5, 0.5]], "bias": [1, 1]}
    y, gradients, _ = compute("Linear, output: 2", torch.tensor([[1.0, 2.0]]), weights)
    assert close(y, [[2, 2.5]])
    assert close(gradients["x"], [[1.5, 0.5]])
    assert close(gradients["weight"], [[1, 2], [1, 2]])
    assert close(gradients["bias"], [1, 1])


def test_temporal_convolution_of_one_plane(compute):
    ones = {"weight": torch.ones(2, 1, 3), "bias": torch.ones(2)}
    y, gradients, _ = compute("Convolution, noOutputPlanes: 2, kernelWidth: 3", torch.ones(1, 5, 1), ones)
    assert close(y, torch.full((1, 3, 2), 4.0))
    assert close(gradients["x"], torch.tensor([2.0, 4, 6, 4, 2]).view(1, 5, 1))
    assert close(gradients["weight"], 3)
    assert close(gradients["bias"], 3)


def test_temporal_convolution_of_two_planes(compute):
    ones = {"weight": torch.ones(2, 2, 3), "bias": torch.ones(2)}
    y, gradients, _ = compute("Convolution, noOutputPlanes: 2, kernelWidth: 3", torch.ones(1, 5, 2), ones)
    assert close(y, torch.full((1, 3, 2), 7.0))
    assert close(gradients["x"], torch.tensor([2.0, 4, 6, 4, 2]).view(1, 5, 1).expand(1, 5, 2))


def test_temporal_weights_of_the_reference_have_the_kernel_before_the_plane(compute):
    theirs = torch.arange(1.0, 13).view(2, 3, 2)  # [out, kernel, in]
    x = torch.tensor([[[1.0, 10], [2, 20], [3, 30], [4, 40]]])
    y, _, _ = compute(
        "Convolution, noOutputPlanes: 2, kernelWidth: 3",
        x,
        {"weight": theirs.transpose(1, 2), "bias": [0.5, -0.5]},
    )
    expected = [
        [
            sum(float(theirs[o, k, i] * x[0, t + k, i]) for k in range(3) for i in range(2)) + (0.5, -0.5)[o]
            for o in (0, 1)
        ]
        for t in (0, 1)
    ]
    assert close(y, [expected])


def test_spatial_convolution(compute):
    weights = {"weight": torch.ones(1, 1, 3, 3), "bias": [5]}
    y, _, _ = compute(
        "Convolution, noOutputPlanes: 1, kernelWidth: 3, kernelHeight: 3", torch.ones(1, 1, 4, 5), weights
    )
    assert close(y, torch.full((1, 1, 2, 3), 14.0))


def test_width_is_the_last_dimension_and_height_the_one_before(compute):
    x = torch.arange(12.0).view(1, 1, 3, 4)
    weights = {"weight": [[[[1, 10]]]], "bias": [0]}
    y, _, _ = compute(
        "Convolution, noOutputPlanes: 1, kernelWidth: 2, kernelHeight: 1, strideY: 2", x, weights
    )
    assert close(y, [[[[10, 21, 32], [98, 109, 120]]]])


KERNEL = "noOutputPlanes: 1, kernelWidth: 2, kernelHeight: 3, kernelDepth: 4"
WINDOW = "width: 2, height: 3, depth: 4"
STEPS = "strideX: 3, strideY: 1, strideZ: 2, padX: 0, padY: 1, padZ: 2"


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("Convolution", KERNEL, (8, 13, 4)),
        ("MaxPooling", WINDOW, (8, 13, 4)),
        ("AvgPooling", WINDOW, (8, 13, 4)),
        ("FullConvolution", KERNEL, (28, 13, 35)),
    ],
)
def test_strides_and_pads_go_with_their_dimension(describe, kind, keys, expected):
    # (15 + 2 * 2 - 4) // 2 + 1 deep, (13 + 2 * 1 - 3) // 1 + 1 high and (12 - 2) // 3 + 1 wide, or back.
    network = describe(text(kind, f"{keys}, {STEPS}", [(1, 15, 13, 12)]))
    assert network.shapes["tested"] == (1, *expected)


def test_transposed_convolution(compute):
    ones = {"weight": torch.ones(2, 3, 3, 3), "bias": torch.ones(3)}
    module = "FullConvolution, noOutputPlanes: 3, kernelWidth: 3, kernelHeight: 3"
    y, gradients, _ = compute(module, torch.full((1, 2, 2, 2), 2.0), ones)
    plane = torch.tensor([[5.0, 9, 9, 5], [9, 17, 17, 9], [9, 17, 17, 9], [5, 9, 9, 5]])
    assert close(y, plane.expand(1, 3, 4, 4))
    assert close(gradients["x"], 27)
    assert close(gradients["weight"], 8)
    assert close(gradients["bias"], 16)


def test_temporal_max_pooling_gives_the_gradient_to_the_first_of_equals(compute):
    x = torch.ones(1, 6, 2)
    x[0, 1, 0], x[0, 4, 1] = 2, 3
    y, gradients, _ = compute("MaxPooling, width: 2", x)
    assert close(y, [[[2, 1], [1, 1], [1, 3]]])
    assert close(gradients["x"].flatten(), [0, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0])


def test_temporal_average_pooling(compute):
    x = torch.ones(1, 6, 2)
    x[0, 1, 0], x[0, 4, 1] = 2, 3
    y, gradients, _ = compute("AvgPooling, width: 2", x)
    assert close(y, [[[1.5, 1], [1, 1], [1, 2]]])
    assert close(gradients["x"], 0.5)


def test_volumetric_average_pooling(compute):
    x = torch.ones(1, 2, 4, 6, 6)
    x[0, 0, 0, 0, 0], x[0, 1, 2, 5, 4] = 2, 3
    y, gradients, _ = compute("AvgPooling, width: 2, height: 2, depth: 2", x)
    expected = torch.ones(1, 2, 2, 3, 3)
    expected[0, 0, 0, 0, 0], expected[0, 1, 1, 2, 2] = 9 / 8, 10 / 8
    assert close(y, expected)
    assert close(gradients["x"], 0.125)


def test_padded_cells_count_in_no_average_and_win_no_maximum(compute):
    x = -torch.arange(1.0, 5).view(1, 1, 2, 2)
    window = "width: 2, height: 2, padX: 1, padY: 1"
    assert close(compute(f"AvgPooling, {window}", x)[0], x)
    assert close(compute(f"MaxPooling, {window}", x)[0], x)


def test_a_frame_of_an_image(compute):
    x = torch.arange(1.0, 16).view(1, 3, 5)
    assert close(compute("Frame, dim0: 2, dim1: 2", x)[0], [[[2, 4], [12, 14]]])
    both = compute("Frame, dim0: 2, dim1: 2", x.expand(2, 3, 5))[0]
    assert close(both, torch.tensor([[2.0, 4], [12, 14]]).expand(2, 2, 2))


def test_values_scaled_and_shifted_by_plane(compute):
    weights = {"weight": [2, 3], "bias": [1, -1]}
    y, gradients, _ = compute("Affine, shape: [2, 1]", torch.arange(1.0, 5).view(1, 2, 2), weights)
    assert close(y, [[[3, 5], [8, 11]]])
    assert close(gradients["weight"], [[3], [7]])
    assert close(gradients["bias"], 2)


def test_dimensions_in_another_order(compute):
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert compute("Permute, order: [2, 0, 1]", x)[0].tolist() == [[[[0, 3]], [[1, 4]], [[2, 5]]]]


def test_a_part_of_a_sample(compute):
    y, gradients, _ = compute(
        "Narrow, index0: 1, size0: 2", torch.tensor([[1.0, 2, 3, 4]]).expand(2, 4).clone()
    )
    assert close(y, [[2, 3], [2, 3]])
    assert close(gradients["x"], [[0, 1, 1, 0], [0, 1, 1, 0]])


def test_a_sample_is_cut_where_the_file_says(describe):
    graph = describe(
        "modules:\n  x: {type: Input, shape: [10]}\n  cut: {type: Split, split: 4}\n"
        "  a: {type: Output, after: cut.0}\n  b: {type: Output, after: cut.1}\n"
    ).build(1)
    first, second = graph(torch.arange(20.0).view(2, 10))
    assert first.tolist() == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert second.tolist() == [[4, 5, 6, 7, 8, 9], [14, 15, 16, 17, 18, 19]]


def test_log_softmax(compute):
    x = torch.arange(-5.0, 6)
    expected = torch.arange(-10, 1) - 0.458658
    assert close(compute("LogSoftmax", x.view(1, 11))[0], expected.view(1, 11))
    pixels = x.view(1, 11, 1, 1).expand(1, 11, 1, 2).clone()
    assert close(compute("LogSoftmax", pixels)[0], expected.view(1, 11, 1, 1).expand(1, 11, 1, 2))


def test_softmax_is_log_softmax_raised(compute):
    x = torch.randn(4, 5, 2)
    assert close(compute("Softmax", x)[0], compute("LogSoftmax", x)[0].exp())


RANGE = torch.arange(-5.0, 6).view(1, 11)


@pytest.mark.parametrize(
    ("module", "formula"),
    [
        ("Sigmoid", lambda x: 1 / (1 + torch.exp(-x))),
        ("Tanh", lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1)),
        ("ReLU", lambda x: torch.where(x > 0, x, 0)),
        ("LeakyReLU", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("LeakyReLU, leakyness: 0.2", lambda x: torch.where(x > 0, x, 0.2 * x)),
        ("ELU", lambda x: torch.where(x > 0, x, torch.exp(x) - 1)),
        ("ELU, alpha: 0.5", lambda x: torch.where(x > 0, x, 0.5 * (torch.exp(x) - 1))),
        ("SELU", lambda x: 1.0507009 * torch.where(x > 0, x, 1.6732632 * (torch.exp(x) - 1))),
        ("SoftPlus", lambda x: torch.log(1 + torch.exp(x))),
        ("SoftPlus, beta: 2", lambda x: torch.log(1 + torch.exp(2 * x)) / 2),
        ("Threshold, thresh: 1, val: 7", lambda x: torch.where(x > 1, x, 7.0)),
        ("PReLU", lambda x: torch.where(x > 0, x, 0.25 * x)),
        ("Invert", lambda x: 1 - x),
    ],
)
def test_activations_follow_their_formulas(compute, module, formula):
    assert close(compute(module, RANGE)[0], formula(RANGE.double()))


@pytest.mark.parametrize(("module", "slope"), [("LeakyReLU", 0.01), ("ReLU", 0), ("PReLU", 0.1)])
def test_the_slope_at_zero_is_that_below(compute, module, slope):
    weights = {"weight": [0.1]} if module == "PReLU" else {}
    assert close(compute(module, torch.zeros(1, 1), weights)[1]["x"], slope)


def test_batch_normalization_in_evaluation(compute):
    x = torch.arange(1.0, 11).view(2, 5) / 10
    weights = {"weight": [0.5] * 5, "bias": [0.1] * 5}
    y, gradients, state = compute("BatchNormalization", x, weights, gradient=0.1)
    torch.testing.assert_close(y, 0.5 * x.double() + 0.1, atol=1e-5, rtol=0)
    torch.testing.assert_close(gradients["x"], torch.full_like(y, 0.05), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        gradients["weight"], torch.tensor([0.07, 0.09, 0.11, 0.13, 0.15]).double(), atol=1e-6, rtol=0
    )
    assert close(gradients["bias"], 0.2)
    assert close(state["running_mean"], 0)
    assert close(state["running_var"], 1)


def test_batch_normalization_in_training(compute):
    x = torch.arange(1.0, 17).view(2, 2, 2, 2) / 10
    weights = {"weight": [0.5, 0.5], "bias": [0, 0]}
    y, gradients, state = compute("BatchNormalization", x, weights, gradient=0.1, training=True)
    half = [-0.66210, -0.54172, -0.42134, -0.30096]
    torch.testing.assert_close(
        y.flatten()[:9], torch.tensor([*half, *half, 0.30096]).double(), atol=1e-4, rtol=0
    )
    assert close(gradients["x"], 0)
    assert close(gradients["bias"], 0.8)
    assert close(state["running_mean"], [0.065, 0.105])
    torch.testing.assert_close(
        state["running_var"], torch.tensor([0.9197, 0.9197]).double(), atol=1e-4, rtol=0
    )


def test_a_gaussian_has_means_first_and_deviations_above_zero(compute):
    x = torch.tensor([[-1.0, 2, -3, 0]])
    y, _, _ = compute("MultivariateGaussian, meanActivation: tanh, stdevActivation: SOFTPLUS", x)
    assert close(y, [[-0.7615942, 0.9640276, 0.0485874, 0.6931472]])


@pytest.mark.parametrize(
    ("module", "bound"),
    [
        ("Linear, output: 50", 24**-0.5),
        ("Convolution, noOutputPlanes: 50, kernelWidth: 2, kernelHeight: 3", (2 * 2 * 3) ** -0.5),
    ],
)
def test_first_weights_are_uniform_within_the_fan_in(compute, module, bound):
    _, _, state = compute(module, torch.zeros(1, 2, 3, 4))
    values = torch.cat([state["weight"].flatten(), state["bias"].flatten()]).detach()
    assert values.abs().max() <= bound
    assert values.abs().max() > 0.95 * bound
    assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_dropout_keeps_the_mean_in_training_and_everything_in_evaluation(compute):
    x = torch.ones(1, 10_000)
    torch.manual_seed(1)
    y, _, _ = compute("Dropout, rate: 0.25", x, training=True)
    assert sorted({round(value, 6) for value in y.flatten().tolist()}) == [0, 1.333333]
    assert y.mean().item() == pytest.approx(1, abs=0.02)
    assert close(compute("Dropout, rate: 0.25", x)[0], x)
