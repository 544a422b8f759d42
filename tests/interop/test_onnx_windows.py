"""Convolution and pooling with any padding, stride and dilation: as onnxruntime, or refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import model, node, put, values

from dianne.interop.formats import ImportOptions
from dianne.interop.onnx.read import import_onnx

EXAMPLES = settings(max_examples=30, deadline=None)


@st.composite
def windows(draw, axes, pooling=False):
    """The attributes of a window of up to three cells, the extents that it meets, and the version."""
    sizes = st.lists(st.integers(1, 3), min_size=axes, max_size=axes)
    kernel = draw(sizes)
    found = {"kernel_shape": kernel, "strides": draw(sizes)}
    if not pooling:
        found["dilations"] = draw(st.lists(st.integers(1, 2), min_size=axes, max_size=axes))
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        # A pad as large as the window would have windows of nothing but padding.
        most = kernel * 2 if not pooling else [k - 1 for k in kernel] * 2
        found["pads"] = [draw(st.integers(0, most_of_it)) for most_of_it in most]
    else:
        # onnxruntime pads so without dilation only, and not where windows leave gaps.
        found |= {
            "auto_pad": auto,
            "strides": [1 + (s - 1) % k for s, k in zip(found["strides"], kernel, strict=True)],
        }
        found |= {"dilations": [1] * axes} if "dilations" in found else {}
    return found, draw(st.lists(st.integers(5, 8), min_size=axes, max_size=axes))


@st.composite
def images(draw, pooling=False):
    axes = draw(st.integers(1, 3))
    found, extent = draw(windows(axes, pooling))
    return found, ["n", 2, *extent]


def compare(made):
    with tempfile.TemporaryDirectory() as folder:
        (incoming,) = import_onnx(put(Path(folder), made), ImportOptions())
    assert [note.split(" by ")[0] for note in incoming.notes] == ["differs"]


@EXAMPLES
@given(images(), st.sampled_from([1, 2]))
def test_convolution(window, groups):
    found, x = window
    weights = {"k": values(4, 2 // groups, *found["kernel_shape"]), "b": values(4)}
    compare(model(node("Conv", "x k b", "y", group=groups, **found), x=x, weights=weights))


@EXAMPLES
@given(images(pooling=True), st.booleans())
def test_the_largest_of_windows(window, ceil):
    found, x = window
    compare(model(node("MaxPool", "x", "y", ceil_mode=int(ceil), **found), x=x, opset=22))


@EXAMPLES
@given(images(pooling=True), st.booleans(), st.booleans())
def test_the_mean_of_windows(window, ceil, padded):
    found, x = window
    keys = {"ceil_mode": int(ceil), "count_include_pad": int(padded)}
    made = model(node("AveragePool", "x", "y", **keys, **found), x=x, opset=22)
    compare(made)


@EXAMPLES
@given(images(), st.booleans())
def test_transposed_convolution(window, more):
    found, x = window
    found = {key: value for key, value in found.items() if key != "auto_pad"}
    extra = [
        min(stride, dilation) - 1
        for stride, dilation in zip(found["strides"], found["dilations"], strict=True)
    ]
    keys = {"output_padding": extra} if more else {}
    weights = {"k": values(2, 3, *found["kernel_shape"])}
    made = model(node("ConvTranspose", "x k", "y", **keys, **found), x=x, weights=weights)
    compare(made)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("opset", [9, 22])
def test_transposed_convolution_to_a_multiple(auto, opset):
    weights = {"k": values(2, 3, 3, 4)}
    made = node("ConvTranspose", "x k", "y", strides=[2, 3], auto_pad=auto)
    compare(model(made, x=["n", 2, 4, 5], weights=weights, opset=opset))
