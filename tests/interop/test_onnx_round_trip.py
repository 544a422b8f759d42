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
from zoo import SHIPPED, TYPES, network, results, samples, stored, text_of

import dianne
from dianne.errors import DianneError
from dianne.interop.onnx import write
from dianne.store import Manifest

REFUSED = {
    "GaussianSampler": "m (GaussianSampler) draws random numbers, so nothing can be compared",
}
STEPWISE = {"Memory"}
OVER_TIME = {"LSTM", "GRU", "LayerNorm", "MultiheadAttention"}
APART = {*REFUSED, *STEPWISE, *OVER_TIME, "Embedding"}  # the others fit into one network


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def together(folder, types):
    """The networks of several types side by side in one, their modules named after the types."""
    modules = {}
    for kind in types:
        prefix = f"{kind}_"
        before = ""
        for name, entry in yaml.safe_load(text_of(kind))["modules"].items():
            after = entry.get("after", before)
            renamed = [prefix + ref for ref in (after if isinstance(after, list) else [after])]
            modules[prefix + name] = {**entry, **({} if entry["type"] == "Input" else {"after": renamed})}
            before = name
    path = folder / "networks" / "Mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"modules": modules}))
    return dianne.Workspace(folder).describe("Mine")


def export(folder, name="Mine", tag="t"):
    """The file of a stored network, and what the command says of it."""
    said: list[str] = []
    path = dianne.Workspace(folder).export(name, "onnx", tag=tag, out=str(folder / "out.onnx"))
    return path, said


# ------------------------------------------------------------------------------------------------------ out


def test_every_type_that_has_no_state_leaves_in_one_network(tmp_path):
    stored(tmp_path, together(tmp_path, [kind for kind in TYPES if kind not in APART]))
    path, _ = export(tmp_path)
    made = onnx.load(path)
    onnx.checker.check_model(made)
    assert {end.type.tensor_type.shape.dim[0].dim_param for end in made.graph.input} == {"batch"}


def test_layers_over_sequences_leave_with_any_number_of_steps(tmp_path):
    stored(tmp_path, together(tmp_path, ["LSTM", "GRU"]))
    path, _ = export(tmp_path)
    made = onnx.load(path)
    for end in made.graph.input:
        assert [size.dim_param or size.dim_value for size in end.type.tensor_type.shape.dim][:2] == [
            "batch",
            "time",
        ]


@pytest.mark.parametrize("kind", ["LayerNorm", "MultiheadAttention", "Embedding"])
def test_other_types_leave_too(tmp_path, kind):
    stored(tmp_path, network(tmp_path, kind))
    assert export(tmp_path)[0].is_file()


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
    path, _ = export(tmp_path)
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


def test_a_file_says_where_it_comes_from(tmp_path):
    found = network(tmp_path, "ReLU")
    stored(tmp_path, found)
    workspace = dianne.Workspace(tmp_path)
    before = workspace.store.manifest("Mine", "t")
    labels = [f"class {n}" for n in range(6)]
    workspace.store.put("t", Manifest("Mine", before.text, {}, labels=labels), {})
    path, _ = export(tmp_path)
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
    with pytest.raises(
        DianneError, match=r"^Mine:t: y differs by .* from onnxruntime, more than 1e-05; nothing was"
    ):
        export(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name not in ("networks", "models")] == []


def test_without_the_extra_its_name_is_said(tmp_path, monkeypatch):
    stored(tmp_path, network(tmp_path, "ReLU"))
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(DianneError) as refused:
        export(tmp_path)
    assert str(refused.value) == "needs onnxscript: pip install 'dianne[onnx]'"


# ------------------------------------------------------------------------------------------ there and back


@pytest.mark.parametrize("name", SHIPPED)
def test_a_network_that_ships_comes_back(tmp_path, name):
    here = tmp_path / "here"
    found = network(here, f"network {name}")
    graph = stored(here, found)
    path, _ = export(here, found.name)
    back, _, note = brought_in(tmp_path / "there", path, name="Back")
    assert note.startswith("differs by ")
    assert list(back.inputs)[: len(found.inputs)] == list(found.inputs)
    if graph.recurrent:
        return  # it came back as one step, which was compared
    given = samples(found, graph)
    for one, other in zip(results(graph, given), results(back, given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


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
    nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(1)
)  # fmt: skip
IMAGES, SEQUENCES = (2, 6, 6), (5, 3)
MODELS = {
    "cnn": (CNN, IMAGES, "Conv2d" if False else "Convolution LeakyReLU AvgPooling Reshape Linear Softmax"),
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
