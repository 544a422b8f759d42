"""Every operator that has modules: what they are, and that they compute what onnxruntime does."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_models import IMAGE, ints, model, node, same, values, words

W, B = values(4, 3), values(4)
SEQUENCE = ["n", 5, 3]  # time and features
TIME_FIRST = [5, "n", 3]


def recurrent(kind, gates, size=4, directions=1, **keys):
    """A recurrent node on a sequence with time in front, and its weights."""
    weights = {
        "w": values(directions, gates * size, 3),
        "r": values(directions, gates * size, size, seed=2),
        "b": values(directions, 2 * gates * size, seed=3),
    }
    if directions == 2:
        keys["direction"] = "bidirectional"
    return node(kind, "x w r b", keys.pop("gives", "y"), hidden_size=size, **keys), weights


LSTM, LSTM_WEIGHTS = recurrent("LSTM", 4)
GRU, GRU_WEIGHTS = recurrent("GRU", 3, linear_before_reset=1)
BOTH, BOTH_WEIGHTS = recurrent("GRU", 3, directions=2, linear_before_reset=1, gives="s h")
ONE = np.float32(1)
K3 = {"k": values(4, 2, 3, 3)}
K2 = {"k": values(4, 2, 2, 2)}
BN = {"s": values(2), "b": values(2, seed=2), "m": values(2, seed=3), "v": values(2, seed=4) ** 2}

# What is expected, nodes, and the rest of the model.
CASES = {
    "gemm": ("Linear", [node("Gemm", "x w b", "y", transB=1)], {"weights": {"w": W, "b": B}}),
    "gemm as it is": ("Linear", [node("Gemm", "x w b", "y")], {"weights": {"w": W.T.copy(), "b": B}}),
    "gemm scaled": (
        "Linear",
        [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0, transB=1)],
        {"weights": {"w": W, "b": values(1, 4)}},
    ),
    "gemm of one bias": (
        "Linear",
        [node("Gemm", "x w b", "y", transB=1)],
        {"weights": {"w": W, "b": values(1)}},
    ),
    "gemm without bias": ("Linear", [node("Gemm", "x w", "y", transB=1)], {"weights": {"w": W}}),
    "gemm of version 7": (
        "Linear",
        [node("Gemm", "x w b", "y", transB=1)],
        {"weights": {"w": W, "b": B}, "opset": 7},
    ),
    "matmul and add": (
        "Linear",
        [node("MatMul", "x w", "a"), node("Add", "b a", "y")],
        {"weights": {"w": W.T.copy(), "b": B}},
    ),
    "matmul of sequences": (
        "Linear",
        [node("MatMul", "x w", "a"), node("Add", "a b", "y")],
        {"weights": {"w": W.T.copy(), "b": B}, "x": SEQUENCE},
    ),
    "matmul that is taken twice": (
        "Linear Affine Accumulate",
        [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Add", "c a", "y")],
        {"weights": {"w": W.T.copy(), "b": B}},
    ),
    "weights turned and cut": (
        "Linear",
        [
            node("Transpose", "w", "t", perm=[1, 0]),
            node("Slice", "t from to axes", "s"),
            node("MatMul", "x s", "y"),
        ],
        {"weights": {"w": W, "from": ints(1), "to": ints(4), "axes": ints(1)}},
    ),
    # convolutions
    "conv": (
        "Convolution",
        [node("Conv", "x k b", "y", pads=[1, 0, 1, 0])],
        {"weights": {**K3, "b": B}, "x": IMAGE},
    ),
    "conv and add": (
        "Convolution",
        [node("Conv", "x k", "a", strides=[2, 1]), node("Add", "a b", "y")],
        {"weights": {**K3, "b": values(4, 1, 1)}, "x": IMAGE},
    ),
    "conv and add of version 7": (
        "Convolution",
        [node("Conv", "x k", "a"), node("Add", "a b", "y")],
        {"weights": {**K3, "b": values(1, 4, 1, 1)}, "x": IMAGE, "opset": 7},
    ),
    "conv of groups": (
        "Conv2d",
        [node("Conv", "x k b", "y", group=2, dilations=[2, 1], pads=[1, 1, 1, 1])],
        {"weights": {"k": values(4, 1, 3, 3), "b": B}, "x": IMAGE},
    ),
    "conv in one dimension": (
        "Conv1d",
        [node("Conv", "x k", "y", strides=[2])],
        {"weights": {"k": values(4, 2, 3)}, "x": ["n", 2, 9]},
    ),
    "conv in three": (
        "Convolution",
        [node("Conv", "x k", "y", strides=[1, 2, 1], pads=[0, 1, 0, 0, 1, 0])],
        {"weights": {"k": values(4, 2, 2, 3, 2)}, "x": ["n", 2, 4, 5, 6]},
    ),
    "conv with unequal pads": (
        "ConstantPad2d Convolution",
        [node("Conv", "x k", "y", pads=[0, 1, 2, 0])],
        {"weights": K3, "x": IMAGE},
    ),
    "transposed": (
        "FullConvolution",
        [node("ConvTranspose", "x k b", "y", strides=[2, 2], pads=[1, 1, 1, 1])],
        {"weights": {"k": values(2, 4, 3, 3), "b": B}, "x": IMAGE},
    ),
    "transposed with more": (
        "ConvTranspose2d",
        [node("ConvTranspose", "x k", "y", strides=[2, 3], output_padding=[1, 0], group=2)],
        {"weights": {"k": values(2, 2, 3, 3)}, "x": IMAGE},
    ),
    "transposed in one dimension": (
        "ConvTranspose1d",
        [node("ConvTranspose", "x k", "y", strides=[2])],
        {"weights": {"k": values(2, 4, 3)}, "x": ["n", 2, 5]},
    ),
    "transposed with unequal pads": (
        "FullConvolution ConstantPad2d",
        [node("ConvTranspose", "x k", "y", strides=[2, 2], pads=[0, 1, 1, 0])],
        {"weights": {"k": values(2, 4, 3, 3)}, "x": IMAGE},
    ),
    # pooling
    "max pooling": (
        "MaxPooling",
        [node("MaxPool", "x", "y", kernel_shape=[2, 3], strides=[2, 1], pads=[1, 1, 1, 1])],
        {"x": IMAGE, "opset": 7},
    ),
    "max pooling with dilation": (
        "MaxPool2d",
        [node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])],
        {"x": IMAGE},
    ),
    "max pooling in one dimension": (
        "MaxPool1d",
        [node("MaxPool", "x", "y", kernel_shape=[3], strides=[2])],
        {"x": ["n", 2, 9]},
    ),
    "means in one dimension": (
        "AvgPool1d",
        [node("AveragePool", "x", "y", kernel_shape=[3], strides=[2])],
        {"x": ["n", 2, 9]},
    ),
    "means of planes": ("AvgPooling", [node("GlobalAveragePool", "x", "y")], {"x": IMAGE}),
    "largest of planes": ("MaxPooling", [node("GlobalMaxPool", "x", "y")], {"x": IMAGE}),
    "means of lines": ("AdaptiveAvgPool1d", [node("GlobalAveragePool", "x", "y")], {"x": ["n", 2, 9]}),
    "means over places": (
        "AvgPooling Reshape",
        [node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)],
        {"x": IMAGE},
    ),
    "largest over time": (
        "MaxPooling Reshape",
        [node("ReduceMax", "x", "y", axes=[1], keepdims=0)],
        {"x": SEQUENCE},
    ),
    # normalisation
    "batch normalization": (
        "BatchNormalization",
        [node("BatchNormalization", "x s b m v", "y")],
        {"weights": BN, "x": IMAGE},
    ),
    "batch normalization of another epsilon": (
        "BatchNorm2d",
        [node("BatchNormalization", "x s b m v", "y", epsilon=1e-3)],
        {"weights": BN, "x": IMAGE},
    ),
    "batch normalization of version 7": (
        "BatchNormalization",
        [node("BatchNormalization", "x s b m v", "y", spatial=1)],
        {"weights": BN, "x": IMAGE, "opset": 7},
    ),
    "layer normalization": (
        "LayerNorm",
        [node("LayerNormalization", "x s b", "y", epsilon=1e-3)],
        {"weights": {"s": values(3), "b": values(3, seed=2)}, "x": SEQUENCE},
    ),
    "layer normalization of images": (
        "LayerNorm",
        [node("LayerNormalization", "x s", "y", axis=1)],
        {"weights": {"s": values(2, 6, 7)}, "x": IMAGE},
    ),
    "instance normalization": (
        "InstanceNorm2d",
        [node("InstanceNormalization", "x s b", "y")],
        {"weights": {"s": values(2), "b": values(2, seed=2)}, "x": IMAGE},
    ),
    "group normalization": (
        "GroupNorm",
        [node("GroupNormalization", "x s b", "y", num_groups=2)],
        {"weights": {"s": values(4), "b": values(4, seed=2)}, "x": ["n", 4, 3, 3], "opset": 21},
    ),
    "lrn": ("LRN", [node("LRN", "x", "y", size=3, alpha=0.1, beta=0.6, bias=2.0)], {"x": ["n", 5, 3, 3]}),
    # shapes
    "flatten": ("Reshape", [node("Flatten", "x", "y")], {"x": IMAGE}),
    "view as PyTorch 1.0 wrote it": (
        "Reshape",
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n", axis=0),
            node("Unsqueeze", "n", "a", axes=[0]),
            node("Unsqueeze", "minus", "b", axes=[0]),
            node("Concat", "a b", "t", axis=0),
            node("Reshape", "x t", "y"),
        ],
        {"x": IMAGE, "weights": {"zero": np.int64(0), "minus": np.int64(-1)}, "opset": 9},
    ),
    "a shape that is computed": (
        "Reshape",
        [
            node("Shape", "x", "s"),
            node("Gather", "s one", "n", axis=0),
            node("Div", "n two", "h"),
            node("Concat", "all h two", "t", axis=0),
            node("Reshape", "x t", "y"),
        ],
        {"x": ["n", 6], "weights": {"one": ints(1), "two": ints(2), "all": ints(0)}},
    ),
    "a fixed batch": (
        "Reshape",
        [node("Reshape", "x t", "y")],
        {"x": [1, 2, 6, 7], "weights": {"t": ints(1, -1)}},
    ),
    "a fixed batch of ten": (
        "Reshape",
        [node("Reshape", "x t", "y")],
        {"x": [10, 2, 6], "weights": {"t": ints(10, 12)}},
    ),
    "batch left over": (
        "Reshape",
        [node("Reshape", "x t", "y")],
        {"x": IMAGE, "weights": {"t": ints(-1, 7, 12)}},
    ),
    "batch copied": (
        "Reshape",
        [node("Reshape", "x t", "y")],
        {"x": IMAGE, "weights": {"t": ints(0, 0, 42)}},
    ),
    "there and back": (
        "ReLU",
        [node("Unsqueeze", "x a", "u"), node("Squeeze", "u a", "v"), node("Relu", "v", "y")],
        {"weights": {"a": ints(1)}, "x": IMAGE},
    ),
    "squeeze of version 11": (
        "Reshape",
        [node("Squeeze", "x", "y", axes=[1])],
        {"x": ["n", 1, 3], "opset": 11},
    ),
    "planes last": (
        "Permute Convolution Permute",
        [
            node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
            node("Conv", "a k", "b"),
            node("Transpose", "b", "y", perm=[0, 2, 3, 1]),
        ],
        {"x": ["n", 6, 7, 2], "weights": K3},
    ),
    "turned back": (
        "Tanh",
        [
            node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
            node("Transpose", "a", "b", perm=[0, 2, 3, 1]),
            node("Tanh", "b", "y"),
        ],
        {"x": IMAGE},
    ),
    "parts": (
        "Split Concat",
        [node("Split", "x s", "a b", axis=1), node("Concat", "b a", "y", axis=1)],
        {"weights": {"s": ints(1, 2)}},
    ),
    "parts of version 11": (
        "Split Concat",
        [node("Split", "x", "a b", axis=-1, split=[3, 4]), node("Concat", "b a", "y", axis=3)],
        {"x": IMAGE, "opset": 11},
    ),
    "equal parts": (
        "Split Accumulate",
        [node("Split", "x", "a b", axis=2), node("Add", "a b", "y")],
        {"x": IMAGE},
    ),
    "a slice": (
        "Narrow",
        [node("Slice", "x from to axes", "y")],
        {"x": IMAGE, "weights": {"from": ints(1, -5), "to": ints(9, -1), "axes": ints(2, 3)}},
    ),
    "a slice of version 9": (
        "Narrow",
        [node("Slice", "x", "y", starts=[0, 1], ends=[2**31 - 1, 2])],
        {"x": IMAGE, "opset": 9},
    ),
    "one row": (
        "Narrow Reshape",
        [node("Gather", "x i", "y", axis=2)],
        {"x": IMAGE, "weights": {"i": np.int64(-1)}},
    ),
    "neighbours": ("Narrow", [node("Gather", "x i", "y", axis=1)], {"weights": {"i": ints(1, 2)}}),
    "pad": (
        "Zeropad",
        [node("Pad", "x p", "y")],
        {"x": IMAGE, "weights": {"p": ints(0, 0, 2, 1, 0, 0, 2, 1)}},
    ),
    "pad of version 2": (
        "ConstantPad2d",
        [node("Pad", "x", "y", pads=[0, 0, 1, 0, 0, 0, 0, 2], value=0.5)],
        {"x": IMAGE, "opset": 9},
    ),
    "pad some axes": (
        "ConstantPad1d",
        [node("Pad", "x p v axes", "y")],
        {"x": IMAGE, "weights": {"p": ints(1, 2), "v": np.float32(3), "axes": ints(-1)}, "opset": 18},
    ),
    "reflected": (
        "ReflectionPad2d",
        [node("Pad", "x", "y", pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="reflect")],
        {"x": IMAGE, "opset": 10},
    ),
    "edges": (
        "ReplicationPad2d",
        [node("Pad", "x", "y", pads=[0, 0, 1, 2, 0, 0, 0, 1], mode="edge")],
        {"x": IMAGE, "opset": 10},
    ),
    "upsample of version 7": (
        "Upsample",
        [node("Upsample", "x", "y", scales=[1.0, 1.0, 2.0, 1.5])],
        {"x": IMAGE, "opset": 7},
    ),
    "upsample of version 9": (
        "Upsample",
        [node("Upsample", "x s", "y")],
        {"x": IMAGE, "weights": {"s": np.float32([1, 1, 2, 3])}, "opset": 9},
    ),
    "resize": (
        "Upsample",
        [node("Resize", "x _ _ s", "y", mode="linear", coordinate_transformation_mode="half_pixel")],
        {"x": [1, 2, 6, 7], "weights": {"s": ints(1, 2, 9, 5)}},
    ),
    "resize with corners": (
        "Upsample",
        [node("Resize", "x _ s", "y", mode="linear", coordinate_transformation_mode="align_corners")],
        {"x": IMAGE, "weights": {"s": np.float32([1, 1, 2, 2])}},
    ),
    "resize to the nearest": (
        "Upsample",
        [node("Resize", "x _ s", "y", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        {"x": IMAGE, "weights": {"s": np.float32([1, 1, 2, 1.5])}},
    ),
    "pixel shuffle": (
        "PixelShuffle",
        [node("DepthToSpace", "x", "y", blocksize=2, mode="CRD")],
        {"x": ["n", 8, 2, 3]},
    ),
    "embedding": (
        "Embedding",
        [node("Gather", "t x", "y")],
        {"weights": {"t": values(7, 4)}, "x": ["n", 5], "kind": 7},
    ),
    # arithmetic
    "two results": (
        "Tanh Multiply Accumulate",
        [node("Tanh", "x", "a"), node("Mul", "a x", "b"), node("Add", "b x", "y")],
        {},
    ),
    "a difference": ("Tanh Affine Accumulate", [node("Tanh", "x", "a"), node("Sub", "x a", "y")], {}),
    "one minus": ("Invert", [node("Sub", "one x", "y")], {"weights": {"one": ONE}}),
    "normalised": (
        "Affine Affine",
        [node("Sub", "x m", "a"), node("Div", "a s", "y")],
        {"weights": {"m": values(2, 1, 1), "s": values(2, 1, 1) ** 2 + 1}, "x": IMAGE},
    ),
    "scaled and shifted": (
        "Affine",
        [node("Mul", "x s", "a"), node("Add", "a b", "y")],
        {"weights": {"s": values(3), "b": values(3)}},
    ),
    "neutral": ("ReLU", [node("Mul", "x one", "a"), node("Relu", "a", "y")], {"weights": {"one": ONE}}),
    "negated": ("Affine", [node("Neg", "x", "y")], {}),
    "constant minus": ("Affine", [node("Sub", "c x", "y")], {"weights": {"c": values(3)}}),
    "weighed planes": (
        "AvgPooling Sigmoid Upsample Multiply",
        [node("GlobalAveragePool", "x", "p"), node("Sigmoid", "p", "s"), node("Mul", "x s", "y")],
        {"x": IMAGE},
    ),
    "sum of three": ("Tanh Accumulate", [node("Tanh", "x", "a"), node("Sum", "x a a", "y")], {}),
    "mean of two": ("Tanh Average", [node("Tanh", "x", "a"), node("Mean", "x a", "y")], {}),
    "largest of a result and a number": (
        "ReLU",
        [node("Max", "x z", "y")],
        {"weights": {"z": np.float32(0)}},
    ),
    "clip": (
        "Hardtanh",
        [node("Clip", "x a b", "y")],
        {"weights": {"a": np.float32(-0.5), "b": np.float32(0.7)}},
    ),
    "clip of version 6": ("Hardtanh", [node("Clip", "x", "y", min=0.0, max=6.0)], {"opset": 9}),
    "clip below": ("Threshold", [node("Clip", "x a", "y")], {"weights": {"a": np.float32(0.5)}}),
    "clip above": ("Hardtanh", [node("Clip", "x _ a", "y")], {"weights": {"a": np.float32(0.5)}}),
    "dropout": ("Dropout", [node("Dropout", "x", "y", ratio=0.3)], {"opset": 9}),
    "dropout of version 12": ("Dropout", [node("Dropout", "x r", "y")], {"weights": {"r": np.float32(0.3)}}),
    "cast and identity": (
        "ReLU",
        [node("Cast", "x", "a", to=1), node("Identity", "a", "b"), node("Relu", "b", "y")],
        {},
    ),
    "softmax of version 9": (
        "Reshape Softmax Reshape",
        [node("Softmax", "x", "y")],
        {"x": IMAGE, "opset": 9},
    ),
    "softmax of the last": ("Softmax", [node("Softmax", "x", "y")], {"x": IMAGE}),
    "log softmax of planes": ("LogSoftmax", [node("LogSoftmax", "x", "y", axis=1)], {"x": IMAGE}),
    "prelu": ("PReLU", [node("PRelu", "x a", "y")], {"x": IMAGE, "weights": {"a": np.float32([0.3])}}),
    "prelu of planes": (
        "PReLU",
        [node("PRelu", "x a", "y")],
        {"x": IMAGE, "weights": {"a": values(2, 1, 1)}},
    ),
    "hard sigmoid": ("Affine Hardtanh", [node("HardSigmoid", "x", "y")], {}),
    "gelu of three nodes": (
        "GELU",
        [
            node("Div", "x root", "a"),
            node("Erf", "a", "b"),
            node("Add", "b one", "c"),
            node("Mul", "x c", "d"),
            node("Mul", "d half", "y"),
        ],
        {"weights": {"root": np.float32(2**0.5), "one": ONE, "half": np.float32(0.5)}},
    ),
    "gelu the other way": (
        "Linear GELU",
        [
            node("Gemm", "x w", "g"),
            node("Mul", "g root", "a"),
            node("Erf", "a", "b"),
            node("Add", "one b", "c"),
            node("Mul", "g half", "d"),
            node("Mul", "d c", "y"),
        ],
        {"weights": {"w": values(3, 3), "root": np.float32(0.5**0.5), "one": ONE, "half": np.float32(0.5)}},
    ),
    "mish": (
        "SoftPlus Tanh Multiply",
        [node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b", "y")],
        {},
    ),
    "stacked and summed": (
        "Tanh Accumulate",
        [
            node("Tanh", "x", "t"),
            node("Unsqueeze", "x z", "a"),
            node("Unsqueeze", "t z", "b"),
            node("Concat", "a b", "c", axis=0),
            node("ReduceSum", "c z", "y", keepdims=0),
        ],
        {"weights": {"z": ints(0)}},
    ),
    # recurrent layers
    "lstm": ("LSTM Reshape", [LSTM], {"weights": LSTM_WEIGHTS, "x": TIME_FIRST}),
    "lstm from zero": (
        "LSTM",
        [
            node("Transpose", "x", "t", perm=[1, 0, 2]),
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Unsqueeze", "n axis0", "nn"),
            node("Concat", "one nn four", "hs", axis=0),
            node("ConstantOfShape", "hs", "h0"),
            node("LSTM", "t w r b _ h0 h0", "u", hidden_size=4),
            node("Squeeze", "u axis1", "v"),
            node("Transpose", "v", "y", perm=[1, 0, 2]),
        ],
        {
            "weights": {
                **LSTM_WEIGHTS,
                "zero": np.int64(0),
                "axis0": ints(0),
                "one": ints(1),
                "four": ints(4),
                "axis1": ints(1),
            },
            "x": SEQUENCE,
        },
    ),
    "gru with time in front": (
        "GRU",
        [GRU, node("Squeeze", "y", "z", axes=[1])],
        {"weights": GRU_WEIGHTS, "x": [5, 1, 3], "opset": 9, "gives": "z"},
    ),
    "gru both ways, and its state": (
        "GRU",
        [BOTH, node("Transpose", "s", "t", perm=[0, 2, 1, 3]), node("Reshape", "t k", "y")],
        {"weights": {**BOTH_WEIGHTS, "k": ints(0, 0, -1)}, "x": TIME_FIRST, "gives": "y h"},
    ),
    "rnn and its state": (
        "RNN Reshape Narrow",
        [recurrent("RNN", 1, gives="y h")[0]],
        {"weights": recurrent("RNN", 1)[1], "x": TIME_FIRST, "gives": "y h"},
    ),
}
PLAIN = {
    "Relu": "ReLU", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Softplus": "SoftPlus", "Softsign": "Softsign",
    "Elu": "ELU", "Selu": "SELU", "LeakyRelu": "LeakyReLU", "Celu": "CELU", "ThresholdedRelu": "Threshold",
    "HardSwish": "Hardswish", "Mish": "Mish", "Gelu": "GELU",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators_become_modules_that_compute_the_same(tmp_path, name):
    types, nodes, rest = CASES[name]
    assert words(same(tmp_path, model(*nodes, **rest))) == types


def test_activations_become_modules_that_compute_the_same(tmp_path):
    nodes = [node(operator, "x", f"y{place}") for place, operator in enumerate(PLAIN)]
    more = [
        node("Elu", "x", "elu", alpha=0.3), node("LeakyRelu", "x", "leaky", alpha=0.2),
        node("Gelu", "x", "gelu", approximate="tanh"),
        node("HardSigmoid", "x", "hard", alpha=1 / 6, beta=0.5),
        node("ThresholdedRelu", "x", "above", alpha=0.3),
    ]  # fmt: skip
    gives = " ".join(n.output[0] for n in [*nodes, *more])
    found = words(same(tmp_path, model(*nodes, *more, opset=20, gives=gives)))
    assert found == " ".join([*PLAIN.values(), "ELU LeakyReLU GELU Hardsigmoid Threshold"])
