"""The networks that ship: every file is right, and the main ones are what they are said to be."""

import pytest
import torch

import dianne
from dianne.network.file import read
from dianne.workspace import shipped

FILES = sorted(shipped("networks").rglob("*.yaml"))
# Blocks have sizes that must be given, and inputs whose shape is that of what comes in.
BLOCKS = {
    "ConvLayer": ("noOutputPlanes: 4, kernelWidth: 3, kernelHeight: 3", (3, 8, 8)),
    "Fractal-3": ("noInputPlanes: 3, noOutputPlanes: 3", (3, 8, 8)),
    "GRUCell": ("output: 4", (3,)),
    "Inception_v1": ("1x1: 2, 3x3reduce: 2, 3x3: 3, 5x5reduce: 2, 5x5: 3, poolproj: 2", (3, 8, 8)),
    "Inception_v2": ("1x1: 2, 3x3reduce: 2, 3x3: 3, 5x5reduce: 2, 5x5: 3, poolproj: 2", (3, 8, 8)),
    "LSTMCell": ("output: 4", (3,)),
    "Residual": ("noInputPlanes: 3, noOutputPlanes: 5", (3, 8, 8)),
    "Residual_b": ("noInputPlanes: 3, noFilters: 2, noOutputPlanes: 5", (3, 8, 8)),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """An empty workspace, in which only what ships is found."""
    return dianne.Workspace(tmp_path_factory.mktemp("workspace"))


def weights(network):
    return sum(row.weights for row in network.rows())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_resolves_and_runs(workspace, describe, path):
    file = read(path)
    assert file.document.problems == []
    assert file.description.endswith(".")
    if None in file.parameters.values():
        keys, shape = BLOCKS[path.stem]
        network = describe(
            f"modules:\n  x: {{type: Input, shape: {list(shape)}}}\n  block: {{type: {path.stem}, {keys}}}\n"
            "  output: {type: Output}\n"
        )
    else:
        network = workspace.describe(path.stem)
    graph = network.build(1).eval()
    time = (2,) if graph.recurrent else ()
    results = graph(*(torch.rand(3, *time, *shape) for shape in network.inputs.values()))
    results = results if isinstance(results, tuple) else (results,)
    assert [tuple(result.shape) for result in results] == [(3, *time, *s) for s in network.outputs.values()]
    assert all(result.isfinite().all() for result in results)


def test_no_two_files_declare_one_name():
    assert len({path.stem for path in FILES}) == len(FILES)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "count"),
    [
        ("Encoder", {"image": (1, 28, 28)}, {"output": (4,)}, 785 * 512 + 2 * 513 * 512 + 513 * 4),
        ("Decoder", {"latent": (2,)}, {"output": (28, 28)}, 3 * 512 + 2 * 513 * 512 + 513 * 784),
        ("MLP", {"image": (1, 28, 28)}, {"output": (10,)}, 785 * 50 + 51 * 10),
        (
            "LeNet5",
            {"image": (1, 28, 28)},
            {"output": (10,)},
            (25 + 1) * 32 + (25 * 32 + 1) * 64 + (64 * 7 * 7 + 1) * 1024 + 1025 * 10,
        ),
    ],
)
def test_the_main_networks_have_their_shapes_and_weights(workspace, name, inputs, outputs, count):
    network = workspace.describe(name)
    assert (network.inputs, network.outputs) == (inputs, outputs)
    assert weights(network) == count
    assert sum(weight.numel() for weight in network.build(1).parameters()) == count


def test_more_latent_dimensions_reshape_encoder_and_decoder(workspace):
    encoder, decoder = (workspace.describe(name, latentDims=10) for name in ("Encoder", "Decoder"))
    assert (encoder.outputs, decoder.inputs) == ({"output": (20,)}, {"latent": (10,)})
    assert weights(encoder) == weights(workspace.describe("Encoder")) + 16 * 513
    assert weights(decoder) == weights(workspace.describe("Decoder")) + 8 * 512


def test_an_encoder_gives_deviations_above_zero_and_a_decoder_values_between_zero_and_one(workspace):
    mean, deviation = workspace.describe("Encoder").build(1)(10 * torch.randn(50, 1, 28, 28)).chunk(2, dim=1)
    assert deviation.min() > 0
    assert mean.min() < 0
    images = workspace.describe("Decoder").build(1)(10 * torch.randn(50, 2))
    assert 0 < images.min() < 0.5 < images.max() < 1


@pytest.mark.parametrize("name", ["MLP", "LeNet5"])
def test_a_classifier_gives_log_probabilities_of_as_many_classes_as_asked_for(workspace, name):
    network = workspace.describe(name, classes=7)
    probabilities = network.build(1)(torch.rand(5, 1, 28, 28)).exp()
    assert probabilities.shape == (5, 7)
    assert torch.allclose(probabilities.sum(1), torch.ones(5))
