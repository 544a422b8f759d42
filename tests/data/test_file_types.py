"""Readers of dataset types: small files made on the spot, and what is wrong with others."""

import builtins
import importlib
import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from dianne.data.descriptor import describe
from dianne.data.files import DataError
from dianne.data.readers import open_dataset
from dianne.errors import ConfigError
from dianne.workspace import Folder


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty workspace; data files are in it or nowhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    Path("datasets").mkdir()


def opened(text, files=(), name="Own"):
    """The workspace's dataset of that descriptor and of these files."""
    ending = "json" if text.lstrip().startswith("{") else "yaml"
    Path(f"datasets/Own.{ending}").write_text(text)
    for path, content in dict(files).items():
        place = Path("datasets", path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, name))


def spoilt(text, files=()):
    with pytest.raises(DataError) as fault:
        opened(text, files)
    return str(fault.value)


def misfit(text, files=()):
    """The one problem of a descriptor, from line:column on."""
    with pytest.raises(ConfigError) as fault:
        opened(text, files)
    head, problem = str(fault.value).split("\n")
    assert head == "datasets/Own.yaml: 1 problem"
    return problem.removeprefix("  datasets/Own.yaml:")


def picture(pixels, ending="png"):
    """A picture of (h, w) or (h, w, 3) bytes, as a file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, ending)
    return file.getvalue()


def npy(values, kind=None):
    file = io.BytesIO()
    np.save(file, np.asarray(values, kind))
    return file.getvalue()


# ---------------------------------------------------------------------------------------------- raw bytes

RAW = "type: RawDataset\ninputDims: [2]\ntargetDims: [3]\ninputs: [a.bin]\n"
VECTOR = bytes.fromhex("0200FF003366")


def test_a_record_is_a_class_and_a_sample():
    dataset = opened(RAW, {"a.bin": VECTOR})
    batch = dataset.batch(slice(None))
    assert dataset.labels == ["0", "1", "2"]
    torch.testing.assert_close(batch.input, torch.tensor([[0, 1], [0.2, 0.4]]))
    assert batch.target.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_classes_may_stand_in_files_of_their_own():
    text = "type: FileDataset\ninputDims: [2]\nlabels: [a, b]\ninputs: [x, y]\ntargets: [of_x, of_y]\n"
    files = {"x": bytes([1, 2]), "y": bytes([3, 4, 5, 6]), "of_x": bytes([1]), "of_y": bytes([0, 1])}
    dataset = opened(text, files)
    assert dataset.inputs.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert dataset.targets.tolist() == [1, 0, 1]
    files["of_y"] = bytes([0])
    assert spoilt(text, files) == "of_y: holds 1 classes, expected 2 as in y"


def test_raw_bytes_that_do_not_fit_are_located():
    assert spoilt(RAW, {"a.bin": VECTOR + b"x"}) == (
        "a.bin: its last record, at byte 6, has 1 bytes, expected 3"
    )
    assert spoilt(RAW, {"a.bin": VECTOR + bytes([3, 0, 0])}) == (
        "a.bin: byte 6: expected a class from 0 to 2, found 3"
    )
    assert spoilt(RAW + "noSamples: 3", {"a.bin": VECTOR}) == "Own: holds 2 samples, expected 3 (noSamples)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type: RawDataset", "1:1: type RawDataset needs 'inputDims', the shape of a sample"),
        (
            "type: RawDataset\ninputDims: [2]",
            "1:1: type RawDataset needs 'labels', or 'targetDims: [classes]'",
        ),
        (RAW.replace("inputs: [a.bin]\n", ""), "1:1: type RawDataset needs 'inputs', a list of files"),
        ("type: CIFAR10\nlabels: [a]", "1:1: type CIFAR10 needs 'inputs', a list of files"),
        (
            "type: STL10\nlabels: [a]\ninputs: [x]",
            "3:9: type STL10 needs as many 'targets' as 'inputs', found 1 inputs and 0 targets",
        ),
        ("type: ImageFolder", "1:1: type ImageFolder needs a 'file': a folder or archive"),
        ("type: Numpy", "1:1: type Numpy needs 'inputs', a list of files or arrays"),
        ("type: Parquet", "1:1: type Parquet needs a 'file'"),
        ("type: HuggingFace", "1:1: type HuggingFace needs a 'repository', such as ylecun/mnist"),
    ],
)
def test_a_descriptor_that_lacks_something_is_reported_with_its_place(text, problem):
    assert misfit(text) == problem


# ------------------------------------------------------------------------------------------ known formats


def test_cifar_10_is_planes_behind_a_class():
    planes = np.arange(2 * 3072).reshape(2, 3, 32, 32) % 251
    records = b"".join(
        bytes([kind]) + image.astype(np.uint8).tobytes() for kind, image in zip((1, 0), planes, strict=True)
    )
    dataset = opened("type: CIFAR10\nlabels: [a, b]\ninputs: [x.bin]", {"x.bin": records})
    assert dataset.inputs.tolist() == planes.tolist()
    assert dataset.targets.tolist() == [1, 0]


@pytest.mark.parametrize(("count", "expected"), [(100, 7), (20, 3)])
def test_cifar_100_has_fine_classes_and_with_20_labels_coarse_ones(count, expected):
    text = f"type: CIFAR100\ntargetDims: [{count}]\ninputs: [x.bin]"
    dataset = opened(text, {"x.bin": bytes([3, 7, *(n % 251 for n in range(3072))])})
    assert dataset.targets.tolist() == [expected]
    assert dataset.inputs.flatten().tolist() == [n % 251 for n in range(3072)]


def test_stl_10_is_stored_column_by_column_and_counts_classes_from_1():
    image = np.zeros((3, 96 * 96), np.uint8)
    image[0, 1], image[1, 96] = 5, 6
    text = "type: STL10\nlabelsFile: names.txt\ninputs: [X.bin]\ntargets: [y.bin]"
    files = {"X.bin": image.tobytes(), "y.bin": b"\2", "names.txt": b"airplane\nbird\n"}
    dataset = opened(text, files)
    assert dataset.labels == ["airplane", "bird"]
    assert dataset.targets.tolist() == [1]
    assert (dataset.inputs[0, 0, 1, 0], dataset.inputs[0, 1, 0, 1]) == (5, 6)
    assert dataset.inputs.sum() == 11
    assert spoilt(text, {"y.bin": b"\0"}) == "y.bin: byte 0: expected a class from 1 to 2, found 0"


SVHN = "type: SVHN\ntargetDims: [10]\ninputs: [x.mat]\n"


def mat(**values):
    file = io.BytesIO()
    scipy.io.savemat(file, values, do_compression=True)
    return file.getvalue()


def test_svhn_comes_in_mat_files_whose_class_10_is_the_digit_0():
    images = np.arange(32 * 32 * 3 * 2).reshape(32, 32, 3, 2).astype(np.uint8)
    dataset = opened(SVHN, {"x.mat": mat(X=images, y=np.array([[10], [3]], np.uint8))})
    assert dataset.inputs.tolist() == images.transpose(3, 2, 0, 1).tolist()
    assert dataset.targets.tolist() == [0, 3]


def test_svhn_that_is_not_as_expected_is_refused():
    images = np.zeros((32, 32, 3, 2), np.uint8)
    assert spoilt(SVHN, {"x.mat": mat(X=images[1:], y=[1, 2])}) == (
        "x.mat: X: expected images [32, 32, 3, n] of uint8, found [31, 32, 3, 2] of uint8"
    )
    assert spoilt(SVHN, {"x.mat": mat(X=images, y=np.array([1, 11]))}) == (
        "x.mat: y: sample 1: expected a class from 1 to 10, found 11"
    )
    assert spoilt(SVHN, {"x.mat": mat(X=images)}) == "x.mat: expected arrays X and y, found X"


def test_idx_images_may_be_stored_column_by_column():
    header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3])
    files = {"x": header + bytes(range(6)), "y": bytes([0, 0, 8, 1, 0, 0, 0, 1, 0])}
    dataset = opened("type: IDX\ninputs: [x]\ntargets: [y]\ntransposed: true", files)
    assert dataset.inputs.tolist() == [[[[0, 3], [1, 4], [2, 5]]]]


# ------------------------------------------------------------------------------------------------ pictures

GREY = [[0, 50, 100], [150, 200, 250]]
FOLDER = "type: ImageFolder\nfile: flowers\n"


def test_a_folder_for_each_class():
    colours = np.dstack([GREY] * 3)
    colours[0, 0] = 1, 2, 3
    files = {
        "flowers/rose/2.png": picture(colours),
        "flowers/lily/10.png": picture(GREY),
        "flowers/lily/.hidden.png": b"",
        "flowers/lily/notes.txt": b"",
    }
    dataset = opened(FOLDER, files)
    assert (dataset.labels, dataset.targets.tolist()) == (["lily", "rose"], [0, 1])
    assert dataset.inputs.dtype == torch.uint8
    assert dataset.inputs[0].tolist() == [GREY] * 3
    assert dataset.inputs[1].tolist() == colours.transpose(2, 0, 1).tolist()
    assert opened(FOLDER + "grey: true").input_dims == (1, 2, 3)
    assert opened(FOLDER + "size: [4, 5]").input_dims == (3, 4, 5)
    assert opened(FOLDER + "labels: [tulip, rose, lily]").targets.tolist() == [2, 1]


def test_pictures_that_do_not_fit_are_named():
    files = {"flowers/a/1.png": picture(GREY), "flowers/a/2.png": picture(np.transpose(GREY))}
    assert spoilt(FOLDER + "labels: [aa]\nsize: [2, 2]", files) == (
        "datasets/flowers/a/1.png: expected a folder named after a label; did you mean 'aa'?"
    )
    assert spoilt(FOLDER, {"flowers/a/2.png": picture(GREY)[:50]}).startswith(
        "datasets/flowers/a/2.png: is no whole picture ("
    )
    assert spoilt(FOLDER, {"flowers/a/2.png": picture(GREY), "flowers/3.png": picture(GREY)}) == (
        "datasets/flowers/3.png: expected a folder that names its class around it"
    )
    Path("datasets/empty").mkdir()
    assert spoilt("type: ImageFolder\nfile: empty") == "datasets/empty: holds no pictures"


def test_a_link_that_leads_out_of_the_folder_is_not_followed():
    Path("secret.png").write_bytes(picture(GREY))
    Path("datasets/flowers/a").mkdir(parents=True)
    Path("datasets/flowers/a/1.png").symlink_to(Path("secret.png").resolve())
    assert spoilt(FOLDER) == "datasets/flowers/a/1.png: is a link that leads out of this folder"


LISTED = "type: ImageClassificationDataset\ntargetsFile: classes.txt\nlabels: [a, b]\n"


def test_numbered_pictures_and_a_list_of_classes():
    files = {f"images/{n}.png": picture([[n]]) for n in range(11)}
    files["classes.txt"] = b"\n".join(b"%d" % (n % 2) for n in range(11))
    dataset = opened(LISTED, files)
    assert dataset.inputs.flatten().tolist() == list(range(11))
    assert dataset.targets.tolist() == [n % 2 for n in range(11)]
    assert (
        spoilt(LISTED, {"classes.txt": b"0\n2\n"}) == "classes.txt:2: expected a class from 0 to 1, found '2'"
    )
    assert spoilt(LISTED, {"classes.txt": b"0\n1\n"}) == "Own: has 11 inputs, but 2 targets"
    Path("datasets/images/5.png").unlink()
    assert spoilt(LISTED) == "datasets/images/6.png: expected number 5 in its place"
    assert spoilt(LISTED, {"images/x.png": picture([[0]])}) == (
        "datasets/images/x.png: expected a number for a name, such as 0.jpg"
    )


def test_segmentation_has_masks_for_targets():
    text = "type: ImageSegmentationDataset\n"
    files = {"images/a.png": picture(GREY), "masks/a.png": picture([[0, 255, 0], [255, 0, 255]])}
    dataset = opened(text, files)
    assert dataset.inputs.tolist() == [[GREY]]
    assert dataset.batch(slice(None)).target.tolist() == [[[[0, 1, 0], [1, 0, 1]]]]
    assert opened(text + "size: [4, 6]").targets.unique().tolist() == [0, 1]
    assert spoilt(text, {"images/b.png": picture(GREY)}) == (
        "datasets/images/b.png: has no mask of that name in datasets/masks"
    )
    assert spoilt(text, {"masks/b.png": picture([[1]])}) == (
        "datasets/masks/b.png: has [1, 1] pixels, but its image has [2, 3]"
    )


# -------------------------------------------------------------------------------------------------- arrays

NUMPY = "type: Numpy\ninputs: [x.npy]\ntargets: [y.npy]\n"


def test_arrays_of_numpy():
    values = np.arange(6).reshape(3, 2)
    dataset = opened(NUMPY, {"x.npy": npy(values / 4), "y.npy": npy([5, 6, 7])})
    assert dataset.inputs.tolist() == (values / 4).tolist()
    assert dataset.batch(slice(None)).target.tolist() == [5, 6, 7]
    columns = opened(NUMPY, {"x.npy": npy(np.asfortranarray(values), np.uint8)})
    assert (columns.inputs.tolist(), columns.inputs.dtype) == (values.tolist(), torch.uint8)
    assert opened(NUMPY + "labels: [a, b, c, d, e, f, g, h]").targets.tolist() == [5, 6, 7]
    assert opened("type: Numpy\ninputs: [x.npy]").autoencode


def test_arrays_of_one_npz_file():
    file = io.BytesIO()
    np.savez_compressed(file, pixels=np.eye(2), kinds=np.array([1, 0]))
    text = "type: Numpy\nfile: all.npz\nlabels: [a, b]\ninputs: [pixels]\ntargets: [kinds]\n"
    dataset = opened(text, {"all.npz": file.getvalue()})
    assert (dataset.inputs.tolist(), dataset.targets.tolist()) == ([[1, 0], [0, 1]], [1, 0])
    assert spoilt(text.replace("[kinds]", "[kind]")) == (
        "datasets/all.npz: has no array 'kind'; did you mean 'kinds'?"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.npy: is no .npy file: its header cannot be read (EOF: reading magic string, expected 8 "
              "bytes got 0)"),
        (npy([[1.0, 2.0]])[:-1],
         "x.npy: holds 15 bytes of values behind byte 128, but its header [1, 2] asks for 16"),
        (npy([[1.0, 2.0]]) + b"x",
         "x.npy: holds 17 bytes of values behind byte 128, but its header [1, 2] asks for 16"),
        (npy(["word"]), "x.npy: expected numbers, found <U4"),
        (npy([None], object), "x.npy: expected numbers, found object"),
        (npy(7), "x.npy: expected a row for each sample, found an array []"),
        (npy([[0, np.nan]]), "Own: inputs: sample 0: expected a number, found nan"),
        (npy([0, 1e300]), "Own: inputs: sample 1: expected a number, found 1e+300"),
    ],
    ids=["empty", "short", "long", "words", "pickle", "scalar", "nan", "too large"],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_refused(content, message):
    assert spoilt("type: Numpy\ninputs: [x.npy]", {"x.npy": content}) == message


# ---------------------------------------------------------------------------------- Parquet, Hugging Face

PARQUET = "type: Parquet\nfile: t.parquet\n"


def parquet(**columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def test_a_parquet_file_is_a_table():
    table = parquet(a=[1.5, 2], b=[3, 4], kind=["x", "y"])
    dataset = opened(PARQUET + "labels: [y, x]", {"t.parquet": table})
    assert dataset.inputs.tolist() == [[1.5, 3], [2, 4]]
    assert dataset.targets.tolist() == [1, 0]
    assert opened(PARQUET + "inputs: [b]\ntargets: [a]").targets.tolist() == [[1.5], [2]]
    assert misfit(PARQUET + "inputs: [c]") == "3:9: inputs: there is no column 'c'; columns: a, b, kind"
    assert spoilt(PARQUET) == "Own: column 'kind': expected numbers, found string"
    assert spoilt(PARQUET + "labels: [z, y]") == (
        "Own: row 0: column 'kind': expected a label, found 'x'; labels: y, z"
    )
    assert spoilt(PARQUET, {"t.parquet": table[:-9]}).startswith("t.parquet: is no whole Parquet file (")


def test_cells_may_hold_lists_and_pictures():
    nested = parquet(x=[[[1, 2], [3, 4]], [[5, 6], [7, 8]]], y=[0, 1])
    assert opened(PARQUET, {"t.parquet": nested}).inputs.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    images = parquet(x=[{"bytes": picture(GREY), "path": None}], y=[0])
    assert opened(PARQUET, {"t.parquet": images}).inputs.tolist() == [[GREY]]
    assert spoilt(PARQUET, {"t.parquet": parquet(x=[[1], [1, 2]], y=[0, 1])}) == (
        "Own: row 1: column 'x': has a list of 2, expected 1 as in row 0"
    )
    assert spoilt(PARQUET, {"t.parquet": parquet(x=[1, None], y=[0, 1])}) == (
        "Own: row 1: column 'x': expected a value, found nothing"
    )


def test_a_dataset_of_hugging_face_from_a_folder(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    if not hasattr(datasets, "Dataset"):
        pytest.skip("the library is not installed")
    features = datasets.Features(
        {"x": datasets.Value("float32"), "kind": datasets.ClassLabel(names=["a", "b"])}
    )
    made = datasets.Dataset.from_dict({"x": [1.0, 2.0], "kind": [1, 0]}, features=features)
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk("datasets/stored")
    text = "type: HuggingFace\nrepository: stored\n"
    dataset = opened(text)
    assert (dataset.labels, dataset.inputs.tolist(), dataset.targets.tolist()) == (
        ["a", "b"], [[1], [2]], [1, 0],
    )  # fmt: skip
    assert len(opened(text + "split: test")) == 1
    assert misfit(text + "split: tset") == "3:8: split: stored has no 'tset'; did you mean 'test'?"


@pytest.mark.parametrize("kind", ["Parquet", "HuggingFace"])
def test_without_the_libraries_it_says_what_to_install(kind, monkeypatch):
    real = builtins.__import__, importlib.import_module

    def missing(number):
        def find(name, *args, **kwargs):
            if name.split(".")[0] in ("pyarrow", "datasets"):
                raise ModuleNotFoundError(name)
            return real[number](name, *args, **kwargs)

        return find

    monkeypatch.setattr(builtins, "__import__", missing(0))
    monkeypatch.setattr("dianne.data.readers.huggingface.import_module", missing(1))
    assert spoilt(f"type: {kind}\nfile: x\nrepository: x") == (
        f"Own: type {kind} needs a library that is not installed; run: pip install 'dianne[hf]'"
    )


# --------------------------------------------------------------------------------- descriptors of DIANNE


def test_a_descriptor_of_dianne_is_read_as_it_is():
    text = """{ // a comment
\t"name" : "Raw bytes", "type": "FileDataset", "inputFiles": ["a.bin"],
\t"inputDims": [2], "targetDims": [3], "noSamples": 2, "inputType": "image", "prefetch": true, "mine": "//x"
}"""
    dataset = opened(text, {"a.bin": VECTOR}, name="Raw bytes")
    assert (dataset.name, dataset.inputs.tolist()) == ("Raw bytes", [[0, 255], [51, 102]])


def test_a_well_known_name_says_it_all():
    header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28])
    files = {
        f"digits/{part}-{what}": content
        for part in ("train", "t10k")
        for what, content in (
            ("images.idx3-ubyte", header + bytes(784)),
            ("labels.idx1-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 1, 7])),
        )
    }  # fmt: skip
    files["digits/mnist.json"] = b'{"name": "MNIST-copy"}'
    dataset = opened("type: IDX", files, name="MNIST-copy")
    assert (dataset.input_dims, dataset.targets.tolist(), len(dataset.labels)) == ((1, 28, 28), [7, 7], 10)


def test_a_json_descriptor_hides_a_shipped_one_and_other_json_is_data():
    Path("datasets/my.json").write_text('{"name": "MNIST"}')
    Path("datasets/state.json").write_text("[1]")
    Path("datasets/config.json").write_text('{"builder": "x"}')
    found = Folder(Path()).files("datasets")
    assert found["MNIST"] == Path("datasets/my.json")
    assert not {"state", "config", "my"} & found.keys()


def test_a_table_of_dianne_has_classes_by_number():
    text = """{"name": "T", "type": "CSVDataset", "file": "t.csv", "separator": "\\\\|", "inputDims": [2],
"targetDims": [3], "classification": "true"}"""
    dataset = opened(text, {"t.csv": b"1|2|0\n3|4|2\n"}, name="T")
    assert (dataset.inputs.tolist(), dataset.targets.tolist()) == ([[1, 2], [3, 4]], [0, 2])
    assert dataset.labels == ["0", "1", "2"]


def test_an_adapter_of_dianne_is_no_dataset():
    with pytest.raises(ConfigError) as fault:
        opened('{"name": "A", "adapter": "RangeAdapter", "dataset": "MNIST", "range": [0, 10]}', name="A")
    assert str(fault.value) == (
        "datasets/Own.json: 1 problem\n  datasets/Own.json:1:15: adapter: this is no dataset but a view of "
        "one; write it as options of the job"
    )
