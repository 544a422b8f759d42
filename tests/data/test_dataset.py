"""Datasets in memory: what comes out as a batch, and what tells two datasets apart."""

from dataclasses import replace

import pytest
import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import parse_range

PIXELS = Dataset(
    "Pixels",
    torch.tensor([[0, 51], [255, 1], [102, 204]], dtype=torch.uint8),
    torch.tensor([2, 0, 1]),
    labels=["a", "b", "c"],
)
LETTERS = Dataset(
    "Letters",
    torch.tensor([0, 1, 2], dtype=torch.uint8),
    torch.tensor([1, 2, 0], dtype=torch.uint8),
    labels=["a", "b", "c"],
    vocabulary=["a", "b", "c"],
    sequential=True,
)
NUMBERS = Dataset("Numbers", torch.tensor([[-1.5, 2.0], [0.5, 7.0]]), torch.tensor([[0.5], [-3.0]]))


def test_bytes_become_numbers_from_0_to_1():
    batch = PIXELS.batch(torch.tensor([1, 0]))
    torch.testing.assert_close(batch.input, torch.tensor([[1, 1 / 255], [0, 0.2]]))


def test_floats_stay_as_they_are():
    batch = NUMBERS.batch(slice(None))
    assert batch.input.tolist() == [[-1.5, 2.0], [0.5, 7.0]]
    assert batch.target.tolist() == [[0.5], [-3.0]]


def test_classes_become_one_hot_floats():
    target = PIXELS.batch(torch.tensor([0, 1, 1])).target
    assert target.dtype == torch.float32
    assert target.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("dataset", [PIXELS, NUMBERS, LETTERS], ids=lambda dataset: dataset.name)
def test_for_an_autoencoder_the_target_is_the_input(dataset):
    own = replace(dataset, autoencode=True)
    batch = own.batch(torch.tensor([1, 0]))
    assert torch.equal(batch.target, batch.input)
    assert torch.equal(batch.input, dataset.batch(torch.tensor([1, 0])).input)
    assert own.target_dims == own.input_dims == dataset.input_dims


@pytest.mark.parametrize("indices", [torch.tensor([1, 0]), slice(0, 2)], ids=["indices", "slice"])
@pytest.mark.parametrize("dataset", [PIXELS, NUMBERS, LETTERS], ids=lambda dataset: dataset.name)
def test_what_is_done_to_a_batch_leaves_the_dataset_alone(dataset, indices):
    own = replace(dataset, inputs=dataset.inputs.clone(), targets=dataset.targets.clone())
    batch = own.batch(indices)
    batch.input.add_(1)
    batch.target.add_(1)
    assert own.fingerprint() == dataset.fingerprint()


def test_indices_into_a_vocabulary_become_one_hot_floats():
    batch = LETTERS.batch(torch.tensor([2, 0]))
    assert LETTERS.input_dims == LETTERS.target_dims == (3,)
    assert batch.input.dtype == batch.target.dtype == torch.float32
    assert batch.input.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert batch.target.tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("dataset", [PIXELS, NUMBERS, LETTERS], ids=lambda dataset: dataset.name)
def test_indices_of_two_axes_give_sequences(dataset):
    indices = torch.tensor([[0, 1], [2 % len(dataset), 0], [1, 1]])
    batch = dataset.batch(indices)
    for row, steps in enumerate(indices):
        single = dataset.batch(steps)
        assert torch.equal(batch.input[row], single.input)
        assert torch.equal(batch.target[row], single.target)
    empty = dataset.without_data(3, length=2)
    assert [value.shape for value in empty] == [value.shape for value in batch]
    assert all(value.is_meta for value in empty)


@pytest.mark.parametrize(("text", "sequential"), [("1:3", True), ("0,1", True), ("0,1,2", False)])
def test_neighbours_still_follow_each_other(text, sequential):
    assert LETTERS.select(parse_range(text)).sequential is sequential


@pytest.mark.parametrize("autoencode", [False, True])
@pytest.mark.parametrize("dataset", [PIXELS, NUMBERS, LETTERS], ids=lambda dataset: dataset.name)
def test_a_batch_without_data_has_the_shapes_and_types_of_one_with_data(dataset, autoencode):
    dataset = replace(dataset, autoencode=autoencode)
    for real, empty in zip(dataset.batch(slice(0, 2)), dataset.without_data(2), strict=True):
        assert (empty.shape, empty.dtype) == (real.shape, real.dtype)
        assert empty.is_meta


@pytest.mark.parametrize("text", ["1:3", "1,2", "1:"])
def test_neighbours_are_chosen_without_a_copy(text):
    chosen = PIXELS.select(parse_range(text))
    assert chosen.inputs.tolist() == [[255, 1], [102, 204]]
    assert chosen.inputs.data_ptr() == PIXELS.inputs[1:].data_ptr()
    assert chosen.targets.data_ptr() == PIXELS.targets[1:].data_ptr()


def test_what_is_chosen_keeps_everything_else_of_the_dataset():
    chosen = replace(PIXELS, autoencode=True).select(parse_range("2,0,2"))
    assert chosen.inputs.tolist() == [[102, 204], [0, 51], [102, 204]]
    assert chosen.targets.tolist() == [1, 2, 1]
    assert (chosen.name, chosen.labels, chosen.autoencode) == ("Pixels", ["a", "b", "c"], True)


# ------------------------------------------------------------------------------------------- fingerprint


def test_equal_data_have_the_same_fingerprint_wherever_they_lie():
    copy = replace(PIXELS, inputs=PIXELS.inputs.T.contiguous().T, targets=PIXELS.targets.clone())
    assert copy.fingerprint() == PIXELS.fingerprint()
    assert not copy.inputs.is_contiguous()


@pytest.mark.parametrize("field", ["inputs", "targets"])
@pytest.mark.parametrize("dataset", [PIXELS, NUMBERS, LETTERS], ids=lambda dataset: dataset.name)
def test_every_value_counts_for_the_fingerprint(dataset, field):
    original = getattr(dataset, field)
    found = {dataset.fingerprint()}
    for index in range(original.numel()):
        changed = original.clone()
        changed.view(-1)[index] += 1
        found.add(replace(dataset, **{field: changed}).fingerprint())
    assert len(found) == 1 + original.numel()


@pytest.mark.parametrize(
    "other",
    [
        replace(PIXELS, inputs=PIXELS.inputs.view(3, 2, 1)),
        replace(PIXELS, inputs=PIXELS.inputs.view(torch.int8)),
        replace(PIXELS, inputs=PIXELS.inputs.flip(0)),
        PIXELS.select(parse_range("0,1")),
        replace(PIXELS, vocabulary=["a", "b"]),
    ],
    ids=["shape", "type", "order", "part", "vocabulary"],
)
def test_shape_type_order_and_size_count_for_the_fingerprint(other):
    assert other.fingerprint() != PIXELS.fingerprint()
