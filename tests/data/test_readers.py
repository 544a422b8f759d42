"""Readers: what stands in the files arrives in the tensors, and what does not fit is refused."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch

from dianne.data.dataset import Dataset
from dianne.data.descriptor import describe
from dianne.data.files import DataError
from dianne.data.readers import open_dataset
from dianne.data.readers.idx import parse_idx
from dianne.errors import ConfigError
from dianne.workspace import Folder

CODES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
IMAGES = np.arange(32).reshape(2, 4, 4)  # (n, height, width)
OWN = "type: IDX\ninputs: [images]\ntargets: [classes]\n"


def idx(values, code=0x08):
    """Values as an IDX file."""
    array = np.asarray(values)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(CODES[code]).tobytes()


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty workspace; data files are in it or nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    Path("datasets").mkdir()


def opened(text, **files):
    """The workspace's dataset of that descriptor and of these files."""
    Path("datasets/Own.yaml").write_text(text)
    for name, content in files.items():
        Path("datasets", name).write_bytes(content)
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"))


def spoilt(text, **files):
    with pytest.raises(DataError) as fault:
        opened(text, **files)
    return str(fault.value)


def misfit(text, **files):
    """The one problem of a descriptor, from line:column on."""
    with pytest.raises(ConfigError) as fault:
        opened(text, **files)
    head, problem = str(fault.value).split("\n")
    assert head == "datasets/Own.yaml: 1 problem"
    return problem.removeprefix("  datasets/Own.yaml:")


def shipped(name):
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, name))


# --------------------------------------------------------------------------------------------- IDX files


@pytest.mark.parametrize(
    ("code", "values"),
    [
        (0x08, [0, 128, 255]),
        (0x09, [-128, 0, 127]),
        (0x0B, [-32_768, 1, 32_767]),
        (0x0C, [-(2**31), 1, 2**31 - 1]),
        (0x0D, [-0.5, 0.0, 1.25]),
        (0x0E, [-0.1, 0.0, 1e300]),
    ],
)
def test_values_of_every_idx_type_are_read(code, values):
    found = parse_idx(idx(values, code), "values")
    assert found.dtype == CODES[code]
    assert found.tolist() == values


def test_an_idx_file_of_several_axes_is_read_row_by_row():
    assert parse_idx(idx(IMAGES), "images").tolist() == IMAGES.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "images: is no IDX file: it begins with nothing"),
        (b"<html>", "images: is no IDX file: it begins with 3c 68 74 6d"),
        (b"\0\1\x08\x01\0\0\0\x01x", "images: is no IDX file: it begins with 00 01 08 01"),
        (b"\0\0\x0a\x01\0\0\0\x01x", "images: is no IDX file: it begins with 00 00 0a 01"),
        (b"\0\0\x08", "images: is no IDX file: it begins with 00 00 08"),
        (idx(IMAGES)[:12], "images: is no IDX file: it begins with 00 00 08 03"),
        (b"\0\0\x08\x00x", "images: is no IDX file: it begins with 00 00 08 00"),
        (idx(IMAGES)[:-1], "images: holds 31 bytes of values, but its header [2, 4, 4] asks for 32"),
        (idx(IMAGES) + b"x", "images: holds 33 bytes of values, but its header [2, 4, 4] asks for 32"),
        (idx(IMAGES, 0x0C)[:-4], "images: holds 124 bytes of values, but its header [2, 4, 4] asks for 128"),
    ],
    ids=["empty", "page", "zeros", "type", "short", "axes", "no axes", "too short", "too long", "four bytes"],
)
def test_what_is_no_whole_idx_file_is_refused(content, message):
    assert spoilt(OWN, images=content, classes=idx([0, 1])) == message


# --------------------------------------------------------------------------------- a dataset of one's own


def test_a_dataset_of_ones_own_needs_a_descriptor_and_files():
    dataset = opened(OWN + "labels: [cat, dog]", images=idx(IMAGES), classes=idx([1, 0]))
    assert (dataset.name, dataset.labels, len(dataset)) == ("Own", ["cat", "dog"], 2)
    assert (dataset.input_dims, dataset.target_dims) == ((1, 4, 4), (2,))
    assert (dataset.inputs.dtype, dataset.targets.dtype) == (torch.uint8, torch.int64)
    assert dataset.inputs.tolist() == IMAGES[:, None].tolist()
    assert dataset.targets.tolist() == [1, 0]


def test_files_may_be_compressed():
    Path("datasets/images.gz").write_bytes(gzip.compress(idx(IMAGES)))
    assert opened(OWN, classes=idx([0, 1])).inputs.tolist() == IMAGES[:, None].tolist()


def test_several_files_stand_one_behind_the_other():
    text = "type: IDX\ninputs: [second, first]\ntargets: [two, one]\n"
    dataset = opened(
        text, first=idx(IMAGES[:1]), second=idx(IMAGES[1:]), one=idx([1], 0x0C), two=idx([2], 0x0C)
    )
    assert dataset.inputs.tolist() == IMAGES[[1, 0], None].tolist()
    assert dataset.targets.tolist() == [2, 1]


def test_samples_take_the_shape_that_the_descriptor_gives():
    dataset = opened(OWN + "inputDims: [2, 8]", images=idx(IMAGES), classes=idx([0, 1]))
    assert dataset.inputs.tolist() == IMAGES.reshape(2, 2, 8).tolist()


@pytest.mark.parametrize("code", sorted(CODES))
def test_batches_are_float32_whatever_type_the_files_have(code):
    batch = opened(OWN, images=idx(IMAGES, code), classes=idx([0, 1])).batch(torch.tensor([1, 0]))
    scale = 255 if code == 0x08 else 1
    torch.testing.assert_close(batch.input, torch.from_numpy(IMAGES[[1, 0], None]).float() / scale)


def test_targets_without_labels_are_numbers_as_they_stand_in_the_file():
    dataset = opened(OWN, images=idx(IMAGES), classes=idx([0.5, -1.25], 0x0D))
    torch.testing.assert_close(dataset.batch(slice(None)).target, torch.tensor([0.5, -1.25]))


@pytest.mark.parametrize("code", [0x08, 0x0C])
def test_a_target_beyond_the_labels_is_refused(code):
    text = OWN + "labels: [cat, dog]"
    message = "Own: its targets are the classes 1 to 2, but it has 2 labels"
    assert spoilt(text, images=idx(IMAGES), classes=idx([1, 2], code)) == message


def test_a_target_below_zero_is_refused():
    message = "Own: its targets are the classes -1 to 1, but it has 2 labels"
    text = OWN + "labels: [cat, dog]"
    assert spoilt(text, images=idx(IMAGES), classes=idx([1, -1], 0x09)) == message


def test_a_target_that_is_no_whole_number_is_no_class():
    message = "Own: its targets are classes, but the files hold 0.5"
    text = OWN + "labels: [cat, dog]"
    assert spoilt(text, images=idx(IMAGES), classes=idx([1, 0.5], 0x0D)) == message


def test_as_many_targets_as_inputs_are_needed():
    message = "Own: has 2 inputs, but 3 targets"
    assert spoilt(OWN, images=idx(IMAGES), classes=idx([0, 1, 0])) == message


def test_files_of_different_shapes_do_not_make_one_dataset():
    message = "Own: its files hold samples of different shapes: images [4, 4], small [2, 4]"
    text = "type: IDX\ninputs: [images, small]\ntargets: [classes, classes]\n"
    assert spoilt(text, images=idx(IMAGES), small=idx(IMAGES[:, :2]), classes=idx([0, 1])) == message


def test_a_dataset_without_samples_is_refused():
    assert spoilt(OWN, images=idx(IMAGES[:0]), classes=idx(np.zeros(0))) == "Own: holds no samples"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type: IDXX", "1:7: unknown dataset type 'IDXX'; did you mean 'IDX'?"),
        ("type: xyzzy",
         "1:7: unknown dataset type 'xyzzy'; known: CharSequenceDataset, CIFAR10, CIFAR100, CSV, CSVDataset, "
         "FileDataset, HuggingFace, IDX, ImageClassificationDataset, ImageFolder, "
         "ImageSegmentationDataset, Numpy, Parquet, Python, RawDataset, sklearn, STL10, SVHN"),
        ("type: IDX",
         "1:1: type IDX needs as many 'targets' as 'inputs', found 0 inputs and 0 targets"),
        ("type: IDX\ninputs: [images]",
         "2:9: type IDX needs as many 'targets' as 'inputs', found 1 inputs and 0 targets"),
        (OWN + "inputDims: [1, 28, 28]",
         "4:12: inputDims: the files hold samples of [1, 4, 4], which is not [1, 28, 28]"),
        ("type: sklearn\nloader: load_digit",
         "2:9: scikit-learn has no loader 'load_digit'; did you mean 'load_digits'?"),
        ("type: sklearn",
         "1:1: type sklearn needs a 'loader', such as load_digits"),
        ("type: sklearn\nloader: load_files",
         "2:9: scikit-learn's 'load_files' gives no samples by itself; loaders: load_breast_cancer, "
         "load_diabetes, load_digits, load_iris, load_linnerud, load_wine"),
        ("type: sklearn\nloader: load_iris\nframe: [8, 8]",
         "3:8: frame: needs images [planes, height, width], but the samples are [4]"),
        ("type: sklearn\nloader: load_iris\npad: 1",
         "3:6: pad: needs images [planes, height, width], but the samples are [4]"),
        (OWN + "inputDims: [16]\npad: 1",
         "5:6: pad: needs images [planes, height, width], but the samples are [16]"),
        ("type: sklearn\nloader: load_iris\ninputDims: [5]",
         "3:12: inputDims: the files hold samples of [4], which is not [5]"),
        (OWN + "standardize: true",
         "4:14: standardize: needs a table of numbers, but the samples are [1, 4, 4]"),
        (OWN + "sequential: true\nshuffle: 1",
         "5:10: shuffle: the samples follow each other in time; in another order they would not"),
    ],
    ids=["type", "far type", "no files", "no targets", "shape", "loader", "no loader", "loader of files",
         "frame", "pad", "pad of files", "shape of a loader", "no table", "order in time"],
)  # fmt: skip
def test_a_descriptor_that_does_not_fit_is_reported_with_its_place(text, problem):
    assert misfit(text, images=idx(IMAGES), classes=idx([0, 1])) == problem


# ----------------------------------------------------------------------------------- what scikit-learn has


def test_digits_are_small_images_in_the_middle_of_a_black_frame():
    dataset = shipped("Digits")
    bunch = sklearn.datasets.load_digits()
    assert dataset.inputs.shape == (1_797, 1, 28, 28)
    assert dataset.inputs.dtype == torch.uint8
    assert dataset.inputs.max() == 255
    assert dataset.labels == [str(digit) for digit in range(10)]
    assert dataset.targets.tolist() == bunch.target.tolist()
    corners = torch.from_numpy(bunch.images[:, ::7, ::7] * 255 / 16).round()
    assert torch.equal(dataset.inputs[:, 0, 4:24:19, 4:24:19].to(corners.dtype), corners)
    dataset.inputs[:, :, 4:24, 4:24] = 0
    assert dataset.inputs.max() == 0


def test_digits_have_a_part_to_learn_from_and_a_part_to_be_tested_on():
    parts = describe(Folder(Path()), "Digits").descriptor.parts
    dataset = shipped("Digits")
    train, test = dataset.select(parts["train"]), dataset.select(parts["test"])
    assert (len(train), len(test)) == (1_500, 297)
    assert torch.equal(torch.cat((train.targets, test.targets)), dataset.targets)


def test_a_table_becomes_floats_and_classes():
    dataset = opened("type: sklearn\nloader: load_iris\nlabels: [setosa, versicolor, virginica]")
    assert (dataset.input_dims, dataset.target_dims, len(dataset)) == ((4,), (3,), 150)
    torch.testing.assert_close(dataset.inputs[0], torch.tensor([5.1, 3.5, 1.4, 0.2]))
    assert dataset.batch(torch.tensor([0, 149])).target.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_table_without_labels_has_numbers_for_targets():
    dataset = opened("type: sklearn\nloader: load_diabetes")
    assert dataset.targets.dtype == torch.float32
    assert dataset.targets[:3].tolist() == [151, 75, 141]


def test_an_image_is_cropped_to_the_ratio_of_the_frame_before_it_is_scaled():
    wide = np.tile([9, 1, 2, 3, 4, 9], (4, 1))[None]  # the outer columns do not fit
    text = OWN + "frame: [4, 4]"
    dataset = opened(text, images=idx(wide), classes=idx([0]))
    assert dataset.inputs.tolist() == [[[[1, 2, 3, 4]] * 4]]


def test_pad_puts_black_pixels_on_every_side():
    dataset = opened(OWN + "pad: 2", images=idx(IMAGES + 1), classes=idx([0, 1]))
    assert dataset.inputs.shape == (2, 1, 8, 8)
    assert dataset.inputs[:, 0, 2:6, 2:6].tolist() == (IMAGES + 1).tolist()
    assert dataset.inputs.sum() == (IMAGES + 1).sum()


# ------------------------------------------------------------------------- what a descriptor asks to do


def test_a_table_in_standard_units_has_columns_of_mean_0_and_deviation_1():
    text = "type: sklearn\nloader: load_wine\nstandardize: true"
    table = opened(text).inputs.double().numpy()
    raw = sklearn.datasets.load_wine().data
    np.testing.assert_allclose(table, (raw - raw.mean(0)) / raw.std(0), atol=1e-6)


def test_a_constant_column_becomes_zeros_in_standard_units():
    rows = "".join(f"0.1,{n},7\n" for n in range(10))
    dataset = opened("type: CSV\nfile: t.csv\nstandardize: true", **{"t.csv": rows.encode()})
    assert dataset.inputs[:, 0].tolist() == [0] * 10
    assert dataset.inputs[:, 1].std(correction=0) == pytest.approx(1)
    assert dataset.targets.tolist() == [[7]] * 10


def test_a_seed_puts_the_samples_into_one_order_for_good():
    iris = "type: sklearn\nloader: load_iris\nlabels: [a, b, c]\n"
    plain, first, again, other = (opened(iris + f"shuffle: {n}" if n else iris) for n in (0, 1, 1, 2))
    assert first.targets[:20].tolist() == [0, 1, 1, 0, 2, 1, 2, 0, 0, 2, 1, 0, 2, 1, 1, 0, 1, 1, 0, 0]
    assert torch.equal(first.inputs, again.inputs)
    assert not torch.equal(first.inputs, other.inputs)
    rows = [set(map(tuple, torch.cat((d.inputs, d.targets[:, None]), 1).tolist())) for d in (plain, first)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["Iris", "Wine", "BreastCancer", "Diabetes"])
def test_tables_that_ship_are_in_standard_units_and_their_parts_have_all_classes(name):
    dataset = shipped(name)
    assert dataset.inputs.mean(0).abs().max() < 1e-5
    torch.testing.assert_close(dataset.inputs.std(0, correction=0), torch.ones(dataset.input_dims))
    parts = describe(Folder(Path()), name).descriptor.parts
    train, test = (dataset.select(parts[key]) for key in ("train", "test"))
    assert len(train) + len(test) == len(dataset)
    assert len(test) == pytest.approx(len(dataset) / 5, abs=1)
    if dataset.labels:
        assert set(train.targets.tolist()) == set(test.targets.tolist()) == set(range(len(dataset.labels)))


# ------------------------------------------------------------------------------------------- the real MNIST


@pytest.fixture(scope="module")
def mnist(mnist_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIANNE_DATASETS", str(mnist_folder))
        folder = Folder(tmp_path_factory.mktemp("workspace"))
        described = describe(folder, "MNIST")
        return described, open_dataset(folder, described)


@pytest.mark.mnist
def test_mnist_holds_the_training_digits_first_and_then_the_test_digits(mnist):
    described, dataset = mnist
    parts = described.descriptor.parts
    train, test = dataset.select(parts["train"]), dataset.select(parts["test"])
    assert (len(dataset), len(train), len(test)) == (70_000, 60_000, 10_000)
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert torch.equal(torch.cat((train.targets, test.targets)), dataset.targets)


@pytest.mark.mnist
def test_mnist_is_kept_in_bytes_and_given_out_as_numbers_from_0_to_1(mnist):
    _, dataset = mnist
    assert isinstance(dataset, Dataset)
    assert (dataset.inputs.dtype, dataset.input_dims) == (torch.uint8, (1, 28, 28))
    assert dataset.inputs.float().mean() / 255 == pytest.approx(0.1309, abs=1e-4)
    batch = dataset.batch(torch.arange(1_000))
    assert (batch.input.dtype, batch.input.min(), batch.input.max()) == (torch.float32, 0, 1)
    assert batch.target.argmax(1).tolist() == dataset.targets[:1_000].tolist()
