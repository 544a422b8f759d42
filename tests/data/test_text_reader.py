"""Texts: each character, and the next."""

from pathlib import Path

import pytest
import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe
from dianne.data.files import DataError
from dianne.data.readers import open_dataset
from dianne.errors import ConfigError
from dianne.workspace import Folder


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    Path("datasets").mkdir()


def opened(text: str | bytes, keys: str = "", **files: str) -> Dataset:
    content = text if isinstance(text, bytes) else text.encode()
    Path("datasets/input.txt").write_bytes(content)
    for name, other in files.items():
        Path("datasets", name).write_text(other, encoding="utf-8", newline="")
    Path("datasets/Own.yaml").write_text(f"type: CharSequenceDataset\n{keys}", encoding="utf-8")
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"))


def spoilt(text: str | bytes, keys: str = "", **files: str) -> str:
    with pytest.raises(DataError) as fault:
        opened(text, keys, **files)
    return str(fault.value)


def pairs(dataset: Dataset) -> list[str]:
    names = dataset.labels
    return [f"{names[i]}{names[t]}" for i, t in zip(dataset.inputs, dataset.targets, strict=True)]


def test_each_character_is_followed_by_the_next():
    dataset = opened("abca")  # the example of the reference; its last sample cannot be fetched there
    assert (dataset.labels, dataset.vocabulary, dataset.sequential) == (
        ["a", "b", "c"],
        ["a", "b", "c"],
        True,
    )
    assert (len(dataset), dataset.input_dims, dataset.target_dims) == (3, (3,), (3,))
    assert pairs(dataset) == ["ab", "bc", "ca"]
    batch = dataset.batch(torch.tensor([0, 2]))
    assert batch.input.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert batch.target.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_the_vocabulary_is_in_the_order_of_first_appearance():
    assert opened("hello\nworld, hé").labels == list("helo\nwrd, é")


def test_signs_are_characters_whatever_bytes_they_take():
    dataset = opened("é€😀é\r\n")
    assert pairs(dataset) == ["é€", "€😀", "😀é", "é\r", "\r\n"]


@pytest.mark.parametrize(("count", "kind"), [(256, torch.uint8), (257, torch.int64)])
def test_indices_are_as_small_as_the_vocabulary_allows(count, kind):
    text = "".join(chr(0x100 + n) for n in range(count))
    dataset = opened(text)
    assert dataset.inputs.dtype == dataset.targets.dtype == kind
    assert dataset.inputs.tolist() == list(range(count - 1))
    assert dataset.batch(torch.tensor([count - 2])).target.argmax(1).tolist() == [count - 1]


def test_a_vocabulary_can_be_given():
    dataset = opened("abba", "labels: [b, x, a]")
    assert dataset.labels == ["b", "x", "a"]
    assert dataset.inputs.tolist() == [2, 0, 0]
    assert dataset.targets.tolist() == [0, 0, 2]


def test_a_file_can_hold_the_vocabulary_newlines_and_repetitions_included():
    dataset = opened("ab\na", "labelsFile: signs.txt", **{"signs.txt": "ab\nxa"})
    assert dataset.labels == ["a", "b", "\n", "x", "a"]
    assert dataset.inputs.tolist() == [0, 1, 2]
    assert dataset.targets.tolist() == [1, 2, 0]


def test_another_file_can_hold_the_text():
    Path("datasets/play.txt").write_text("xy")
    assert pairs(opened("ab", "file: play.txt")) == ["xy"]


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("ab\nac€", "labels: [a, b, 'c', \"\\n\"]",
         "input.txt:2:3: the character '€' is not in the vocabulary of 4 characters"),
        ("xab", "labels: [a, b]",
         "input.txt:1:1: the character 'x' is not in the vocabulary of 2 characters"),
        ("abz", "labels: [a, b]",
         "input.txt:1:3: the character 'z' is not in the vocabulary of 2 characters"),
        ("ab", "labelsFile: none.txt",
         "input.txt:1:1: the character 'a' is not in the vocabulary of 0 characters"),
        (b"ab\ncd\xff", "", "input.txt:2: is no UTF-8 text: it holds the byte ff"),
        ("a", "", "input.txt: holds 1 characters; a text needs at least 2"),
        ("", "", "input.txt: holds 0 characters; a text needs at least 2"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_read_is_reported_with_its_place(text, keys, message):
    assert spoilt(text, keys, **{"none.txt": ""}) == message


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("labels: [a, bc]", "2:9: labels: expected one character each, found 'bc'"),
        ("labels: [a, b]\nlabelsFile: signs.txt",
         "3:13: labelsFile: the vocabulary is in 'labels'; give one of the two"),
        ("frame: [2, 2]", "2:8: frame: needs images [planes, height, width], but the samples are [2]"),
        ("shuffle: 1",
         "2:10: shuffle: the samples follow each other in time; in another order they would not"),
        ("standardize: true", "2:14: standardize: needs a table of numbers, but the samples are [2]"),
    ],
)  # fmt: skip
def test_a_descriptor_that_does_not_fit_is_reported_with_its_place(keys, problem):
    with pytest.raises(ConfigError) as fault:
        opened("ab", keys, **{"signs.txt": "ab"})
    assert str(fault.value) == f"datasets/Own.yaml: 1 problem\n  datasets/Own.yaml:{problem}"


def test_shakespeare_is_read_where_its_file_is(monkeypatch):
    Path("datasets/Shakespeare").mkdir()
    Path("datasets/Shakespeare/input.txt").write_text("To be")
    folder = Folder(Path())
    with pytest.raises(DataError) as fault:
        open_dataset(folder, describe(folder, "Shakespeare"))
    assert "is not the file that Shakespeare declares" in str(fault.value)
