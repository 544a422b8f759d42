"""What cannot be brought in, and how that is said: all of it at once, before anything is written."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx_models import IMAGE, ints, model, node, put, values

import dianne
from dianne.errors import DianneError
from dianne.interop.formats import ImportOptions
from dianne.interop.onnx import read
from dianne.interop.onnx.read import import_onnx

W = values(4, 3)


def refusal(folder: Path, made: onnx.ModelProto | bytes, **options) -> str:
    """What a model is refused with; nothing is written."""
    path = put(folder, made)
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(folder).import_(path, **options)
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".bin") == ["net.onnx"]
    return str(refused.value).replace(f"{folder}/", "")


def test_all_that_has_no_module_is_named_at_once(tmp_path):
    made = model(
        node("Gemm", "x w", "a", transB=1),
        node("Sin", "a", "b"),
        node("Relu", "b", "c"),
        node("Hardmax", "a", "d"),
        node("Magic", "a", "e", domain="custom"),
        node("MatMul", "a a", "f"),
        node("Exp", "a", "g"),
        node("Concat", "c d e f g", "y", axis=1),
        weights={"w": W},
    )
    assert refusal(tmp_path, made) == (
        "net.onnx: 5 problems\n"
        "  node 'Sin_b' (Sin): there is no module for this operator\n"
        "  node 'Hardmax_d' (Hardmax): there is no module for this operator\n"
        "  node 'Magic_e' (Magic): is of the domain 'custom', which is not ONNX's own\n"
        "  node 'MatMul_f' (MatMul): there is no module that multiplies results as matrices\n"
        "  node 'Concat_y' (Concat): there is no module for what Exp is part of"
    )


@pytest.mark.parametrize(
    ("nodes", "rest", "message"),
    [
        ([node("Div", "x x", "y")], {}, "there is no module that divides results by one another"),
        (
            [node("Gemm", "x w", "y", transA=1)],
            {"weights": {"w": W}},
            "multiplies samples of [3] with [4, 3]",
        ),
        ([node("Flatten", "x", "y", axis=2)], {"x": IMAGE}, "mixes the batch with other dimensions"),
        (
            [node("Reshape", "x t", "y")],
            {"x": IMAGE, "weights": {"t": ints(2, -1)}},
            "mixes the batch with other dimensions",
        ),
        ([node("ReduceMean", "x", "y", axes=[0])], {}, "works along the batch"),
        ([node("Concat", "x x", "y", axis=0)], {}, "works along the batch"),
        ([node("Slice", "x", "y", starts=[0], ends=[1], axes=[0])], {"opset": 9}, "works along the batch"),
        (
            [node("Slice", "x a b c d", "y")],
            {"weights": {"a": ints(0), "b": ints(3), "c": ints(1), "d": ints(2)}},
            "takes values in steps of 2",
        ),
        (
            [node("Gather", "x i", "y", axis=1)],
            {"weights": {"i": ints(2, 0)}},
            "takes values that are no neighbours",
        ),
        (
            [node("GRU", "x w r", "y", hidden_size=4)],
            {"x": [5, "n", 3], "weights": {"w": values(1, 12, 3), "r": values(1, 12, 4)}},
            "resets before it multiplies (linear_before_reset is 0)",
        ),
        (
            [node("RNN", "x w r", "y", hidden_size=4, direction="reverse")],
            {"x": [5, "n", 3], "weights": {"w": values(1, 4, 3), "r": values(1, 4, 4)}},
            "runs backwards in time only",
        ),
        (
            [node("Resize", "x _ s", "y", mode="cubic")],
            {"x": IMAGE, "weights": {"s": np.float32([1, 1, 2, 2])}},
            "there is no module for the mode 'cubic' with 'half_pixel'",
        ),
        (
            [node("MaxPool", "x", "y i", kernel_shape=[2, 2])],
            {"x": IMAGE, "gives": "y i"},
            "more than its first result is taken",
        ),
        (
            [node("Pad", "x", "y", pads=[0, 10**9, 0, 0])],
            {"opset": 9},
            "gives 1,000,000,003 values for each sample; at most 268,435,456 are possible",
        ),
        (
            [node("Tile", "x n", "y")],
            {"weights": {"n": ints(1, 2)}},
            "there is no module that repeats values",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_node_that_means_something_else_is_named(tmp_path, nodes, rest, message):
    name = f"node '{nodes[0].name}' ({nodes[0].op_type})"
    assert refusal(tmp_path, model(*nodes, **rest)) == f"net.onnx: 1 problem\n  {name}: {message}"


def test_inputs_of_unknown_shape_are_named_and_can_be_said(tmp_path):
    made = model(node("Conv", "x k", "y"), x=["n", 2, "height", None], weights={"k": values(4, 2, 3, 3)})
    assert refusal(tmp_path, made) == (
        "net.onnx: 1 problem\n  input 'x': the extent of height, dimension 3 is not known; "
        "give the shape of a sample, such as shape=1,28,28"
    )
    assert refusal(tmp_path, made, shape="3,6,7") == (
        "net.onnx: 1 problem\n  input 'x': takes samples of [2, height, dimension 3], not of [3, 6, 7]"
    )
    (arrived,) = dianne.Workspace(tmp_path).import_(tmp_path / "net.onnx", shape="2,6,7")
    assert arrived.notes[0].startswith("differs by ")


def test_several_inputs_of_unknown_shape_take_theirs_in_order(tmp_path):
    made = model(
        node("Concat", "state action", "y", axis=1),
        x={"state": ["n", "s"], "action": ["n", "a"], "x": ["n", 3]},
    )
    assert refusal(tmp_path, made) == (
        "net.onnx: 2 problems\n"
        "  input 'state': the extent of s is not known; give the shape of a sample, such as "
        "shapes=1,28,28;10, one for each input\n"
        "  input 'action': the extent of a is not known; give the shape of a sample, such as "
        "shapes=1,28,28;10, one for each input"
    )
    assert refusal(tmp_path, made, shape="20") == (
        "net.onnx: has 3 inputs (state, action, x), and 1 shape was given"
    )
    assert refusal(tmp_path, made, shapes="20;7;4") == (
        "net.onnx: 1 problem\n  input 'x': takes samples of [3], not of [4]"
    )
    (arrived,) = dianne.Workspace(tmp_path).import_(tmp_path / "net.onnx", shapes="20;7;3")
    assert arrived.notes[0].startswith("differs by ")
    described = dianne.Workspace(tmp_path).describe("Net")
    assert described.inputs == {"state": (20,), "action": (7,), "x": (3,)}


def test_a_shape_that_a_file_contradicts_is_refused(tmp_path):
    made = model(node("Relu", "x", "y"))
    assert refusal(tmp_path, made, shape="4") == (
        "net.onnx: 1 problem\n  input 'x': takes samples of [3], not of [4]"
    )
    assert refusal(tmp_path, made, shapes="3;4") == "net.onnx: has 1 input (x), and 2 shapes were given"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (b"", "net.onnx: is no ONNX file: there is no graph in it"),
        (b"not at all", "net.onnx: is no ONNX file, or a part of one: it cannot be parsed"),
        (
            model(node("Gemm", "x w", "y", transB=1), weights={"w": W}).SerializeToString()[:-40],
            "net.onnx: is no ONNX file, or a part of one: it cannot be parsed",
        ),
        (
            model(node("Relu", "a", "y"), node("Relu", "y", "a")),
            "net.onnx: is no valid ONNX: Nodes in a graph must be topologically sorted, however input 'a'",
        ),
        (
            model(node("Relu", "x", "y", alpha=1.0)),
            "net.onnx: is no valid ONNX: Unrecognized attribute: alpha for operator Relu",
        ),
    ],
    ids=["empty", "garbage", "truncated", "cyclic", "wrong attribute"],
)
def test_a_spoilt_file_is_refused(tmp_path, made, message):
    assert refusal(tmp_path, made).startswith(message)


def stored_outside(location, **told):
    made = model(node("Gemm", "x w", "y", transB=1), weights={"w": W})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **told}.items():
        tensor.external_data.add(key=key, value=str(value))
    return made


def test_weights_in_a_file_beside_the_model_are_read(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"1234" + W.tobytes())
    path = put(tmp_path, stored_outside("w.bin", offset=4, length=48))
    (incoming,) = import_onnx(path, ImportOptions())
    assert np.array_equal(incoming.weights["imported"]["gemm_y.weight"].numpy(), W)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "", ".", "link.bin"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path, location):
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.bin").symlink_to(tmp_path / "w.bin")
    assert refusal(inside, stored_outside(location)) == (
        f"net.onnx: the values of 'w' are said to be in '{location}', which is outside of the file's own "
        "folder; nothing was read"
    )


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"offset": 40}, ", at 40 to 88, but that has 48 bytes"),
        ({"offset": -8}, ", at -8 to 40, but that has 48 bytes"),
        ({"offset": "x"}, ", at a place that is no number"),
        ({"length": 10**15}, ", at 0 to 1,000,000,000,000,000, but that has 48 bytes"),
    ],
)
def test_weights_beyond_the_end_of_a_file_are_refused(tmp_path, told, message):
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    told = {"length": 48, **told}
    expected = f"net.onnx: the values of 'w' are said to be in 'w.bin'{message}"
    assert refusal(tmp_path, stored_outside("w.bin", **told)) == expected


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([4, 4], "is no valid ONNX: TensorProto (tensor name: w) raw_data size (48 bytes) is too small"),
        ([2**40, 2**40], "is no valid ONNX: Tensor dimension product overflow (tensor name: w)"),
        ([-4, 3], "is no valid ONNX: Negative dimension value (tensor name: w)"),
    ],
)
def test_weights_of_absurd_shapes_are_refused(tmp_path, dims, message):
    made = model(node("Gemm", "x w", "y", transB=1), weights={"w": W})
    made.graph.initializer[0].dims[:] = dims
    assert message in refusal(tmp_path, made)


def test_absurd_inputs_are_refused(tmp_path):
    made = model(node("Relu", "x", "y"), x=["n", 2**40, 2**40])
    assert refusal(tmp_path, made).startswith("net.onnx: 1 problem\n  input 'x': ")


def test_constants_that_grow_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MOST_VALUES", 100_000)
    doubling = [node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)]
    made = model(*doubling, node("Add", "x c40", "y"), weights={"c0": ints(1, 2, 3)})
    assert "constant values, which is too many" in refusal(tmp_path, made)
    filled = model(
        node("ConstantOfShape", "s", "c"), node("Add", "c c", "d"), node("Add", "x d", "y"),
        weights={"s": ints(10**6, 10**6)},
    )  # fmt: skip
    assert "makes 1,000,000,000,000 constant values, which is too many" in refusal(tmp_path, filled)


def test_loops_and_branches_are_named_and_not_run(tmp_path):
    branch = helper.make_graph(
        [node("Relu", "x", "z")], "b", [], [helper.make_tensor_value_info("z", 1, ["n", 3])]
    )
    made = model(node("If", "c", "y", then_branch=branch, else_branch=branch), weights={"c": np.array(True)})
    assert refusal(tmp_path, made) == (
        "net.onnx: 1 problem\n  node 'If_y' (If): computes with constants in a way that is not known here"
    )


def test_without_the_extra_its_name_is_said(tmp_path, monkeypatch):
    path = put(tmp_path, model(node("Relu", "x", "y")))
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(DianneError) as refused:
        import_onnx(path, ImportOptions())
    assert str(refused.value) == "needs onnx: pip install 'dianne[onnx]'"


def test_without_onnxruntime_a_model_comes_in_and_that_is_said(tmp_path, monkeypatch):
    path = put(tmp_path, model(node("Relu", "x", "y")))
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (incoming,) = import_onnx(path, ImportOptions())
    assert incoming.notes == ["not compared: needs onnxruntime: pip install 'dianne[onnx]'"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_with_some_bytes_changed_is_read_or_refused(data):
    """Nothing else is raised, and nothing hangs."""
    content = bytearray(model(node("Conv", "x k", "a", pads=[1, 1, 1, 1]), node("Relu", "a", "y"), x=IMAGE,
                              weights={"k": values(2, 2, 3, 3)}).SerializeToString())  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder, suppress(DianneError):
        import_onnx(put(Path(folder), bytes(content)), ImportOptions())
