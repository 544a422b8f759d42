"""Ranges as people write them, and what a dataset file may say."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe, parse_range
from dianne.data.readers import READERS
from dianne.errors import ConfigError, UsageError
from dianne.workspace import Folder, shipped

EXPECTED = "expected a range such as 0,59999 or 0:60000, found"


def counting(size):
    """A dataset in which every sample is its own index."""
    return Dataset("Counting", torch.arange(size), torch.arange(size))


def samples(text, size=20):
    return counting(size).select(parse_range(text)).inputs.tolist()


# ------------------------------------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("0,59999", 0, 59_999, 60_000),
        ("0:60000", 0, 59_999, 60_000),
        (":5", 0, 4, 5),
        ("5:", 5, 69_999, 69_995),
        (":", 0, 69_999, 70_000),
        ("1000", 0, 999, 1_000),
        (1000, 0, 999, 1_000),
        ("60000,69999", 60_000, 69_999, 10_000),
        ("60000:70000", 60_000, 69_999, 10_000),
        ("7,7", 7, 7, 1),
        (" 2 : 4 ", 2, 3, 2),
        ([0, 9], 0, 9, 10),
    ],
)
def test_a_range_chooses_neighbours(text, first, last, count):
    found = samples(text, size=70_000)
    assert (found[0], found[-1], len(found)) == (first, last, count)
    assert found == list(range(first, last + 1))


@pytest.mark.parametrize(
    ("text", "chosen"), [("3,1,4", [3, 1, 4]), ("3, 1, 4, 1", [3, 1, 4, 1]), ([3, 1, 4], [3, 1, 4])]
)
def test_three_and_more_numbers_are_indices_in_their_order(text, chosen):
    assert samples(text) == chosen


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 999))
def test_a_comma_includes_both_ends_and_a_colon_leaves_the_second_out(one, other):
    first, last = min(one, other), max(one, other)
    assert samples(f"{first},{last}", size=1_000) == list(range(first, last + 1))
    assert samples(f"{first}:{last + 1}", size=1_000) == list(range(first, last + 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"{EXPECTED} ''"),
        ("first", f"{EXPECTED} 'first'"),
        ("1.5", f"{EXPECTED} '1.5'"),
        ("1,", f"{EXPECTED} '1,'"),
        ("1-5", f"{EXPECTED} '1-5'"),
        ("-5:", f"{EXPECTED} '-5:'"),
        (True, f"{EXPECTED} 'True'"),
        ([], f"{EXPECTED} ''"),
        ("-1", "a range counts from 0, found '-1'"),
        ("0,-1", "a range counts from 0, found '0,-1'"),
        ("3,-1,4", "a range counts from 0, found '3,-1,4'"),
        ("0", "the range '0' is empty"),
        ("5:5", "the range '5:5' is empty"),
        ("5:3", "the range '5:3' is empty"),
        (":0", "the range ':0' is empty"),
        ("5,4", "the range '5,4' is empty"),
        ("5,3", "the range '5,3' is empty"),
    ],
)
def test_what_is_no_range_is_refused(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_range(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,20", "reaches to sample 20, but Counting has the samples 0 to 19; "
                 "a comma includes both ends: write 0,19 or 0:20"),
        ("5,20", "reaches to sample 20, but Counting has the samples 0 to 19; "
                 "a comma includes both ends: write 5,19 or 5:20"),
        ("0:21", "reaches to sample 20, but Counting has the samples 0 to 19"),
        ("21", "reaches to sample 20, but Counting has the samples 0 to 19"),
        ("20:", "reaches to sample 20, but Counting has the samples 0 to 19"),
        ("20,20", "reaches to sample 20, but Counting has the samples 0 to 19"),
        ("0,99", "reaches to sample 99, but Counting has the samples 0 to 19"),
        ("3,20,4", "reaches to sample 20, but Counting has the samples 0 to 19"),
    ],
)  # fmt: skip
def test_a_range_beyond_the_dataset_is_refused_and_the_comma_explained(text, message):
    with pytest.raises(UsageError) as fault:
        samples(text)
    assert str(fault.value) == f"the range {text} {message}"


# ------------------------------------------------------------------------------------------------- files


def write(name, text):
    path = Path("datasets") / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def described(text):
    write("Own", text)
    return describe(Folder(Path()), "Own")


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def problems(text):
    """The faults of a descriptor, each as line:column and sentence."""
    with pytest.raises(ConfigError) as fault:
        described(text)
    head, *lines = str(fault.value).split("\n")
    assert head == f"datasets/Own.yaml: {len(lines)} problem{'s' if len(lines) > 1 else ''}"
    return [line.removeprefix("  datasets/Own.yaml:") for line in lines]


def test_a_descriptor_is_named_after_its_file_unless_it_says_otherwise():
    assert described("type: IDX").name == "Own"
    assert described("type: IDX\nname: Mine").name == "Mine"


def test_labels_are_texts_whatever_they_look_like():
    assert described("type: IDX\nlabels: [0, cat, '2']").labels == ["0", "cat", "2"]
    assert described("type: IDX").labels is None


def test_labels_of_true_and_false_keep_their_names():
    assert described("type: IDX\nlabels: [true, false]").labels == ["true", "false"]


def test_parts_are_ranges():
    parts = described("type: IDX\nparts: {train: '0:5', test: [5, 9], all: 10}").descriptor.parts
    dataset = counting(10)
    assert [len(dataset.select(parts[name])) for name in ("train", "test", "all")] == [5, 5, 10]


def test_the_descriptor_of_a_workspace_hides_the_shipped_one():
    write("MNIST", "type: IDX\ndescription: mine")
    assert describe(Folder(Path()), "MNIST").descriptor.description == "mine"


def test_an_unknown_dataset_is_reported_with_the_nearest():
    with pytest.raises(UsageError) as fault:
        describe(Folder(Path()), "MNST")
    assert str(fault.value) == (
        "there is no dataset 'MNST' in datasets/ or among those that ship; did you mean 'MNIST'?"
    )


def test_all_faults_of_a_descriptor_are_listed_with_their_places():
    text = """\
lables: [a, b]
labels: 3
inputDims: [1, -2]
parts: {train: x, test: "5:5", some: "-1"}
files: {images: 3, targets: {urls: [7]}, odd: {urls: [a]}}
pad: 1.5
"""
    assert problems(text) == [
        "1:1: unknown key 'lables'; did you mean 'labels'?",
        "1:1: type: is missing and has no default",
        "2:9: labels: expected a list, found 3",
        "3:16: inputDims.1: expected more than 0, found -2",
        "4:16: parts.train: expected a range such as 0,59999 or 0:60000, found 'x'",
        "4:25: parts.test: the range '5:5' is empty",
        "4:38: parts.some: a range counts from 0, found '-1'",
        "5:17: files.images: expected keys and values, found 3",
        "5:37: files.targets.urls.0: expected text, found 7",
        "5:47: files.odd: needs a checksum: sha256 or md5",
        "6:6: pad: expected a whole number, found 1.5",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("frame: [8]", "2:8: frame: expected at least 2 items, found [8]"),
        ("frame: [8, 8, 8]", "2:8: frame: expected at most 2 items, found [8, 8, 8]"),
        ("labels: [cat, 1.5]", "2:15: labels.1: expected text or a whole number, found 1.5"),
        (f"files: {{a: {{sha256: {'ab' * 32}, urls: []}}}}",
         "2:93: files.a.urls: expected at least 1 item, found []"),
        ("files: {a: {sha256: 12ab, urls: [x]}}",
         "2:21: files.a.sha256: expected 64 hexadecimal digits, found '12ab'"),
    ],
    ids=["too few", "too many", "neither of two kinds", "no mirror", "no checksum"],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_explained_in_our_words(line, problem):
    assert problems(f"type: IDX\n{line}") == [problem]


ONE_PLACE = ("KMNIST", "SVHN")  # only their makers are known to give out these files


@pytest.mark.parametrize("path", sorted(shipped("datasets").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_dataset_can_be_read_and_fetched_from_two_places(path):
    found = describe(Folder(Path()), path.stem)
    assert found.name == path.stem
    assert found.descriptor.type in READERS
    assert set(found.descriptor.parts) >= {"train", "test"}
    files, places = found.descriptor.files, 1 if path.stem in ONE_PLACE else 2
    assert {name for name, file in files.items() if len(set(file.urls)) >= places} == set(files)
    assert set(files) == set(found.descriptor.needs())
    assert found.descriptor.description


def test_a_file_is_not_fetched_to_another_folder():
    text = "type: IDX\nfiles:\n  ../../x: {urls: [a], md5: 00000000000000000000000000000000}\n"
    text = text.replace("0" * 32, '"' + "0" * 32 + '"')
    assert problems(text) == ["3:3: files: expected the name of a file below this folder, found '../../x'"]


def test_a_checksum_has_as_many_digits_as_its_kind():
    text = "type: IDX\nfiles:\n  a: {urls: [b], md5: abc}\n"
    assert problems(text) == ["3:23: files.a.md5: expected 32 hexadecimal digits, found 'abc'"]


def test_what_a_descriptor_needs_are_files_archives_and_folders():
    def needs(text):
        return described(text).descriptor.needs()

    assert needs("type: IDX\ninputs: [a.zip/b, a.zip/c]\ntargets: [d]") == ["a.zip", "d"]
    assert needs("type: Parquet\nfile: a\ninputs: [column]") == ["a"]
    assert needs("type: Numpy\nfile: a.npz\ninputs: [x]") == ["a.npz"]
    assert needs("type: ImageSegmentationDataset") == ["images"]
    assert needs("type: CIFAR10\ninputs: [a]\nlabelsFile: b") == ["a", "b"]
    assert needs("type: HuggingFace\nrepository: a/b") == []
