"""Adapters: what they make of samples, from where they draw, and what they refuse."""

from dataclasses import replace
from math import pi

import pytest
import torch

from dianne.data.adapter_options import AdapterOptions, labels_after, wanted
from dianne.data.adapters.stack import adapted, statistics_of
from dianne.data.dataset import Dataset
from dianne.errors import UsageError

PIXELS = torch.arange(16, dtype=torch.uint8).view(1, 4, 4) + 1


def images(*shape: int, count: int = 3, **about) -> Dataset:
    """Images of floats, each pixel 10 * row + column."""
    grid = 10 * torch.arange(shape[-2]).float().view(-1, 1) + torch.arange(shape[-1])
    inputs = grid.expand(count, *shape).clone()
    return Dataset("Images", inputs, torch.arange(count).float(), **about)


def one(values: torch.Tensor, **options) -> torch.Tensor:
    """One image behind adapters, while learning."""
    dataset = Dataset("One", values.unsqueeze(0), torch.zeros(1))
    return adapted(dataset, AdapterOptions(**options)).drawing(1, learning=True).batch(slice(None)).input[0]


def fault(dataset: Dataset, **options) -> str:
    with pytest.raises(UsageError) as raised:
        adapted(dataset, AdapterOptions(**options))
    return str(raised.value)


def behind(dataset: Dataset, *, learning: bool = True, seed: int = 1, **options) -> Dataset:
    return adapted(dataset, AdapterOptions(**options)).drawing(seed, learning)


# ------------------------------------------------------------------------------- the reference's vectors


@pytest.mark.parametrize(
    ("theta", "centre", "zeropad", "rows"),
    [
        (0.5, "0,0", True, "1 1 2 7 / 1 5 6 11 / 5 9 9 14 / 0 13 13 0"),
        (0.5, "0,0", False, "1 1 2 7 / 1 5 6 11 / 5 9 9 14 / 9 13 13 14"),
        (-0.5, "2,2", True, "5 1 2 2 / 9 5 6 3 / 9 10 11 7 / 13 14 11 12"),
        (-0.5, "true", True, "5 1 2 2 / 9 5 6 3 / 9 10 11 7 / 13 14 11 12"),
    ],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
@pytest.mark.parametrize("planes", [0, 1, 3])
def test_rotation_cuts_places_to_whole_numbers(theta, centre, zeropad, rows, kind, planes):
    image = torch.arange(1, 17, dtype=kind).view(4, 4)
    image = image.expand(planes, 4, 4) if planes else image
    options = {"rotationTheta": [theta, theta], "rotationCenter": centre, "zeropad": zeropad}
    found = one(image, **options) * (255 if kind == torch.uint8 else 1)
    expected = torch.tensor([[float(cell) for cell in row.split()] for row in rows.split("/")])
    torch.testing.assert_close(found, expected.expand(found.shape))


def test_the_centre_of_a_rotation_stays_where_it_is():
    image = torch.arange(30.0).view(5, 6)
    for x, y in ((0, 4), (5, 0), (1, 3)):
        turned = one(image, rotationTheta=[1, 1], rotationCenter=f"{x},{y}")
        assert turned[y, x] == image[y, x]
        assert not torch.equal(turned, image)


def test_a_quarter_turn_shows_the_rounding_of_its_angle():
    image = torch.arange(1.0, 10).view(1, 3, 3)
    found = one(image, rotationTheta=[pi / 2, pi / 2], rotationCenter="1,1")
    assert found.tolist() == [[[3, 5, 8], [2, 5, 4], [1, 1, 4]]]


def test_rotation_takes_degrees_too():
    degrees = one(PIXELS, rotation=[90, 90], rotationCenter="true")
    assert torch.equal(degrees, one(PIXELS, rotationTheta=[pi / 2, pi / 2], rotationCenter="true"))


@pytest.mark.parametrize(
    ("shape", "frame", "first"),
    [
        ((4, 6), "3,3", [[1, 2.5, 4], [16, 17.5, 19], [31, 32.5, 34]]),
        ((6, 4), "2,3", [[20, 21.5, 23], [30, 31.5, 33]]),
    ],
)
@pytest.mark.parametrize("planes", [(), (1,)])
def test_a_frame_crops_to_the_ratio_of_its_sides_and_then_scales(shape, frame, first, planes):
    found = behind(images(*planes, *shape), frame=frame)
    expected = torch.tensor(first).expand(3, *planes, -1, -1)
    torch.testing.assert_close(found.batch(slice(None)).input, expected)
    assert found.input_dims == expected.shape[1:]


def test_scaling_keeps_corners_at_corners():
    dot = torch.zeros(1, 3, 3)
    dot[0, 1, 1] = 1
    line = torch.tensor([0, 0.4, 0.8, 0.8, 0.4, 0])
    torch.testing.assert_close(one(dot, frame="6,6")[0], torch.outer(line, line))
    block = torch.zeros(1, 4, 4)
    block[0, 1:3, 1:3] = 1
    torch.testing.assert_close(one(block, frame="3,3"), dot)
    torch.testing.assert_close(one(torch.full((1, 3, 5), 0.25), frame="7,2"), torch.full((1, 7, 2), 0.25))
    first = one(images(1, 28, 28).inputs[0], frame="32,32")[0, 0, :4]
    torch.testing.assert_close(first, torch.tensor([0, 0.870968, 1.741935, 2.612903]))


def test_a_frame_with_planes_repeats_the_first_or_leaves_the_last_out():
    grey, colours = images(1, 4, 4), images(3, 4, 4)
    colours.inputs[:, 1:] = -1
    for dataset, planes in ((grey, 3), (colours, 1)):
        found = behind(dataset, frame=[planes, 4, 4]).batch(slice(None)).input
        assert torch.equal(found, grey.inputs.expand(-1, planes, -1, -1))


def test_every_window_of_the_padded_image_is_drawn_and_lies_where_it_should():
    line = torch.arange(1.0, 9).view(1, 1, 8).expand(2000, 1, 1, 8)
    dataset = Dataset("Line", line, torch.zeros(2000))
    found = behind(dataset, cropHeight=9, cropWidth=8, cropPadding=4).batch(slice(None)).input
    rows = found[:, 0, 4].unique(dim=0)
    padded = torch.cat((torch.zeros(4), torch.arange(1.0, 9), torch.zeros(4)))
    assert torch.equal(rows, padded.unfold(0, 8, 1).unique(dim=0))
    counts = (found[:, 0, 4, 0]).long().bincount()[1:]
    assert counts.min() > 2000 / 9 * 0.6, counts


def test_binarize_takes_the_threshold_for_0():
    values = torch.tensor([0.5, 0.5000001, 0.2, 1.0])
    assert one(values, binarize=0.5).tolist() == [0, 1, 0, 1]
    assert one(torch.tensor([127, 128, 0, 255], dtype=torch.uint8), binarize=0.5).tolist() == [0, 1, 0, 1]


def digits(count: int = 30) -> Dataset:
    inputs = torch.arange(count).float().view(-1, 1)
    return Dataset("Digits", inputs, torch.arange(count) % 10, [str(label) for label in range(10)])


def test_labels_keep_classes_in_the_order_given_and_others_as_one_more():
    found = behind(digits(), labels="1,7", other=True)
    target = found.batch(torch.tensor([1, 7, 3])).target
    assert target.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert (len(found), found.labels, found.target_dims) == (30, ["1", "7", "other"], (3,))


def test_labels_without_other_leave_samples_out():
    found = behind(digits(), labels=["7", "1"])
    batch = found.batch(slice(None))
    assert batch.input.flatten().tolist() == [1, 7, 11, 17, 21, 27]
    assert batch.target.argmax(1).tolist() == [1, 0] * 3


# -------------------------------------------------------------------------------------------- semantics


@pytest.mark.parametrize(("key", "side"), [("vflip", -2), ("hflip", -1)])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
def test_a_flip_that_is_certain_reverses_one_side(key, side, shape):
    dataset = images(*shape)
    found = behind(dataset, **{key: 1}).batch(slice(None)).input
    assert torch.equal(found, dataset.inputs.flip(side))


def test_flips_are_drawn_for_each_sample_as_often_as_asked():
    dataset = images(1, 2, 2, count=4000)
    found = behind(dataset, hflip=0.25, vflip=0.5).batch(slice(None)).input[:, 0]
    mirrored, turned = found[:, 0, 0] % 10 == 1, found[:, 0, 0] >= 10
    assert abs(float(mirrored.float().mean()) - 0.25) < 0.03
    assert abs(float(turned.float().mean()) - 0.5) < 0.03
    assert abs(float((mirrored & turned).float().mean()) - 0.125) < 0.03


def test_masks_move_with_their_images():
    inputs = torch.rand(64, 1, 8, 8)
    dataset = Dataset("Masks", inputs, (inputs * 2).clone())
    options = {"hflip": 0.5, "vflip": 0.5, "rotation": 30, "cropWidth": 6, "cropPadding": 1, "frame": "5,5"}
    found = behind(dataset, **options)
    batch = found.batch(slice(None))
    torch.testing.assert_close(batch.target, batch.input * 2)
    assert found.target_dims == batch.target.shape[1:] == (1, 5, 5)


def test_an_autoencoder_gives_back_what_all_but_the_noise_made():
    dataset = Dataset("Images", torch.rand(50, 1, 8, 8), torch.zeros(50))
    batch = behind(dataset, autoencode=True, hflip=0.5, binarize=0.5, encoder_noise=0.1).batch(slice(None))
    assert set(batch.target.unique().tolist()) == {0, 1}
    assert 0.09 < float((batch.input - batch.target).std()) < 0.11


def test_dropped_values_are_0_and_others_as_they_were():
    dataset = Dataset("Ones", torch.full((100, 100), 3.0), torch.zeros(100))
    values = behind(dataset, encoderDrop=0.3).batch(slice(None)).input
    assert set(values.unique().tolist()) == {0, 3}
    assert abs(float((values == 0).float().mean()) - 0.3) < 0.02


def test_stochastic_binarization_draws_each_pixel_anew_in_every_batch():
    dataset = Dataset("Grey", torch.full((400, 1, 10, 10), 64, dtype=torch.uint8), torch.zeros(400))
    found = behind(dataset, stochasticBinarize=True)
    first, second = (found.batch(slice(None)).input for _ in range(2))
    assert set(first.unique().tolist()) == {0, 1}
    assert abs(float(first.mean()) - 64 / 255) < 0.01
    assert not torch.equal(first, second)


def test_where_nothing_is_learned_only_stochastic_binarization_draws():
    dataset = images(1, 6, 6)
    options = {"hflip": 1, "vflip": 1, "rotation": 90, "encoderNoise": 1, "encoderDrop": 1}
    plain = behind(dataset, learning=False, **options).batch(slice(None)).input
    assert torch.equal(plain, dataset.inputs)
    middle = behind(dataset, learning=False, cropWidth=2, cropHeight=4).batch(slice(None)).input
    assert torch.equal(middle, dataset.inputs[..., 1:5, 2:4])
    turned = behind(dataset, learning=False, rotationTheta="0.4,0.6").batch(slice(None)).input
    assert torch.equal(turned, behind(dataset, rotationTheta="0.5,0.5").batch(slice(None)).input)
    grey = replace(dataset, inputs=torch.full((3, 1, 6, 6), 0.5))
    drawn = behind(grey, learning=False, stochasticBinarize=True)
    assert not torch.equal(*(drawn.batch(slice(None)).input for _ in range(2)))


def test_evaluations_draw_the_same_in_batches_of_any_size():
    dataset = Dataset("Grey", torch.rand(64, 1, 5, 5), torch.zeros(64))
    whole = behind(dataset, learning=False, stochasticBinarize=True).batch(slice(None)).input
    parts = behind(dataset, learning=False, stochasticBinarize=True)
    assert torch.equal(torch.cat([parts.batch(slice(at, at + 7)).input for at in range(0, 64, 7)]), whole)


def test_normalise_gives_every_plane_mean_0_and_deviation_1():
    inputs = torch.rand(200, 3, 4, 4) * torch.tensor([1.0, 50, 0]).view(3, 1, 1) + 1000
    found = behind(Dataset("Colours", inputs, torch.zeros(200)), normalise=True)
    values = found.batch(slice(None)).input
    assert values.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-3)
    assert values.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-3)
    mean, deviation = statistics_of(found)
    assert mean == pytest.approx(inputs.double().mean((0, 2, 3)).tolist())
    assert deviation[2] == 1


def test_normalise_takes_statistics_that_are_known():
    table = Dataset("Table", torch.tensor([[1.0, 10], [3, 30]]), torch.zeros(2))
    found = adapted(table, AdapterOptions(normalise=True), known=([1, 10], [2, 20]))
    assert found.batch(slice(None)).input.tolist() == [[0, 0], [1, 1]]


def test_normalise_comes_behind_what_moves_pixels():
    dataset = images(1, 4, 4)
    found = behind(dataset, normalise=True, frame="1,2,2", binarize=15)
    mean, deviation = statistics_of(found)
    assert (mean, deviation) == (pytest.approx([0.5]), pytest.approx([0.5]))
    assert found.batch(slice(None)).input[0].tolist() == [[[-1, -1], [1, 1]]]


def test_masks_become_classes():
    masks = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    masks[1, 0, 0, 0], masks[2, 0, 2, 2] = 255, 255
    dataset = Dataset("Masks", torch.zeros(3, 1), masks)
    found = behind(dataset, maskToClass=0.5)
    assert found.batch(slice(None)).target.tolist() == [[0, 1], [1, 0], [1, 0]]
    assert found.labels == ["True", "False"]
    centre = behind(replace(dataset, targets=masks.float() / 255), maskToClass=0.5, maskCenter=True)
    assert centre.batch(slice(None)).target.tolist() == [[0, 1], [0, 1], [1, 0]]


def test_whole_numbers_become_classes():
    found = behind(Dataset("Numbers", torch.zeros(3, 1), torch.tensor([[2.0], [0], [1]])), oneHot=3)
    assert found.batch(slice(None)).target.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert found.labels == ["0", "1", "2"]


def test_both_sides_of_a_split_are_the_whole():
    options = AdapterOptions(split=0.8, splitSeed=3)
    learned, kept = (adapted(digits(), options, rest=rest) for rest in (False, True))
    assert (len(learned), len(kept)) == (24, 6)
    assert sorted([*learned.inputs.flatten().tolist(), *kept.inputs.flatten().tolist()]) == list(range(30))
    other = adapted(digits(), AdapterOptions(split=0.8, splitSeed=4))
    assert not torch.equal(learned.inputs, other.inputs)


def test_sequences_are_adapted_sample_by_sample():
    dataset = images(1, 4, 4, count=8, sequential=True)
    indices = torch.tensor([[0, 1, 2], [4, 5, 6]])
    found = behind(dataset, cropWidth=2, autoencode=True)
    batch = found.batch(indices)
    assert batch.input.shape == batch.target.shape == (2, 3, 1, 4, 2)
    assert torch.equal(
        batch.input, behind(dataset, cropWidth=2).batch(indices.flatten()).input.view_as(batch.input)
    )


def test_a_vocabulary_can_be_noisy():
    letters = Dataset(
        "Text", torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]), ["a", "b"], vocabulary=["a", "b"]
    )
    found = behind(letters, encoderDrop=1).batch(torch.tensor([[0, 1]]))
    assert found.input.tolist() == [[[0, 0], [0, 0]]]
    assert found.target.tolist() == [[[0, 1], [0, 1]]]


def test_shapes_without_data_are_those_of_batches():
    dataset = Dataset("Masks", torch.rand(4, 1, 8, 8), torch.rand(4, 1, 8, 8))
    for options in ({"cropWidth": 6}, {"frame": "3,5,4"}, {"autoencode": True, "cropHeight": 3}):
        found = behind(dataset, **options)
        shapes, real = found.without_data(4), found.batch(slice(None))
        assert (shapes.input.shape, shapes.target.shape) == (real.input.shape, real.target.shape)


def test_what_is_done_to_a_batch_leaves_the_data_alone():
    for dataset in (
        images(1, 4, 4),
        digits(),
        Dataset("Bytes", PIXELS.expand(3, -1, -1, -1).clone(), torch.zeros(3)),
    ):
        before = dataset.inputs.clone(), dataset.targets.clone()
        for indices in (slice(None), torch.tensor([0, 1])):
            batch = behind(dataset, encoderNoise=1, learning=False).batch(indices)
            batch.input.add_(1)
            batch.target.add_(1)
        assert torch.equal(dataset.inputs, before[0])
        assert torch.equal(dataset.targets, before[1])


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hflip": 0.5}, "hflip needs images [height, width] or [planes, height, width], but the samples of "
         "Digits are [1]"),
        ({"cropPadding": 1}, "cropPadding needs images [height, width] or [planes, height, width], but the "
         "samples of Digits are [1]"),
        ({"labels": "1,77"}, "labels: Digits has no class '77'; did you mean '7'?"),
        ({"labels": "1,1"}, "labels=1,1 names a class twice"),
        ({"other": True}, "other=true needs labels=..., the classes that are kept"),
        ({"splitSeed": 1}, "splitSeed needs split=..., the share of samples that is learned from"),
        ({"split": 0.01}, "split=0.01 leaves no sample on one side; Digits has 30"),
        ({"maskToClass": 0.5}, "maskToClass needs targets that are images; those of Digits are classes"),
        ({"maskCenter": True}, "maskCenter=true needs maskToClass=..., what the middle of a mask must "
         "exceed"),
        ({"oneHot": 3}, "oneHot needs one whole number as target; those of Digits are classes already"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(options, message):
    assert fault(digits(), **options) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cropWidth": 9}, "a window of 4 x 9 does not fit into the images of Images, which are 4 x 4 with "
         "their padding; raise cropPadding, or use frame"),
        ({"rotation": 5, "rotationTheta": 1}, "rotation and rotationTheta mean the same, in degrees and "
         "radians; give one"),
        ({"zeropad": True}, "rotationCenter and zeropad need rotation=..., an angle in degrees"),
        ({"labels": "1"}, "labels=1: Images has no classes"),
        ({"oneHot": 2}, "oneHot=2: a target of Images is 2, expected a whole number from 0 to 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_images_is_refused(options, message):
    assert fault(images(1, 4, 4), **options) == message


def test_statistics_of_other_samples_are_refused():
    with pytest.raises(UsageError) as raised:
        adapted(images(1, 4, 4), AdapterOptions(normalise=True), known=([1, 2], [1, 1]))
    assert str(raised.value) == (
        "normalise: the samples of Images are [1, 4, 4], but the weights learned from samples with 2 planes "
        "or columns"
    )


def test_adapters_are_told_in_their_order_however_they_are_given():
    options = AdapterOptions(
        encoder_drop=0.1, autoencode=True, frame="32,32", hflip=0.5, labels="1,7", vflip=1
    )
    assert wanted(options) == [
        "labels=1,7", "vflip=1.0 hflip=0.5", "frame=32,32", "autoencode=true", "encoderDrop=0.1",
    ]  # fmt: skip
    assert wanted(AdapterOptions()) == []


def test_classes_are_known_before_data_are_read():
    assert labels_after(["a", "b", "c"], AdapterOptions(labels="c", other=True)) == ["c", "other"]
    assert labels_after(None, AdapterOptions(maskToClass=1)) == ["True", "False"]
    assert labels_after(None, AdapterOptions(oneHot=2)) == ["0", "1"]
    assert labels_after(["a"], AdapterOptions(autoencode=True)) is None
