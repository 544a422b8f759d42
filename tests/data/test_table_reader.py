"""Tables in text files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe
from dianne.data.files import DataError
from dianne.data.readers import open_dataset
from dianne.errors import ConfigError
from dianne.workspace import Folder

FLOWERS = "length,width,kind\n1,2.5,rose\n-3,4e1,lily\n5,6,rose\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    Path("datasets").mkdir()


def opened(text: str | bytes, keys: str = "", file: str = "t.csv") -> Dataset:
    Path("datasets", file).write_bytes(text if isinstance(text, bytes) else text.encode())
    Path("datasets/Own.yaml").write_text(f"type: CSV\nfile: {file}\n{keys}")
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"))


def spoilt(text: str | bytes, keys: str = "") -> str:
    with pytest.raises(DataError) as fault:
        opened(text, keys)
    return str(fault.value)


def test_a_table_with_names_and_classes():
    dataset = opened(FLOWERS, "labels: [lily, rose]")
    assert (dataset.inputs.dtype, dataset.targets.dtype) == (torch.float32, torch.int64)
    assert dataset.inputs.tolist() == [[1, 2.5], [-3, 40], [5, 6]]
    assert dataset.targets.tolist() == [1, 0, 1]
    assert (dataset.labels, dataset.target_dims, dataset.sequential) == (["lily", "rose"], (2,), False)


@pytest.mark.parametrize(
    ("keys", "inputs", "targets"),
    [
        ("", [[1, 2, 3], [5, 6, 7]], [[4], [8]]),
        ("inputDims: [2]", [[1, 2], [5, 6]], [[3], [7]]),
        ("inputDims: [2]\ninputOffset: 1", [[2, 3], [6, 7]], [[4], [8]]),
        ("inputDims: [1]\ntargetOffset: 1", [[1], [5]], [[3], [7]]),
        ("inputOffset: 1\ntargetOffset: 1", [[2], [6]], [[4], [8]]),
        ("targetDims: [2]", [[1, 2], [5, 6]], [[3, 4], [7, 8]]),
        ("inputDims: [1, 2]\ntargetDims: [2, 1]", [[[1, 2]], [[5, 6]]], [[[3], [4]], [[7], [8]]]),
        ("targets: [0]", [[2, 3, 4], [6, 7, 8]], [[1], [5]]),
        ("targets: [3, 0]", [[2, 3], [6, 7]], [[4, 1], [8, 5]]),
        ("targets: [0]\ninputDims: [2]", [[2, 3], [6, 7]], [[1], [5]]),
        ("inputs: [3, 1]\ntargets: [2]", [[4, 2], [8, 6]], [[3], [7]]),
        ("inputs: [0, 2]", [[1, 3], [5, 7]], [[4], [8]]),
    ],
)
def test_columns_are_chosen_by_place_as_in_the_reference_or_by_number(keys, inputs, targets):
    dataset = opened("1,2,3,4\n5,6,7,8\n", keys)
    assert (dataset.inputs.tolist(), dataset.targets.tolist()) == (inputs, targets)


def test_columns_are_chosen_by_name():
    keys = "inputs: [width]\ntargets: [length]"
    dataset = opened(FLOWERS, keys)
    assert (dataset.inputs.tolist(), dataset.targets.tolist()) == ([[2.5], [40], [6]], [[1], [-3], [5]])
    assert opened(FLOWERS, "targets: [kind]\nlabels: [lily, rose]").inputs.shape == (3, 2)


@pytest.mark.parametrize(
    ("text", "keys", "rows"),
    [
        ("1,2\n3,4", "", 2),
        ("a,b\n3,4", "", 1),
        ("a,1\n3,4", "header: true", 1),
        ("1,2\n3,4", "header: true", 1),
        ("1,2\n3,4", "header: false", 2),
    ],
    ids=["numbers", "names", "a year among names", "numbers as names", "no names"],
)
def test_a_first_row_without_numbers_names_the_columns(text, keys, rows):
    assert len(opened(text, keys)) == rows


@pytest.mark.parametrize(
    ("text", "keys", "file"),
    [
        ("1\t2\n3\t4\n", "", "t.tsv"),
        ("1;2\n3;4\n", "separator: ;", "t.csv"),
        ("1\t2\n3\t4\n", 'separator: "\\t"', "t.csv"),
        (b"\xef\xbb\xbf1,2\r\n3,4\r\n", "", "t.csv"),
        ('"1","2"\n 3 , 4\n\n', "", "t.csv"),
        ("1,2\n3,4", "", "t.csv"),
    ],
    ids=["TSV", "semicolon", "tab", "as Excel writes", "quotes, blanks, an empty line", "no last newline"],
)
def test_the_files_that_people_have_are_read(text, keys, file):
    dataset = opened(text, keys, file)
    assert (dataset.inputs.tolist(), dataset.targets.tolist()) == ([[1], [3]], [[2], [4]])


@pytest.mark.parametrize(
    ("labels", "cells", "classes"),
    [
        ("[cat, dog]", ["dog", "cat", "dog"], [1, 0, 1]),
        ("[cat, dog]", ["1", "0", "1"], [1, 0, 1]),
        ("[cat, dog]", ["1.0", "0.0", "1.0"], [1, 0, 1]),
        ("[7, 3]", ["3", "7", "3.0"], [1, 0, 1]),
        ("[1, 0]", ["0", "1", "0"], [1, 0, 1]),
    ],
    ids=["names", "indices", "indices with a point", "numbers as names", "names before indices"],
)
def test_classes_are_written_as_labels_or_as_their_indices(labels, cells, classes):
    text = "".join(f"0.5,{cell}\n" for cell in cells)
    assert opened(text, f"labels: {labels}").targets.tolist() == classes


def test_values_are_those_that_numpy_reads():
    rows = np.random.default_rng(1).normal(size=(200, 5)) * 10.0 ** np.arange(-3, 2)
    text = "\n".join(",".join(map(repr, map(float, row))) for row in rows)
    assert torch.equal(opened(text).inputs, torch.from_numpy(rows[:, :4]).float())


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        (FLOWERS, "", "t.csv:2: column 'kind': expected a number, found 'rose'"),
        ("a,b\n1,2\n\n3,\n", "", "t.csv:4: column 'b': expected a number, found nothing"),
        ("1,2\n3,nan\n", "", "t.csv:2: column '1': expected a number, found 'nan'"),
        ("1,2\ninf,2\n", "", "t.csv:2: column '0': expected a number, found 'inf'"),
        ("1,2\n3\n", "", "t.csv:2: has 1 columns, expected 2 as in line 1"),
        (FLOWERS, "labels: [lily, rosa]",
         "t.csv:2: column 'kind': expected a label, found 'rose'; did you mean 'rosa'?"),
        ("1,2\n3,0\n", "labels: [a, b]", "t.csv:1: column '1': expected a label, found '2'; labels: a, b"),
        ("1,a\n3,\n", "labels: [a, b]", "t.csv:2: column '1': expected a label, found nothing; labels: a, b"),
        ("", "", "t.csv: is empty"),
        ("a,b\n", "", "t.csv: holds no samples"),
        (b"a,b\n1,\xff\n", "", "t.csv:2: is no UTF-8 text: it holds the byte ff"),
        ('1,"2\n3,4\n', "", "t.csv:2: is no row of cells: unexpected end of data"),
    ],
)  # fmt: skip
def test_a_cell_that_cannot_be_read_is_reported_with_its_place(text, keys, message):
    assert spoilt(text, keys) == message


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("inputs: [lenth]", "3:9: inputs: t.csv has no column 'lenth'; did you mean 'length'?"),
        ("targets: [9]", "3:10: targets: t.csv has no column '9'; columns: kind, length, width"),
        ("inputDims: [4]", "3:12: t.csv has 3 columns, too few for 4 of inputs and 1 of targets where they "
                           "should be"),
        ("inputs: [kind]", "2:7: t.csv has 3 columns, too few for 1 of inputs and 1 of targets where they "
                           "should be"),
        ("inputOffset: 2", "2:7: t.csv has 3 columns, too few for 1 of inputs and 1 of targets where they "
                           "should be"),
        ("labels: [a]\ntargets: [0, 1]", "4:10: targets: classes stand in one column, found 2"),
        ("separator: ab", "3:12: separator: expected one character that separates columns, found 'ab'"),
        ("separater: ab", "3:1: unknown key 'separater'; did you mean 'separator'?"),
        ("header: 1.5", "3:9: header: expected true or false, found 1.5"),
    ],
)  # fmt: skip
def test_a_descriptor_that_does_not_fit_is_reported_with_its_place(keys, problem):
    with pytest.raises(ConfigError) as fault:
        opened(FLOWERS, keys)
    assert str(fault.value) == f"datasets/Own.yaml: 1 problem\n  datasets/Own.yaml:{problem}"


def test_a_table_needs_a_file():
    Path("datasets/Own.yaml").write_text("type: CSV\n")
    with pytest.raises(ConfigError) as fault:
        open_dataset(Folder(Path()), describe(Folder(Path()), "Own"))
    assert (
        str(fault.value) == "datasets/Own.yaml: 1 problem\n  datasets/Own.yaml:1:1: type CSV needs a 'file'"
    )


def test_measurements_in_time_can_be_told_to_be_a_sequence():
    assert opened("1,2\n2,3\n", "sequential: true").sequential
