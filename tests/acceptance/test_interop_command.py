"""`dianne export`, `import` and `pull`, as a user types them."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import numpy as np
from command import Run
from onnx import TensorProto, helper

import dianne

AT_MOST = r"[\d.e-]+ at most"
IDS = [f"0000000{place}-1111-2222-3333-444444444444" for place in range(3)]


def test_a_network_of_dianne_comes_in_and_goes_back(run: Run, folder: Path) -> None:
    types = ("Input", {}), ("Linear", {"input": "2", "output": "1"}), ("Output", {})
    modules = {
        id_: {
            "id": id_,
            "type": type_,
            "next": IDS[place + 1 : place + 2],
            "prev": IDS[:place][-1:],
            **properties,
        }
        for place, (id_, (type_, properties)) in enumerate(zip(IDS, types, strict=True))
    }
    (folder / "Theirs").mkdir()
    (folder / "Theirs" / "modules.txt").write_text(json.dumps({"name": "Theirs", "modules": modules}))
    content = struct.pack(">i3f", 3, 0.5, 2, 1)
    (folder / "Theirs" / f"{IDS[1]}-good").write_bytes(content)
    result = run("dianne import Theirs")
    assert (result.stdout, result.stderr) == ("wrote networks/Theirs.yaml\nstored Theirs:good\n", "")
    assert run("dianne forward Theirs tag=good input=2,3").stdout == "[0] [1] 8\n"
    shown = json.loads(run("dianne export Theirs tag=good --format dianne out=back.zip --json").stdout)
    assert shown == {"network": "Theirs", "format": "dianne", "path": "back.zip"}
    again = json.loads(run("dianne import back.zip name=Again --dry-run --json").stdout)
    assert again == [
        {"name": "Again", "tags": ["good"], "files": ["networks/Again.yaml"], "notes": [], "mapping": {}}
    ]


def test_a_trained_network_leaves_as_onnx_and_comes_back_under_another_name(run: Run, folder: Path) -> None:
    workspace = dianne.Workspace()
    workspace.learn("MLP", "Digits", hidden=8, tag="digits", maxIterations=100, seed=1)
    images = np.random.default_rng(1).random((4, 1, 28, 28), np.float32)
    np.save(folder / "images.npy", images)
    result = run("dianne export MLP tag=digits --format onnx out=mlp.onnx")
    assert result.stdout == "wrote mlp.onnx\n"
    shapes, difference = result.stderr.splitlines()
    assert shapes == "image [batch, 1, 28, 28] -> output [batch, 10], opset 20"
    assert re.fullmatch(rf"differs by {AT_MOST} from onnxruntime, on random batches of 1 and 5", difference)
    result = run("dianne import mlp.onnx name=Again tag=back")
    assert result.stdout == "wrote networks/Again.yaml\nstored Again:back\n"
    assert re.fullmatch(
        rf"differs by {AT_MOST} from onnxruntime, on random batches of 1 and 5\n", result.stderr
    )
    theirs = json.loads(run("dianne forward Again tag=back input=images.npy --json").stdout)
    ours = workspace.deploy("MLP", "digits").forward(images)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_an_onnx_file_without_a_module_for_all_of_it_leaves_nothing(run: Run, folder: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Sin", ["x"], ["a"], "wave"),
        helper.make_node("Hardmax", ["a"], ["y"], "choice"),
    ]
    made = helper.make_model(helper.make_graph(nodes, "Net", ends[:1], ends[1:]))
    (folder / "net.onnx").write_bytes(made.SerializeToString())
    result = run("dianne import net.onnx", code=2)
    assert (result.stdout, result.stderr) == (
        "",
        "error: net.onnx: 2 problems\n"
        "  node 'wave' (Sin): there is no module for this operator\n"
        "  node 'choice' (Hardmax): there is no module for this operator\n",
    )
    assert [path.name for path in folder.iterdir()] == ["net.onnx"]


def test_what_cannot_be_done_is_said_in_a_line(run: Run, folder: Path) -> None:
    assert run("dianne pull s3://there/x", code=2).stderr == (
        "error: URL missing; usage: dianne pull [OPTIONS] NETWORKS:TAG URL | hf://USER/NAME [name=NAME] "
        "[tag=TAG]\n"
    )
    assert run("dianne import nothing", code=2).stderr == "error: there is no file or folder nothing\n"
    assert run("dianne export MLP tag=t", code=2).stderr == (
        "error: --format is missing: dianne, torch, pt2, safetensors or onnx\n"
    )
    (folder / "mlp.onnx").touch()
    assert run("dianne forward mlp.onnx random=1", code=2).stderr == (
        "error: mlp.onnx: is no package; `dianne import mlp.onnx` brings in what it holds\n"
    )
    assert run("dianne forward none.dianne random=1", code=2).stderr == "error: there is no none.dianne\n"
