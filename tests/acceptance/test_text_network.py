"""A small network over text, with a layer of torch by its dotted name."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from command import Run

TOKENS, LENGTH = 5, 4
NETWORK = f"""
description: Which token comes last, from all tokens of a text.
parameters: {{features: 16}}
modules:
  tokens: {{type: Input, shape: [{LENGTH}]}}
  embed: {{type: Embedding, entries: {TOKENS}, output: "${{features}}"}}
  layer: {{type: torch.nn.TransformerEncoderLayer, d_model: "${{features}}", nhead: 2, dim_feedforward: 32}}
  scores: {{type: Linear, output: {TOKENS}}}
  classes: {{type: LogSoftmax}}
  output: {{type: Output}}
"""
DATASET = f"""
type: IDX
labels: [{", ".join(map(str, range(TOKENS)))}]
inputs: [texts.idx]
targets: [last.idx]
parts: {{train: "0:1500", test: "1500:2000"}}
"""


def write_idx(path: Path, values: np.ndarray, code: int, kind: str) -> None:
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    path.write_bytes(header + values.astype(kind).tobytes())


def test_a_transformer_layer_by_name_learns_which_token_comes_last(run: Run, folder: Path) -> None:
    for kind in ("networks", "datasets"):
        (folder / kind).mkdir()
    texts = np.random.default_rng(1).integers(0, TOKENS, (2000, LENGTH))
    write_idx(folder / "datasets" / "texts.idx", texts, 0x0C, ">i4")
    write_idx(folder / "datasets" / "last.idx", texts[:, -1], 0x08, ">u1")
    (folder / "networks" / "Reader.yaml").write_text(NETWORK)
    (folder / "datasets" / "Texts.yaml").write_text(DATASET)

    run("dianne learn Reader Texts tag=t maxIterations=200 batchSize=32 learningRate=0.01 seed=1")
    metrics = json.loads(run("dianne evaluate Reader Texts tag=t --json").stdout)["metrics"]
    assert metrics["accuracy"] > 0.9  # chance is 0.2

    run("dianne deploy Reader tag=t")
    log_probabilities = json.loads(run("dianne forward Reader input=0,1,2,3 --json").stdout)
    assert int(np.argmax(log_probabilities)) == 3
