"""Deployed networks: kept under a name, called with samples of many kinds, their results written whole."""

import importlib
import json
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dianne.data.descriptor import describe, parse_range
from dianne.data.readers import open_dataset
from dianne.errors import DianneError, UsageError
from dianne.plugins import StrategyError
from dianne.runtime.forward import ForwardOptions, as_lists, check, forward, write
from dianne.runtime.instances import Instance, deploy, find, load
from dianne.runtime.listings import instances
from dianne.store import Manifest, Store, StoreError
from dianne.workspace import Folder

FOLDER = Folder(Path())
SUM = """\
modules:
  point:  {type: Input, shape: [2]}
  sums:   {type: Linear, output: 3}
  output: {type: Output}
"""
WEIGHTS = {"sums.weight": torch.tensor([[1.0, 0], [0, 1], [1, 1]]), "sums.bias": torch.zeros(3)}
POINTS = [[0.5, -1.25], [2.0, 4.0]]
SUMS = [[0.5, -1.25, -0.75], [2.0, 4.0, 6.0]]
MIRROR = "modules:\n  image: {type: Input, shape: [1, 28, 28]}\n  output: {type: Output}\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")


def stored(text=SUM, weights=WEIGHTS, network="Sum"):
    """Put weights of a network under the tag `vae`."""
    Store(FOLDER.models).put("vae", Manifest(network, text, {}), weights)


@pytest.fixture
def summing():
    """A deployed network that gives both values of a point and their sum."""
    stored()
    return deploy(FOLDER, "Sum", "vae")


def mirror():
    """A deployed network that gives every image back."""
    stored(MIRROR, {}, "Mirror")
    return deploy(FOLDER, "Mirror", "vae")


def refused(call, *args, kind=UsageError):
    with pytest.raises(DianneError) as fault:
        call(*args)
    assert isinstance(fault.value, kind)
    return str(fault.value)


# ---------------------------------------------------------------------------------------------- instances


def test_an_instance_is_found_by_its_name_and_brought_up_again(summing):
    assert find(FOLDER, "Sum") == summing.instance == Instance("Sum", "Sum", "vae")
    again = load(FOLDER, find(FOLDER, "Sum"))
    assert again.manifest == summing.manifest
    assert again.forward(POINTS).tolist() == SUMS


def test_an_instance_can_have_a_name_of_its_own():
    stored()
    deploy(FOLDER, "Sum", "vae", "my sum")
    assert find(FOLDER, "my sum") == Instance("my sum", "Sum", "vae")
    assert refused(find, FOLDER, "Sum").startswith("'Sum' is not deployed")


def test_a_name_can_be_given_to_another_network(summing):
    mirror()
    deploy(FOLDER, "Mirror", "vae", "Sum")
    assert find(FOLDER, "Sum") == Instance("Sum", "Mirror", "vae")
    assert sorted(path.name for path in Path(".dianne/instances").iterdir()) == ["Mirror.json", "Sum.json"]


def test_an_instance_takes_new_weights_when_its_tag_moves(summing):
    stored(weights={**WEIGHTS, "sums.bias": torch.ones(3)})
    assert load(FOLDER, find(FOLDER, "Sum")).forward([0, 0]).tolist() == [1, 1, 1]
    assert summing.forward([0, 0]).tolist() == [0, 0, 0]


def test_a_deployed_network_knows_its_shapes(summing):
    assert (summing.input_dims, summing.output_dims) == ((2,), [(3,)])


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Sun", "; did you mean 'Sum'?"), ("Encoder", "; instances: Sum")],
)
def test_what_is_not_deployed_is_reported_with_the_nearest(summing, name, hint):
    assert refused(find, FOLDER, name) == (
        f"'{name}' is not deployed{hint}\n  deploy it with: dianne deploy {name} tag=..."
    )


def test_where_nothing_is_deployed_there_is_nothing_to_suggest():
    assert refused(find, FOLDER, "Sum") == (
        "'Sum' is not deployed\n  deploy it with: dianne deploy Sum tag=..."
    )


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "../Sum", "a/b", "a\\b"])
def test_a_name_that_would_leave_the_folder_is_refused(name):
    stored()
    message = f"'{name}' cannot name an instance: write letters, digits, - and _"
    assert refused(find, FOLDER, name) == message
    if name:
        assert refused(deploy, FOLDER, "Sum", "vae", name) == message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"Sum"', b'{"name": "Sum"}', b"\xff\xfe",
     b'{"name": "Sum", "network": 5, "tag": "vae"}',
     b'{"name": "Sum", "network": "Sum", "tag": "vae", "more": 1}'],
    ids=["empty", "half", "list", "text", "too little", "no text", "a number", "too much"],
)  # fmt: skip
def test_a_spoilt_instance_is_to_be_deployed_again(summing, content):
    path = Path(".dianne/instances/Sum.json")
    path.write_bytes(content)
    assert refused(find, FOLDER, "Sum", kind=DianneError) == (
        f"{path}: its content was changed; deploy Sum again"
    )
    deploy(FOLDER, "Sum", "vae")
    assert find(FOLDER, "Sum") == summing.instance


def test_instances_are_listed_with_what_is_the_matter_with_some(summing):
    stored(MIRROR, {}, "Mirror")
    deploy(FOLDER, "Mirror", "vae", "mine")
    (FOLDER.models / "refs" / "Mirror" / "vae").unlink()
    Path(".dianne/instances/bad.json").write_text("{}")
    fault = "Mirror has no tag 'vae'; nothing is stored for Mirror in models/"
    assert instances(FOLDER) == [
        {"name": "Sum", "network": "Sum", "tag": "vae", "iteration": 0, "dataset": None},
        {
            "name": "bad",
            "fault": ".dianne/instances/bad.json: its content was changed; deploy bad again",
        },
        {"name": "mine", "network": "Mirror", "tag": "vae", "fault": fault},
    ]


def test_nothing_is_deployed_where_there_is_no_such_tag(summing):
    assert refused(deploy, FOLDER, "Sum", "best") == "Sum has no tag 'best'; tags of Sum: vae"
    assert refused(deploy, FOLDER, "Encoder", "vae") == (
        "Encoder has no tag 'vae'; nothing is stored for Encoder in models/"
    )
    assert find(FOLDER, "Sum") == summing.instance


def test_nothing_is_deployed_where_the_weights_do_not_fit():
    stored(weights={"sums.weight": torch.zeros(3, 2)})
    assert refused(deploy, FOLDER, "Sum", "vae", kind=StoreError) == (
        "Sum:vae does not fit the network; nothing was loaded\n  sums.bias: missing from the tag"
    )
    assert not Path(".dianne").exists()


PICKY = """\
from torch import nn

class Picky(nn.Module):
    def forward(self, values):
        if values.device.type != "meta" and values.abs().sum() == limit:
            raise ValueError("not these")
        return values

limit = 0
"""


def test_a_user_s_module_that_raises_is_named_with_its_line_and_not_deployed(monkeypatch):
    monkeypatch.syspath_prepend(Path.cwd())
    Path("picky.py").write_text(PICKY)
    module = importlib.import_module("picky")
    text = SUM.replace("  output:", '  picky:  {type: "picky:Picky"}\n  output:')
    stored(text)
    message = "running Sum: picky.py:6: ValueError: not these"
    assert refused(deploy, FOLDER, "Sum", "vae", kind=StrategyError) == message
    assert not Path(".dianne").exists()
    module.limit = 6
    picky = deploy(FOLDER, "Sum", "vae")
    assert picky.output_dims == [(3,)]
    assert refused(picky.forward, [1.0, 2.0], kind=StrategyError) == message


# ------------------------------------------------------------------------------------ calling an instance


def test_one_sample_gives_one_result_and_a_batch_gives_a_batch(summing):
    assert summing.forward(POINTS[0]).tolist() == SUMS[0]
    assert summing.forward(POINTS).tolist() == SUMS


@pytest.mark.parametrize("kind", [list, np.array, np.float64, np.float16], ids=lambda kind: kind.__name__)
def test_arrays_and_lists_give_arrays_of_float32(summing, kind):
    result = summing.forward(kind(POINTS) if kind in (list, np.array) else np.array(POINTS, kind))
    assert isinstance(result, np.ndarray)
    assert (result.dtype, result.tolist()) == (np.float32, SUMS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8])
def test_a_tensor_of_any_type_gives_a_tensor_of_float32(summing, dtype):
    result = summing.forward(torch.tensor([2, 4], dtype=dtype))
    assert (result.dtype, result.tolist()) == (torch.float32, SUMS[1])


def test_several_outputs_are_for_those_who_call_the_module():
    stored(f"{SUM}  second: {{type: Output, after: point}}\n")
    both = deploy(FOLDER, "Sum", "vae")
    assert refused(both.forward, POINTS) == "Sum has several outputs; call its module"
    assert [result.tolist() for result in both.module(torch.tensor(POINTS))] == [SUMS, POINTS]
    assert both.output_dims == [(3,), (2,)]


# ------------------------------------------------------------------------------------- what is asked for


ONE_PLACE = "forward takes its samples from one place: random=16, input=0.5,-1.2, input=file.npy or a dataset"


@pytest.mark.parametrize(
    ("options", "dataset", "message"),
    [
        ({}, None, f"{ONE_PLACE}; found none"),
        ({"random": 1, "input": "1"}, None, f"{ONE_PLACE}; found random and input"),
        ({"random": 1, "input": "1"}, "Digits", f"{ONE_PLACE}; found random and input and a dataset"),
        ({"input": "1"}, "Digits", f"{ONE_PLACE}; found input and a dataset"),
        ({"random": 1, "range": "0,9"}, None,
         "range chooses samples of a dataset; name one, such as: dianne forward Encoder MNIST"),
        ({"random": 1, "out": "digits.jpg"}, None,
         "out=digits.jpg: write to a file that ends in .png, .npy, .json"),
        ({"random": 1, "out": "digits"}, None, "out=digits: write to a file that ends in .png, .npy, .json"),
        ({"random": 1, "out": "there/digits.png"}, None, "out=there/digits.png: there is no folder there"),
        ({"random": 1, "out": "folder.png"}, None, "out=folder.png: is a folder; name a file"),
    ],
    ids=["nothing", "two", "three", "input and data", "range", "ending", "no ending", "no folder",
         "a folder"],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_loaded(options, dataset, message):
    Path("folder.png").mkdir()
    assert refused(check, ForwardOptions(**options), dataset) == message


@pytest.mark.parametrize(
    ("options", "dataset"),
    [
        ({"random": 1, "seed": 0, "out": "digits.png"}, None),
        ({"input": "0.5", "out": "digits.npy"}, None),
        ({"out": "./digits.json", "range": "0,9"}, "Digits"),
    ],
)
def test_what_can_work_is_not_refused(options, dataset):
    check(ForwardOptions(**options), dataset)


# ---------------------------------------------------------------------------------------------- samples


def results(deployed, dataset=None, **options):
    return forward(FOLDER, deployed, ForwardOptions(**options), dataset)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5,-1.25", SUMS[:1]),
        (" 0.5 , -1.25 ", SUMS[:1]),
        ("5e-1,-1.25;2,4", SUMS),
        ("0.5,-1.25; 2,4; 0,0", [*SUMS, [0, 0, 0]]),
    ],
)
def test_samples_are_written_with_commas_and_semicolons(summing, text, expected):
    assert results(summing, input=text).tolist() == expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(POINTS, np.float64), SUMS),
        (np.array(POINTS[0], np.float32), SUMS[:1]),
        (np.array([[2, 4]], np.int16), SUMS[1:]),
        (np.array([[True, False]]), [[1, 0, 1]]),
        (np.array(POINTS).reshape(2, 1, 2), SUMS),
    ],
    ids=["batch", "one", "whole numbers", "true and false", "reshaped"],
)
def test_samples_are_read_from_a_file(summing, array, expected):
    np.save("points.npy", array)
    assert results(summing, input="points.npy").tolist() == expected


@pytest.mark.parametrize("text", ["", "a,b", "0.5,", "0.5;", "1;;2", "points.npz", "0,5 1,2"])
def test_what_is_no_number_is_refused(summing, text):
    assert refused(lambda: results(summing, input=text)) == (
        f"input={text}: expected numbers such as 0.5,-1.2 or a .npy file"
    )


def test_samples_of_different_lengths_are_refused(summing):
    assert refused(lambda: results(summing, input="1,2;3")) == (
        "input=1,2;3: every sample needs as many values as the first"
    )


@pytest.mark.parametrize("text", ["1", "1,2,3", "1,2,3;4,5,6"])
def test_samples_with_too_few_or_too_many_values_are_refused(summing, text):
    values = len(text.split(";")[0].split(","))
    message = f"Sum.point takes samples of [2], got [{values}]"
    assert refused(lambda: results(summing, input=text)) == message


@pytest.mark.parametrize(
    ("shape", "found"),
    [((4, 3), "[3]"), ((4, 2, 2), "[2, 2]"), ((3,), "[3]"), ((), "[]")],
    ids=["batch", "images", "one", "a number"],
)
def test_a_file_of_samples_of_another_shape_is_refused(summing, shape, found):
    np.save("points.npy", np.zeros(shape))
    assert refused(lambda: results(summing, input="points.npy")) == (
        f"Sum.point takes samples of [2], got {found}"
    )


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([["1", "2"]]), "expected numbers, found an array of <U1"),
        (np.array([[1j, 2]]), "expected numbers, found an array of complex128"),
        (np.zeros((0, 2)), "holds no samples"),
    ],
    ids=["texts", "complex", "empty"],
)
def test_a_file_without_numbers_is_refused(summing, array, message):
    np.save("points.npy", array)
    assert refused(lambda: results(summing, input="points.npy")) == f"input=points.npy: {message}"


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x93NUMPY\x01\x00v\x00{"], ids=["empty", "page", "half"]
)
def test_what_is_no_array_is_refused_with_what_numpy_says(summing, content):
    Path("points.npy").write_bytes(content)
    with pytest.raises((ValueError, EOFError)) as said:
        np.load("points.npy")
    assert refused(lambda: results(summing, input="points.npy")) == (
        f"input=points.npy: is no array that numpy reads ({said.value})"
    )


def test_an_array_of_objects_is_refused_without_being_unpacked(summing):
    np.save("points.npy", np.array([Path], dtype=object), allow_pickle=True)
    assert refused(lambda: results(summing, input="points.npy")) == (
        "input=points.npy: is no array that numpy reads "
        "(Object arrays cannot be loaded when allow_pickle=False)"
    )


def test_a_file_that_is_not_there_is_missed(summing):
    assert refused(lambda: results(summing, input="points.npy")) == (
        "input=points.npy: there is no such file"
    )


def test_noise_is_standard_normal_and_comes_from_its_seed(summing):
    one, again, other = (results(summing, random=1_000, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    points = one[:, :2]
    assert points.mean(0).tolist() == pytest.approx([0, 0], abs=0.15)
    assert points.std(0).tolist() == pytest.approx([1, 1], abs=0.15)


def test_noise_without_a_seed_is_another_each_time(summing):
    torch.manual_seed(0)
    first = results(summing, random=4)
    torch.manual_seed(0)
    assert not torch.equal(results(summing, random=4), first)


def test_a_dataset_gives_its_test_part_or_the_range_that_is_named():
    deployed = mirror()
    digits = open_dataset(FOLDER, describe(FOLDER, "Digits"))
    assert torch.equal(results(deployed, "Digits"), digits.batch(slice(1_500, 1_797)).input)
    chosen = results(deployed, "Digits", range=parse_range("3,1,4"))
    assert torch.equal(chosen, digits.batch(torch.tensor([3, 1, 4])).input)


def test_samples_of_a_dataset_that_do_not_fit_are_refused(summing):
    message = "Sum.point takes samples of [2], got [1, 28, 28]"
    assert refused(lambda: results(summing, "Digits")) == message


def test_a_network_of_several_inputs_says_what_it_takes(summing):
    two = "modules:\n  a: {type: Input, shape: [2]}\n  b: {type: Input, shape: [2]}\n"
    stored(f"{two}  sum: {{type: Accumulate, after: [a, b]}}\n  output: {{type: Output}}\n", {})
    deployed = deploy(FOLDER, "Sum", "vae")
    assert refused(lambda: results(deployed, input="1,2")) == "Sum takes 2 inputs (a, b), got 1"


# ---------------------------------------------------------------------------------------------- results


IMAGES = torch.rand(4, 28, 28, generator=torch.Generator().manual_seed(0))


def test_results_are_written_as_an_array():
    write(IMAGES, "out.npy")
    assert np.array_equal(np.load("out.npy"), IMAGES.numpy())


def test_results_are_written_as_json_with_no_more_digits_than_they_have():
    write(torch.tensor([[0.1, 1.0], [1e-8, -2.5]]), "out.json")
    assert Path("out.json").read_text() == "[[0.1, 1.0], [1e-08, -2.5]]\n"
    assert torch.equal(torch.tensor(as_lists(IMAGES.numpy())), IMAGES)


def test_results_are_written_as_pictures():
    write(IMAGES, "out.png")
    with Image.open("out.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (242, 242))


def test_results_that_are_no_pictures_are_refused_and_nothing_is_written():
    Path("out.png").write_text("before")
    assert refused(write, torch.zeros(4, 10), "out.png") == (
        "results of [10] are no pictures: a .png needs [height, width], [1, height, width] or "
        "[3, height, width]; write numbers to a .npy or .json file instead"
    )
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [("out.png", "before")]


@pytest.mark.parametrize("name", ["out.npy", "out.json", "out.png"])
def test_results_are_written_whole_or_not_at_all(name):
    Path(name).write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # a disk that is full after 200 bytes
    try:
        message = refused(write, IMAGES, name, kind=DianneError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert message == f"{name}: cannot be written: File too large"
    assert [(path.name, path.read_text()) for path in Path().iterdir()] == [(name, "before")]


@pytest.mark.parametrize("name", ["there/out.npy", "there/out.json", "there/out.png"])
def test_results_cannot_be_written_into_a_folder_that_is_not_there(name):
    message = f"{name}: cannot be written: No such file or directory"
    assert refused(write, IMAGES, name, kind=DianneError) == message


def test_results_without_a_number_are_valid_json_all_the_same():
    def never(word):
        raise AssertionError(f"{word} is no JSON")

    write(torch.tensor([[float("nan"), float("inf"), 1.0]]), "out.json")
    assert json.loads(Path("out.json").read_text(), parse_constant=never) == [[None, None, 1.0]]
