"""What goes to DIANNE comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from zoo import ALL, network, results, samples, stored

import dianne

ALONE = {  # types that DIANNE has no counterpart for
    "GELU", "SiLU", "LSTM", "GRU", "LayerNorm", "Embedding", "MultiheadAttention", "network CharLSTM",
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
