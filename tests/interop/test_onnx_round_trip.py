"""What leaves as ONNX computes the same in onnxruntime, and what comes back computes the same here."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from onnx_models import brought_in, same, words
from torch import nn
from zoo import BLOCKS, SHIPPED, TYPES, network, results, samples, stored, text_of

import dianne
from dianne.errors import DianneError
from dianne.interop.onnx import write
from dianne.store import Manifest

REFUSED = {
    "GaussianSampler": "m (GaussianSampler) draws random numbers, so nothing can be compared",
}
APART = {*REFUSED, "Memory", "LSTM", "GRU"}  # the other types fit into one network
WITH_STATE = ["CharLSTM", "CharRNN", "GRUCell", "LSTMCell"]  # so do the other networks that ship


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def together(folder, texts):
    """Several networks side by side in one, their modules named after them: torch's exporter is slow."""
    modules = {}
    for owner, text in texts.items():
        before = ""
        for name, entry in yaml.safe_load(text)["modules"].items():
            after = entry.get("after", before)
            renamed = [f"{owner}_{ref}" for ref in (after if isinstance(after, list) else [after])]
            modules[f"{owner}_{name}"] = {**entry, **({} if entry["type"] == "Input" else {"after": renamed})}
            before = name
    path = folder / "networks" / "Mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"modules": modules}))
    return dianne.Workspace(folder).describe("Mine")


def as_module(folder, name):
    """The text of a network with one that ships inside."""
    if name in BLOCKS:
        return text_of(name)
    found = network(folder, f"network {name}")
    inputs = {key: {"type": "Input", "shape": list(shape)} for key, shape in found.inputs.items()}
    (_, *more) = found.outputs
    outputs = {"y": {"type": "Output"}, **{key: {"type": "Output", "after": f"m.{key}"} for key in more}}
    return json.dumps({"modules": {**inputs, "m": {"type": name, **found.parameters}, **outputs}})


def export(folder, name="Mine"):
    """The file of a stored network, which onnxruntime was asked about."""
    return dianne.Workspace(folder).export(name, "onnx", tag="t", out=str(folder / "out.onnx"))


def dims(end):
    return [size.dim_param or size.dim_value for size in end.type.tensor_type.shape.dim]


# ------------------------------------------------------------------------------------------------------ out


def test_every_type_that_has_no_state_leaves_in_one_network(tmp_path):
    stored(tmp_path, together(tmp_path, {kind: text_of(kind) for kind in TYPES if kind not in APART}))
    made = onnx.load(export(tmp_path))
    assert {dims(end)[0] for end in made.graph.input} == {"batch"}


def test_a_layer_over_sequences_in_both_directions_leaves(tmp_path):
    stored(tmp_path, network(tmp_path, "GRU"))
    made = onnx.load(export(tmp_path))
    assert [dims(end) for end in (*made.graph.input, *made.graph.output)] == [["batch", 5, 6]] * 2


@pytest.mark.parametrize("kind", REFUSED)
def test_a_type_that_cannot_leave_is_named(tmp_path, kind):
    stored(tmp_path, network(tmp_path, kind))
    with pytest.raises(DianneError) as refused:
        export(tmp_path)
    assert str(refused.value) == f"Mine:t cannot be an ONNX file: {REFUSED[kind]}"
    assert not (tmp_path / "out.onnx").exists()


def test_a_network_with_a_memory_leaves_as_one_step(tmp_path):
    found = network(tmp_path, "network LSTMCell")
    graph = stored(tmp_path, found)
    path = export(tmp_path)
    judge = onnxruntime.InferenceSession(path)
    (sequence,) = samples(found, graph, batch=2)  # (b, time, 6)
    state = {entry.name: np.zeros((2, 4), np.float32) for entry in judge.get_inputs()[1:]}
    assert list(state) == ["m/h", "m/c"]
    names = [end.name for end in judge.get_outputs()]
    steps = []
    for time in range(sequence.shape[1]):
        given = {"x": sequence[:, time].numpy(), **state}
        found_now = dict(zip(names, judge.run(None, given), strict=True))
        steps.append(torch.from_numpy(found_now["y"]))
        state = {key: found_now[f"{key}/next"] for key in state}
    torch.testing.assert_close(torch.stack(steps, dim=1), results(graph, [sequence])[0], atol=1e-5, rtol=1e-5)
    back, _, note = brought_in(tmp_path / "there", path, name="Back")
    assert note.startswith("differs by ")
    assert (back.inputs, back.outputs) == (
        {"x": (6,), "m_h": (4,), "m_c": (4,)},
        ["y", "m_h_next", "m_c_next"],
    )


def test_a_file_says_where_it_comes_from(tmp_path):
    found = network(tmp_path, "ReLU")
    stored(tmp_path, found)
    workspace = dianne.Workspace(tmp_path)
    before = workspace.store.manifest("Mine", "t")
    labels = [f"class {n}" for n in range(6)]
    workspace.store.put("t", Manifest("Mine", before.text, {}, labels=labels), {})
    path = export(tmp_path)
    made = onnx.load(path)
    assert made.graph.name == "Mine"
    assert {entry.key: entry.value for entry in made.metadata_props} == {
        "network": "Mine",
        "tag": "t",
        "weights": workspace.store.manifest("Mine", "t").blob,
        "samples": '{"x": [6]}',
        "labels": json.dumps(labels),
    }
    there = dianne.Workspace(tmp_path / "there")
    there.import_(path)
    assert there.store.manifest("Mine", "imported").labels == labels


def test_a_wrong_file_is_never_left(tmp_path, monkeypatch):
    stored(tmp_path, network(tmp_path, "ReLU"))
    right = write.to_onnx

    def wrong(*given):
        made = right(*given)
        made.graph.node[0].op_type = "Abs"
        return made

    monkeypatch.setattr(write, "to_onnx", wrong)
    with pytest.raises(DianneError, match=r"^Mine:t: y differs by .* from onnxruntime, more than 1e-05"):
        export(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("networks", "models")] == []


def test_without_the_extra_its_name_is_said(tmp_path, monkeypatch):
    stored(tmp_path, network(tmp_path, "ReLU"))
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(DianneError) as refused:
        export(tmp_path)
    assert str(refused.value) == "needs onnxscript: pip install 'dianne[onnx]'"


# ------------------------------------------------------------------------------------------ there and back


def test_networks_that_ship_come_back(tmp_path):
    here = tmp_path / "here"
    names = [name for name in SHIPPED if name not in WITH_STATE]
    found = together(here, {name: as_module(here, name) for name in names})
    graph = stored(here, found)
    back, _, note = brought_in(tmp_path / "there", export(here), name="Back")
    assert note.startswith("differs by ")
    assert (back.inputs, back.outputs) == (found.inputs, list(found.outputs))
    given = samples(found, graph)
    for one, other in zip(results(graph, given), results(back, given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in WITH_STATE if name != "LSTMCell"])
def test_a_network_with_a_state_comes_back(tmp_path, name):
    here = tmp_path / "here"
    found = network(here, f"network {name}")
    graph = stored(here, found)
    path = export(here, found.name)
    back, _, note = brought_in(tmp_path / "there", path, name="Back")
    assert note.startswith("differs by ")
    assert list(back.inputs)[: len(found.inputs)] == list(found.inputs)
    if not graph.recurrent:  # others come back as one step, which was compared
        assert {tuple(dims(end)[:2]) for end in onnx.load(path).graph.output} == {("batch", "time")}
        given = samples(found, graph)
        torch.testing.assert_close(results(graph, given), results(back, given), rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------------------- models of torch


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.scores = nn.Linear(18, 4)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x))) + x
        y = nn.functional.max_pool2d(y, 2)
        return nn.functional.log_softmax(self.scores(y.view(y.size(0), -1)), dim=1)


class Last(nn.Module):
    def __init__(self, kind, **keys):
        super().__init__()
        self.layer = kind(3, 4, batch_first=True, **keys)
        self.scores = nn.Linear(8 if keys.get("bidirectional") else 4, 2)

    def forward(self, x):
        return self.scores(self.layer(x)[0][:, -1])


CNN = nn.Sequential(
    nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(),
    nn.Linear(16, 3), nn.Softmax(1),
)  # fmt: skip
IMAGES, SEQUENCES = (2, 6, 6), (5, 3)
MODELS = {
    "cnn": (CNN, IMAGES, "Convolution LeakyReLU AvgPooling Reshape Linear Softmax"),
    "residual": (Residual(), IMAGES, "Convolution ReLU Accumulate MaxPooling Reshape Linear LogSoftmax"),
    "lstm": (Last(nn.LSTM, num_layers=2), SEQUENCES, "LSTM LSTM Narrow Reshape Linear"),
    "gru": (Last(nn.GRU, bidirectional=True), SEQUENCES, "GRU Narrow Reshape Linear"),
    "rnn": (Last(nn.RNN), SEQUENCES, "RNN Narrow Reshape Linear"),
}


@pytest.mark.filterwarnings("ignore")  # those of the old exporter, which is to go
@pytest.mark.parametrize("opset", [9, 11, 17])
@pytest.mark.parametrize("name", MODELS)
def test_what_torch_wrote_comes_in(tmp_path, name, opset):
    module, shape, types = MODELS[name]
    file = io.BytesIO()
    torch.onnx.export(
        module.eval(), (torch.rand(3, *shape),), file, opset_version=opset, dynamo=False, input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    path.write_bytes(file.getvalue())
    assert words(same(tmp_path, path)) == types


@pytest.mark.filterwarnings("ignore")
def test_names_are_those_of_the_modules_of_torch(tmp_path):
    path = Path(tmp_path / "model.onnx")
    torch.onnx.export(
        Residual().eval(), (torch.rand(3, *IMAGES),), path, dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=True,
    )  # fmt: skip
    brought_in(tmp_path, path)
    names = list(dianne.Workspace(tmp_path).describe("model").modules)
    assert [name for name in names if name in ("conv", "norm", "scores")] == ["norm", "scores"]
