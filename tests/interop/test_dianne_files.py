"""The forms that files of DIANNE have, odd ones too."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from dianne_files import brought_in, chain, id_of, module, put, weights
from zoo import results

import dianne
from dianne.errors import DianneError
from dianne.interop.dianne_text import hash_order
from dianne.interop.dianne_types import labels_of
from dianne.store import Store

LINEAR = ("Linear", {"input": "2", "output": "2"})


def text(folder: Path, name: str = "Net") -> str:
    return (folder / "workspace" / "networks" / f"{name}.yaml").read_text(encoding="utf-8")


def rows(folder: Path) -> list[str]:
    return [" ".join(line.split()) for line in text(folder).splitlines()[2:]]


def test_a_bare_map_of_modules_with_single_neighbours_is_a_network(tmp_path: Path) -> None:
    bare = {
        "anything": {"id": id_of("a").upper(), "type": "Linear", "input": 2, "output": 3, "next": id_of("b"),
                     "prev": [], "trainable": True},
        "else": {"id": id_of("b"), "type": "Sigmoid", "prev": id_of("a"), "next": ""},
    }  # fmt: skip
    folder = tmp_path / "old-net"
    folder.mkdir()
    (folder / "modules.txt").write_text("\ufeff" + json.dumps(bare), encoding="utf-8")
    weights(folder, "a", [1, 0, 0, 1, 1, 1, 0, 0, -2])
    graph = brought_in(tmp_path, folder)
    torch.testing.assert_close(graph(torch.tensor([[1.0, 2.0]])), torch.tensor([[1.0, 2.0, 1.0]]).sigmoid())
    assert (tmp_path / "workspace" / "networks" / "old-net.yaml").is_file()


@pytest.mark.parametrize(
    "keys",
    [
        {"input": "2", "output": 3, "depth": "", "unheard": "of", "trainable": True},
        {"properties": {"input": "2"}, "output": "3", "input": "5", "other": None},
    ],
)
def test_flat_nested_blank_and_unquoted_properties_mean_the_same(tmp_path: Path, keys: dict) -> None:
    dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", chain(("Linear", keys))))
    assert rows(tmp_path)[1] == "linear: {type: Linear, input: 2, output: 3}"


def test_joins_take_results_in_the_order_of_prev_and_forks_give_them_in_that_of_next(tmp_path: Path) -> None:
    source = put(tmp_path / "s", [
        module("x", "Input", to=["split"], shape="4"),
        module("split", "Split", ["x"], ["invert", "sum"], dim="0"),
        module("invert", "Invert", ["split"], ["both"]),
        module("sum", "Threshold", ["split"], ["both"], thresh="0", val="0"),
        module("both", "Concat", ["sum", "invert"], ["y"], dim="0"),
        module("y", "Output", ["both"]),
    ])  # fmt: skip
    dianne.Workspace(tmp_path / "workspace").import_(source)
    graph = dianne.Workspace(tmp_path / "workspace").describe("Net").build(0)
    assert graph(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[3, 4, 0, -1]]


def test_what_never_runs_is_left_out_and_said(tmp_path: Path) -> None:
    modules = chain(("Sigmoid", {}))
    modules += [module("m", "Multiply"), module("f", "Frame", to=["a1"], dim0="1", dim1="2", dim2="2")]
    (arrived,) = dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules), shape="2")
    assert [note.partition(": ")[2] for note in arrived.notes] == [
        "Multiply gets nothing and never runs; it is left out",
        "Frame gets nothing and never runs; it is left out",
    ]
    assert len(rows(tmp_path)) == 3


def test_neighbours_that_are_not_there_are_said(tmp_path: Path) -> None:
    modules = chain(("Sigmoid", {}))
    modules[1]["prev"].append(id_of("lost"))
    modules[1]["next"].insert(0, id_of("gone"))
    modules[1]["type"] = "Duplicate"
    (arrived,) = dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules), shape="2")
    assert [note.partition(": ")[2] for note in arrived.notes] == [
        f"Duplicate sends to {id_of('gone')}, which is not there",
        f"Duplicate takes from {id_of('lost')}, which is not there",
    ]


def test_a_neighbour_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    modules = [
        module("x", "Input", to=["r", "r"], shape="2"),
        module("r", "ReLU", ["x"], ["y", "y"]),
        module("y", "Output", ["r", "r"]),
    ]
    dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules))
    assert rows(tmp_path) == [
        "input: {type: Input, shape: [2]}",
        "relu: {type: ReLU}",
        "output: {type: Output}",
    ]


def test_a_memory_closes_a_circle_and_a_missing_prev_is_no_fault(tmp_path: Path) -> None:
    modules = [
        module("x", "Input", to=["sum"], shape="2"),
        module("m", "Memory", ["fork"], ["sum"], size="2"),
        module("sum", "Accumulate", ["x", "m"], ["fork"]),
        module("fork", "Duplicate", [], ["m", "y"]),
        module("y", "Output", ["fork"]),
    ]
    dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules))
    graph = dianne.Workspace(tmp_path / "workspace").describe("Net").build(0)
    assert graph(torch.ones(1, 3, 2)).tolist() == [[[1, 1], [2, 2], [3, 3]]]


def test_pooling_gives_indices_and_a_gaussian_its_halves_to_the_second_neighbour(tmp_path: Path) -> None:
    window = {"width": "2", "height": "2"}
    modules = [
        module("x", "Input", to=["pool"], shape="1,2,2"),
        module("pool", "MaxPooling", ["x"], ["minus", "back"], **window),
        module("minus", "Invert", ["pool"], ["back"]),
        module("back", "MaxUnpooling", ["minus", "pool"], ["flat"], **window),
        module("flat", "Reshape", ["back"], ["g"], dim0="4"),
        module(
            "g", "Multivariate Gaussian", ["flat"], ["mean", "stdev"], size="2", stdevActivation="softplus"
        ),
        module("mean", "Output", ["g"]),
        module("stdev", "Output", ["g"]),
    ]
    dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules))
    graph = dianne.Workspace(tmp_path / "workspace").describe("Net").build(0)
    mean, stdev = results(graph, [torch.tensor([[[[1.0, 2.0], [5.0, 4.0]]]])])
    assert mean.tolist() == [[0, 0]]
    torch.testing.assert_close(stdev, torch.nn.functional.softplus(torch.tensor([[-4.0, 0.0]])))


def test_labels_lose_their_brackets_and_are_cut_at_comma_and_blank() -> None:
    assert labels_of("[cat, dog, bird]") == ["cat", "dog", "bird"]
    assert labels_of("['kit fox', ,,  , \n, ]") == ["'kit fox'", ",", " ", "\n"]


def test_the_first_of_equal_names_in_the_order_of_ids_keeps_its_name(tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    modules = [
        module("x", "Input", to=["one"], shape="2", name="my input!"),
        module("one", "Tanh", ["x"], ["two"], name="fc"),
        module("two", "Sigmoid", ["one"], ["three"], name="fc"),
        module("three", "ReLU", ["two"], ["y"], name="fc"),
        module("y", "Output", ["three"], name="Output", labels="[a: b, 1e3, c]"),
    ]
    dianne.Workspace(tmp_path / "workspace").import_(put(tmp_path / "s", modules))
    order = hash_order([entry["id"] for entry in modules])
    first = next(name for name in sorted(names, key=lambda name: order.index(id_of(name))))
    found = rows(tmp_path)
    assert found[0].startswith("my_input: ")
    kept = next(row for row in found if row.startswith("fc:"))
    assert {"one": "Tanh", "two": "Sigmoid", "three": "ReLU"}[first] in kept
    assert found[-1] == 'output: {type: Output, labels: ["a: b", "1e3", c]}'


def test_composites_and_networks_around_are_modules_too(tmp_path: Path) -> None:
    models = tmp_path / "models"
    inner = chain(
        ("Linear", {"input": "${a}", "output": "(${b}-${a})/2"}), ("${act}", {}), ("Normalization", {})
    )
    put(models / "Block", inner, "Block")
    (models / "Block" / "composite.txt").write_text(
        "A,a,java.lang.Integer\nB,b,java.lang.Integer\nC,act,String"
    )
    put(models / "Plain", chain(("Invert", {})), "Plain")
    keys = {"a": "2", "b": "8", "act": "Tanh", "category": "Composite"}
    put(
        models / "Net",
        chain(("Block", keys), ("Plain", {}), ("Block", {**keys, "a": "3", "b": "5", "act": "ReLU"})),
    )
    weights(models / "weights", "a1", [1, 0, 0, 1, 1, 1, 0, 0, 0], "vae")
    weights(models / "Net", "a1", [0.0] * 9, "vae")  # is found second
    weights(models / "Net", "a3", [1, 1, 1, 0.5])
    weights(models / "elsewhere", "a3", [2, 2, 2, 0.5], "vae")
    workspace = dianne.Workspace(tmp_path / "workspace")
    (arrived,) = workspace.import_(models / "Net" / "modules.txt", shape="2")
    assert sorted(arrived.tags) == ["imported", "vae"]
    assert sorted(path.stem for path in arrived.files) == ["Block_2_8_Tanh", "Block_3_5_ReLU", "Net", "Plain"]
    x = torch.tensor([[0.5, 1.0]])
    row = 1 - torch.tensor([[0.5, 1.0, 1.5]]).tanh()
    torch.testing.assert_close(
        workspace.deploy("Net", "vae").module(x), (2 * row.sum(1, keepdim=True) + 0.5).relu()
    )
    out = workspace.export("Net", "dianne", tag="vae", out=str(tmp_path / "back"))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == {
        "modules.txt": (models / "Net" / "modules.txt").read_bytes(),
        f"{id_of('a1')}-vae": (models / "weights" / f"{id_of('a1')}-vae").read_bytes(),
        f"{id_of('a3')}-vae": (models / "elsewhere" / f"{id_of('a3')}-vae").read_bytes(),
    }
    assert (out / "composites" / "Block" / "composite.txt").read_text().startswith("A,a,")
    (again,) = dianne.Workspace(tmp_path / "again").import_(out)
    assert again.tags == ["vae"]


def test_the_modules_inside_a_composite_may_have_files_of_their_own(tmp_path: Path) -> None:
    source = put(tmp_path / "s", chain(("LSTM", {"input": "1", "output": "1"})))
    inner = "83b911ff-a309-1664-549b-7de8bfe4823a"
    weights(source, "a1", [0.5] * 12)
    file = source / id_of("a1")
    file.rename(source / f"{inner}-{id_of('a1')}")
    brought_in(tmp_path, source)
    stored = Store(tmp_path / "workspace" / "models")
    assert (
        stored.weights(stored.manifest("Net", "imported"))["lstmCell.gates.weight"].flatten().tolist()
        == [0.5] * 8
    )


def test_tags_keep_their_order_and_dashes(tmp_path: Path) -> None:
    source = put(tmp_path / "s", chain(LINEAR))
    for place, tags in enumerate(("a-b", "b-a", "vae-5000", "")):
        weights(source, "a1", [place] * 6, tags)
    workspace = dianne.Workspace(tmp_path / "workspace")
    (arrived,) = workspace.import_(source)
    assert sorted(arrived.tags) == ["a-b", "b-a", "imported", "vae-5000"]
    assert workspace.deploy("Net", "b-a").module.state_dict()["linear.bias"].tolist() == [1, 1]
    (one,) = workspace.import_(source, tag="vae-5000")
    assert one.tags == ["vae-5000"]
    (untagged,) = workspace.import_(source, tag="new")
    assert untagged.tags == ["new"]
    assert workspace.deploy("Net", "new").module.state_dict()["linear.bias"].tolist() == [3, 3]
    back = workspace.export("Net", "dianne", tag="vae-5000", out=str(tmp_path / "back"))
    assert (back / f"{id_of('a1')}-vae-5000").read_bytes() == (
        source / f"{id_of('a1')}-vae-5000"
    ).read_bytes()


def test_a_tag_that_cannot_be_one_here_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = put(tmp_path / "s", chain(LINEAR))
    weights(source, "a1", range(6), "a:b")
    with pytest.raises(DianneError, match="'a:b' cannot be a tag"):
        dianne.Workspace(tmp_path / "workspace").import_(source)
    assert not (tmp_path / "workspace").exists()
    dianne.Workspace(tmp_path / "workspace").import_(source, tag="ab")


def test_a_zip_beside_a_network_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "models" / "Net", chain(LINEAR))
    (tmp_path / "models" / "Broken.zip").write_bytes(b"PK\3\4 and nothing more")
    (arrived,) = dianne.Workspace(tmp_path / "workspace").import_(tmp_path / "models" / "Net")
    assert arrived.notes == ["Net: no weights came with it"]


def test_a_network_without_weights_says_so_and_comes_in_once(tmp_path: Path) -> None:
    source = put(tmp_path / "Net", chain(LINEAR))
    workspace = dianne.Workspace(tmp_path / "workspace")
    (arrived,) = workspace.import_(source)
    assert (arrived.tags, arrived.notes) == ([], ["Net: no weights came with it"])
    (again,) = workspace.import_(source)
    assert (again.files, again.notes) == ([], [*arrived.notes, "Net is in this workspace already"])


def test_ids_survive_learning(tmp_path: Path) -> None:
    source = put(tmp_path / "s", chain(("Linear", {"input": "784", "output": "10"}), ("LogSoftmax", {})))
    weights(source, "a1", [0.0] * 7850)
    workspace = dianne.Workspace(tmp_path / "workspace")
    workspace.import_(source, tag="t")
    workspace.learn("Net", "Digits", tag="t", maxIterations=2)
    out = workspace.export("Net", "dianne", tag="t", out=str(tmp_path / "out.zip"))
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == [f"{id_of('a1')}-t", "modules.txt"]
        assert archive.read(f"{id_of('a1')}-t") != bytes(archive.read(f"{id_of('a1')}-t")[:4]) + bytes(
            4 * 7850
        )


def test_a_zip_is_read_as_a_folder(tmp_path: Path) -> None:
    source = put(tmp_path / "s", chain(LINEAR), "Net")
    weights(source, "a1", [1, 0, 0, 1, 0.5, 0.5])
    for path, inside in (("Net.v1.zip", ""), ("whole.jar", "Net/")):
        with zipfile.ZipFile(tmp_path / path, "w") as archive:
            for file in source.iterdir():
                archive.write(file, inside + file.name)
        assert brought_in(tmp_path / path.replace(".", ""), tmp_path / path)(torch.ones(1, 2)).tolist() == [
            [1.5, 1.5]
        ]


def test_several_inputs_take_their_shapes_in_the_order_of_ids(tmp_path: Path) -> None:
    modules = [
        module("s", "Input", to=["c"], name="State"), module("a", "Input", to=["c"], name="Action"),
        module("c", "Concat", ["s", "a"], ["y"], dim="0"), module("y", "Output", ["c"]),
    ]  # fmt: skip
    source = put(tmp_path / "s", modules)
    first, second = hash_order([id_of("s"), id_of("a")])
    names = {id_of("s"): "State", id_of("a"): "Action"}
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "workspace").import_(source)
    assert str(refused.value) == (
        f"{source}/modules.txt: does not say the shape of samples that come in at {names[first]}, "
        f"{names[second]}; give it, such as shapes=1,28,28;10, one for each input"
    )
    with pytest.raises(DianneError) as refused:
        dianne.Workspace(tmp_path / "workspace").import_(source, shape="2")
    assert str(refused.value) == (
        f"{source}/modules.txt: has 2 inputs ({names[first]}, {names[second]}), and 1 shape was given"
    )
    dianne.Workspace(tmp_path / "workspace").import_(source, shapes="2;3")
    assert dianne.Workspace(tmp_path / "workspace").describe("Net").inputs == {
        names[first]: (2,),
        names[second]: (3,),
    }


@pytest.mark.parametrize(
    ("kinds", "shape"),
    [
        ([("Linear", {"input": "5", "output": "1"})], (5,)),
        ([("Normalization", {}),
          ("Convolution", {"noInputPlanes": "3", "noOutputPlanes": "2", "kernelWidth": "3",
                           "kernelHeight": "3", "pad": "true"}),
          ("MaxPooling", {"width": "2", "height": "2"}),
          ("Linear", {"input": "98", "output": "1"})], (3, 14, 14)),
        ([("Convolution", {"noInputPlanes": "3", "noOutputPlanes": "2", "kernelWidth": "3"}),
          ("Linear", {"input": "10", "output": "1"})], (7, 3)),
        ([("BatchNormalization", {"size": "4"}), ("ReLU", {})], (4,)),
        ([("Residual", {"noInputPlanes": "2", "noOutputPlanes": "2"}),
          ("AvgPooling", {"width": "4", "height": "4"}),
          ("Linear", {"input": "2", "output": "1"})], (2, 4, 4)),
        ([("Frame", {"dim0": "3", "dim1": "8", "dim2": "9"}), ("Sigmoid", {})], (3, 8, 9)),
        ([("Gaussian Sampler", {"size": "3"})], (6,)),
        ([("Reshape", {"dim0": "2", "dim1": "5"}), ("Sigmoid", {})], (2, 5)),
    ],
)  # fmt: skip
def test_the_shape_of_samples_follows_from_what_takes_them(tmp_path: Path, kinds: list, shape: tuple) -> None:
    dianne.Workspace(tmp_path / "w").import_(put(tmp_path / "s", chain(*kinds)))
    assert tuple(dianne.Workspace(tmp_path / "w").describe("Net").inputs["input"]) == shape


def test_real_networks_come_in_and_go_back_byte_for_byte(tmp_path: Path, dianne_examples: Path) -> None:
    workspace = dianne.Workspace(tmp_path / "w")
    arrived = {one.name: one for one in workspace.import_(dianne_examples)}
    assert set(arrived) >= {"Decoder", "Discriminator", "Encoder", "Generator", "LeNet5"}
    assert workspace.describe("LeNet5").inputs == {"input": (1, 28, 28)}
    assert arrived["LeNet5"].notes[0] == ("LeNet5:imported: no weights for linear1; they start at random")
    out = workspace.export("LeNet5", "dianne", tag="imported", out=str(tmp_path / "LeNet5"))
    files = {path.name for path in out.iterdir()}
    assert files == {path.name for path in (dianne_examples / "LeNet5").iterdir()}
    for name in files:
        assert (out / name).read_bytes() == (dianne_examples / "LeNet5" / name).read_bytes()
    kernels = workspace.deploy("LeNet5", "imported").module.state_dict()["convolution1.weight"]
    raw = (dianne_examples / "LeNet5" / "0dbc1e0e-8bff-aad0-7803-70a696949458").read_bytes()
    assert (
        kernels[1, 0, 0, 0]
        == torch.frombuffer(bytearray(raw[4 + 100 : 8 + 100][::-1]), dtype=torch.float32)[0]
    )
