"""What goes to DIANNE comes back as it was."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from zoo import ALL, network, results, samples, stored

import dianne
from dianne.errors import ConfigError

TIME = "x: {type: Input, shape: [4, 2]}"
ALONE = {  # types that DIANNE has no counterpart for
    "GELU", "SiLU", "LSTM", "GRU", "LayerNorm", "Embedding", "MultiheadAttention", "Affine", "Permute",
    "network CharLSTM",
}  # fmt: skip


@pytest.mark.parametrize("which", [which for which in ALL if which not in ALONE])
def test_a_network_comes_back_with_the_same_results_and_the_same_bytes(tmp_path: Path, which: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    found = network(here, which)
    graph = stored(here, found)
    workspace = dianne.Workspace(here)
    first = workspace.export(found.name, "dianne", tag="t", out=str(tmp_path / "first"))
    (arrived,) = dianne.Workspace(there).import_(first, name="Back", tag="t")
    assert arrived.notes == []
    assert arrived.name == "Back"
    given = samples(found, graph)
    if arrived.tags:
        back = dianne.Workspace(there).deploy("Back", "t").module
        assert back.inputs == dict(zip(back.inputs, found.inputs.values(), strict=True))
    else:
        assert not list(graph.parameters())
        back = dianne.Workspace(there).describe("Back").build(0).eval()
    for one, other in zip(results(graph, given), results(back, given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    if arrived.tags:
        second = dianne.Workspace(there).export("Back", "dianne", tag="t", out=str(tmp_path / "second"))
        assert {p.name: p.read_bytes() for p in first.iterdir()} == {
            p.name: p.read_bytes() for p in second.iterdir()
        }


@pytest.mark.parametrize("which", sorted(ALONE))
def test_what_dianne_has_no_counterpart_for_is_refused_with_its_line(tmp_path: Path, which: str) -> None:
    found = network(tmp_path, which)
    stored(tmp_path, found)
    with pytest.raises(ConfigError) as refused:
        dianne.Workspace(tmp_path).export(found.name, "dianne", tag="t", out=str(tmp_path / "out"))
    first, *lines = str(refused.value).split("\n")
    count = len(lines)
    assert first == f"{found.name} cannot be written for DIANNE: {count} problem{'s' if count > 1 else ''}"
    kinds = [which] if count == 1 else ["LSTM", "torch.nn.Linear", "torch.nn.LogSoftmax"]
    for line, kind in zip(lines, kinds, strict=True):
        assert re.fullmatch(
            rf"  {found.name} \(stored\):\d+:3: \w+ \({re.escape(kind)}\): DIANNE has no such type", line
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((TIME, "m: {type: FullConvolution, noOutputPlanes: 2, kernelWidth: 2}"),
         "m (FullConvolution): DIANNE has it in two and three dimensions only"),
        ((TIME, "m: {type: Convolution, noOutputPlanes: 2, kernelWidth: 3, padX: 1}"),
         "m (Convolution): DIANNE pads nothing in one dimension"),
        (("x: {type: Input, shape: [2]}", "y: {type: Output, labels: ['a, b', c]}"),
         "y: DIANNE cannot have the label 'a, b'"),
    ],
)  # fmt: skip
def test_what_dianne_does_otherwise_is_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    ending = () if "{type: Output," in rows[-1] else ("y: {type: Output}",)
    path = tmp_path / "networks" / "Mine.yaml"
    path.parent.mkdir()
    path.write_text("modules:\n" + "".join(f"  {row}\n" for row in (*rows, *ending)))
    stored(tmp_path, dianne.Workspace(tmp_path).describe("Mine"))
    with pytest.raises(ConfigError) as refused:
        dianne.Workspace(tmp_path).export("Mine", "dianne", tag="t", out=str(tmp_path / "out"))
    assert str(refused.value).endswith(f":3: {message}")


def test_labels_of_the_data_go_along_if_dianne_can_have_them(tmp_path: Path) -> None:
    found = network(tmp_path, "Linear")
    stored(tmp_path, found)
    store = dianne.Workspace(tmp_path).store
    manifest = store.manifest("Mine", "t")
    for tag, labels in (("good", ["cat", "dog", "bird"]), ("odd", ["[", "dog", "bird"])):
        store.put(tag, replace(manifest, labels=labels), store.weights(manifest))
        out = dianne.Workspace(tmp_path).export("Mine", "dianne", tag=tag, out=str(tmp_path / tag))
        dianne.Workspace(tmp_path / "there").import_(out, name=f"Mine-{tag}")
    there = dianne.Workspace(tmp_path / "there").store
    assert there.manifest("Mine-good", "good").labels == ["cat", "dog", "bird"]
    assert there.manifest("Mine-odd", "odd").labels is None


def test_time_and_forks_are_written_so_that_dianne_computes_the_same(tmp_path: Path) -> None:
    path = tmp_path / "networks" / "Mine.yaml"
    path.parent.mkdir()
    path.write_text(
        "modules:\n  x: {type: Input, shape: [6, 2]}\n"
        "  conv: {type: Convolution, noOutputPlanes: 3, kernelWidth: 2}\n"
        "  mean: {type: AvgPooling, width: 2, strideX: 1}\n"  # DIANNE pools over the last dimension
        "  flat: {type: Linear, output: 4}\n"  # and takes the first of two dimensions for a batch
        "  parts: {type: Split, parts: 2}\n"
        "  twice: {type: Multiply, after: [parts.1, parts.1]}\n"
        "  joined: {type: Concat, after: [twice, flat, parts.1]}\n"
        "  act: {type: ConvLayer, noOutputPlanes: 2, kernelWidth: 1, activation: GELU, after: mean}\n"
        "  y: {type: Output, after: joined}\n"
    )
    found = dianne.Workspace(tmp_path).describe("Mine")
    stored(tmp_path, found)
    with pytest.raises(ConfigError, match=r"activation \(GELU\): DIANNE has no such type"):
        dianne.Workspace(tmp_path).export("Mine", "dianne", tag="t", out=str(tmp_path / "out"))
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "GELU" not in line))
    found = dianne.Workspace(tmp_path).describe("Mine")
    graph = stored(tmp_path, found)
    out = dianne.Workspace(tmp_path).export("Mine", "dianne", tag="t", out=str(tmp_path / "out"))
    dianne.Workspace(tmp_path / "there").import_(out, tag="t")
    back = dianne.Workspace(tmp_path / "there").deploy("Mine", "t").module
    given = samples(found, graph)
    torch.testing.assert_close(results(back, given)[0], results(graph, given)[0])
    types = [module["type"] for module in json.loads((out / "modules.txt").read_text())["modules"].values()]
    assert types.count("Reshape") == 3
    assert types.count("Split") == 1
    assert types.count("Duplicate") == 4
