"""Data that a function of the user's makes."""

from pathlib import Path

import pytest
import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import Range, describe
from dianne.data.files import DataError
from dianne.data.options import DataOptions, view
from dianne.data.readers import open_dataset
from dianne.errors import ConfigError
from dianne.plugins import StrategyError
from dianne.workspace import Folder


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("datasets").mkdir()


def opened(body: str, keys: str = "", function: str = "datasets/own.py:samples") -> Dataset:
    Path("datasets/own.py").write_text(f"import numpy as np\nimport torch\n{body}\n")
    Path("datasets/Own.yaml").write_text(f"type: Python\nfunction: '{function}'\n{keys}")
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"))


def gives(expression: str, keys: str = "") -> Dataset:
    return opened(f"def samples():\n    return {expression}", keys)


def problem(body: str, keys: str = "", **options: str) -> str:
    with pytest.raises(ConfigError) as fault:
        opened(body, keys, **options)
    return str(fault.value).removeprefix("datasets/Own.yaml: 1 problem\n  datasets/Own.yaml:")


def test_a_function_gives_inputs_and_targets():
    dataset = gives("np.arange(6.).reshape(3, 2), np.array([0.5, 1, 2])")
    assert dataset.inputs.dtype == dataset.targets.dtype == torch.float32
    assert dataset.inputs.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert dataset.targets.tolist() == [0.5, 1, 2]


def test_arguments_come_from_the_descriptor():
    body = "def samples(n, *, scale=1):\n    return [n * scale], [0]"
    assert opened(body, "arguments: {n: 3, scale: 0.5}").inputs.tolist() == [[1.5]]


def test_classes_have_labels():
    dataset = gives("torch.rand(3, 2), [1, 0, 1]", "labels: [no, yes]")
    assert (dataset.targets.tolist(), dataset.labels) == ([1, 0, 1], ["no", "yes"])
    assert dataset.batch(torch.tensor([0])).target.tolist() == [[0, 1]]


def test_bytes_are_pixels():
    dataset = gives("np.full((2, 1, 4, 4), 51, np.uint8), [1., 2.]", "pad: 1")
    assert (dataset.inputs.dtype, dataset.input_dims) == (torch.uint8, (1, 6, 6))
    assert dataset.batch(slice(None)).input.max() == pytest.approx(0.2)


def test_numbers_of_any_kind_and_lists_and_tensors_that_learn_will_do():
    kinds = (
        "[[1], [2]]",
        "np.array([[1], [2]], np.int16)",
        "np.array([[1], [2]], np.float16)",
        "torch.tensor([[1.], [2]]).requires_grad_()",
        "torch.tensor([1., 2.]).double()",
    )
    for values in kinds:
        assert gives(f"{values}, [0, 1]").batch(slice(None)).input.tolist() == [[1], [2]]


@pytest.mark.parametrize("values", ["np.full((2, 3), 51, np.uint8)", "torch.rand(2, 3)"])
def test_samples_without_targets_are_their_own_whatever_a_job_says(values):
    dataset = gives(values)
    chosen = view(dataset, Range("all"), DataOptions())
    batch = chosen.batch(slice(None))
    assert torch.equal(batch.input, batch.target)
    assert (len(dataset), dataset.target_dims) == (2, (3,))


def test_a_function_of_a_package_will_do():
    dataset = opened("", "arguments: {start: 1, stop: 3, num: 5}", function="numpy:linspace")
    assert dataset.inputs.tolist() == [[1], [1.5], [2], [2.5], [3]]


def test_what_a_function_raises_names_its_line():
    body = "def samples():\n    return helper()\n\ndef helper():\n    raise KeyError('no such column')"
    with pytest.raises(StrategyError) as fault:
        opened(body)
    assert str(fault.value) == ("Own: datasets/own.py:samples: datasets/own.py:7: KeyError: 'no such column'")


def test_wrong_arguments_are_reported():
    with pytest.raises(StrategyError) as fault:
        opened("def samples(n):\n    return [n]", "arguments: {m: 1}")
    assert str(fault.value) == (
        "Own: datasets/own.py:samples: TypeError: samples() got an unexpected keyword argument 'm'"
    )


@pytest.mark.parametrize(
    ("expression", "keys", "message"),
    [
        ("None", "", "datasets/own.py:samples: inputs: expected an array of numbers, found NoneType"),
        ("['a', 'b']", "",
         "datasets/own.py:samples: inputs: expected an array of numbers, found an array of <U1"),
        ("[1, 2], ['a', 'b']", "",
         "datasets/own.py:samples: targets: expected an array of numbers, found an array of <U1"),
        ("[1], [2], [3]", "",
         "datasets/own.py:samples: gives 3 things, expected inputs or (inputs, targets)"),
        ("[[1.], [2.]]", "labels: [a, b]",
         "datasets/own.py:samples: gives no targets, but Own has labels; return (inputs, targets)"),
        ("[1, 2], [3]", "", "Own: has 2 inputs, but 1 targets"),
        ("[], []", "", "Own: holds no samples"),
        ("[1, 2], [0, 2]", "labels: [a, b]", "Own: its targets are the classes 0 to 2, but it has 2 labels"),
        ("[1, 2], [0, 0.5]", "labels: [a, b]", "Own: its targets are classes, but the files hold 0.5"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(expression, keys, message):
    with pytest.raises(DataError) as fault:
        gives(expression, keys)
    assert str(fault.value) == message


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(DataError) as fault:
        gives("[[1, 2], [3]]")
    assert str(fault.value).startswith("datasets/own.py:samples: inputs: are no array of numbers (")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("datasets/own.py", "function: 'datasets/own.py' names no function; "
                            "write file.py:function or package.module:function"),
        ("datasets/none.py:samples", "function: there is no file datasets/none.py"),
        ("no_such_module:samples",
         "function: there is no Python module 'no_such_module'; is it installed here?"),
        ("datasets/own.py:sample",
         "function: datasets/own.py has no function 'sample'; did you mean 'samples'?"),
    ],
)  # fmt: skip
def test_a_function_that_is_nowhere_is_reported_with_its_place(function, message):
    assert problem("def samples():\n    return [1]", function=function) == f"2:11: {message}"


def test_a_function_is_needed():
    Path("datasets/Own.yaml").write_text("type: Python\n")
    with pytest.raises(ConfigError) as fault:
        open_dataset(Folder(Path()), describe(Folder(Path()), "Own"))
    assert str(fault.value).endswith("1:1: type Python needs a 'function', such as datasets/mine.py:samples")


def test_code_that_cannot_be_imported_names_its_line():
    with pytest.raises(StrategyError) as fault:
        opened("x = 1 / 0")
    assert (
        str(fault.value)
        == "importing datasets/own.py: datasets/own.py:3: ZeroDivisionError: division by zero"
    )
