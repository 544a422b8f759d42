"""The JSON Schemas that editors use: they take what is right and refuse what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dianne.cli.check import schema_of
from dianne.document import load, parse
from dianne.network.catalog import MODULES
from dianne.workspace import Folder, shipped

KINDS = ("network", "dataset", "job")
SHIPPED = [
    (kind, path)
    for kind, folder in (("network", "networks"), ("dataset", "datasets"))
    for path in sorted(shipped(folder).rglob("*.yaml"))
]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "networks").mkdir()
    (folder / "networks" / "Wide.yaml").write_text(
        "description: A wide one.\nparameters: {width: null, depth: 2}\n"
        "modules: {x: {type: Input}, y: {type: Output}}\n"
    )
    return {kind: json.loads(json.dumps(schema_of(Folder(folder), kind))) for kind in KINDS}


def faults(schema: dict, text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(schema).iter_errors(parse(text, "text").data)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_one(schemas, kind):
    Draft202012Validator.check_schema(schemas[kind])


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[path.stem for _, path in SHIPPED])
def test_every_file_that_ships_is_valid(schemas, kind, path: Path):
    assert [e.message for e in Draft202012Validator(schemas[kind]).iter_errors(load(path).data)] == []


NETWORK = """
modules:
  x: {type: Input, shape: [3]}
  a: ROW
  y: {type: Output}
"""


@pytest.mark.parametrize(
    "row",
    [
        "{type: Linear, output: 3}",
        '{type: Linear, output: "${2 * hidden}"}',
        '{type: Reshape, shape: ["${n}", 3]}',
        '{type: Dropout, rate: "${rate}"}',
        '{type: ReLU, repeat: "${depth}"}',
        '{type: Convolution, noOutputPlanes: 3, kernelWidth: 3, pad: "${n > 1}"}',
        "{type: torch.nn.Hardtanh, min_val: -2}",
        "{type: 'mine.layers:Gate', width: 3}",
        '{type: "${activation}"}',
        "{type: Wide, width: 3}",
        '{type: Wide, width: "${n}", depth: 1}',
        "{share: b}",
        "{type: Accumulate, after: [x, b.mean]}",
    ],
)
def test_a_right_module_is_valid(schemas, row):
    assert faults(schemas["network"], NETWORK.replace("ROW", row)) == []


@pytest.mark.parametrize(
    "row",
    [
        "{type: Lineer, output: 3}",
        "{type: Linear, output: 3, outputs: 3}",
        "{type: Linear}",
        "{output: 3}",
        "{type: Linear, output: three}",
        "{type: Linear, output: 2.5}",
        "{type: Linear, output: true}",
        "{type: Linear, output: 0}",
        "{type: Linear, output: [3]}",
        "{type: Dropout, rate: 1}",
        "{type: Reshape, shape: [a, 3]}",
        "{type: ReLU, repeat: 0}",
        "{type: ReLU, after: []}",
        "{type: ReLU, after: 3}",
        "{type: Wide}",
        "{type: Wide, width: 3, height: 3}",
        "{type: 3}",
        "Linear",
        "[Linear]",
    ],
)
def test_a_wrong_module_is_refused(schemas, row):
    assert faults(schemas["network"], NETWORK.replace("ROW", row)) != []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "modules: {}",
        "modules: []",
        "module: {x: {type: Input}}",
        "name: 3\nmodules: {x: {type: Input}}",
        "modules: {a b: {type: Input}}",
        "parameters: {n: [1]}\nmodules: {x: {type: Input}}",
        "parameters: [n]\nmodules: {x: {type: Input}}",
        "parameters: {_n: 1}\nmodules: {x: {type: Input}}",
    ],
)
def test_a_wrong_network_is_refused(schemas, text):
    assert faults(schemas["network"], text) != []


@pytest.mark.parametrize(
    "text",
    [
        "{type: sklearn, loader: load_iris}",
        "{name: Iris, type: sklearn, loader: load_iris, parts: {train: '0:100', test: 50}}",
    ],
)
def test_a_right_dataset_is_valid(schemas, text):
    assert faults(schemas["dataset"], text) == []


@pytest.mark.parametrize(
    "text",
    [
        "{name: Iris, loader: load_iris}",
        "{name: Iris, type: sklearn, loadr: load_iris}",
        "{name: Iris, type: sklearn, pad: -1}",
        "{name: Iris, type: sklearn, frame: [3]}",
        "{name: Iris, type: IDX, files: {a: {urls: [b], sha256: short}}}",
    ],
)
def test_a_wrong_dataset_is_refused(schemas, text):
    assert faults(schemas["dataset"], text) != []


JOB = "networks: [Encoder, Decoder]\ndataset: Digits\n"


@pytest.mark.parametrize(
    "text",
    [
        "networks: MLP\ndataset: Digits\n",
        JOB + "strategy: VariationalAutoEncoder\nlatentDims: 3\ntag: vae\n",
        JOB + "Encoder: {learningRate: 0.01}\nhidden: 30\n",
        JOB + "range: '0:5'\nvalidationSet: [0, 5]\nfixed: [conv*]\nseed: 3\n",
        JOB + "fixed: conv1,conv2\n",
        JOB + "method: sgd\ncriterion: BCE\n",
    ],
)
def test_a_right_job_is_valid(schemas, text):
    assert faults(schemas["job"], text) == []


@pytest.mark.parametrize(
    "text",
    [
        "networks: MLP\n",
        "dataset: Digits\n",
        "networks: 3\ndataset: Digits\n",
        "networks: []\ndataset: Digits\n",
        JOB + "batchSize: many\n",
        JOB + "learningRate: -1\n",
        JOB + "trace: often\n",
        JOB + "range: 1.5\n",
    ],
)
def test_a_wrong_job_is_refused(schemas, text):
    assert faults(schemas["job"], text) != []


@pytest.mark.parametrize("name", [name for name, _ in MODULES.items()])
def test_an_editor_can_explain_every_type_and_key(schemas, name):
    definition = schemas["network"]["$defs"][f"type {name}"]
    assert definition["description"]
    keys = {key: value.get("description") for key, value in definition["properties"].items() if key != "type"}
    assert all(keys.values()), keys
    types = schemas["network"]["$defs"]["module"]["properties"]["type"]["anyOf"][0]["oneOf"]
    assert next(entry["description"] for entry in types if entry["const"] == name)


def test_an_editor_can_explain_every_option_of_a_job(schemas):
    assert [key for key, value in schemas["job"]["properties"].items() if not value.get("description")] == []


def test_networks_of_the_workspace_are_types(schemas):
    types = schemas["network"]["$defs"]["module"]["properties"]["type"]["anyOf"][0]["oneOf"]
    assert {"const": "Wide", "description": "A wide one."} in types
    assert {"Residual", "LSTMCell", "Encoder"} <= {entry["const"] for entry in types}
