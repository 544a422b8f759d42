"""Spoilt files of every type give a dataset or a fault, never a traceback."""

import io
import os
import random
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from dianne.data import mapping
from dianne.data.descriptor import describe
from dianne.data.readers import open_dataset
from dianne.data.rows import Rows
from dianne.errors import DianneError
from dianne.workspace import Folder

TIMES = 500


def picture(ending):
    file = io.BytesIO()
    pixels = np.random.RandomState(0).randint(0, 255, (12, 10, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, ending)
    return file.getvalue()


def written(write, *args, **kwargs):
    file = io.BytesIO()
    write(file, *args, **kwargs)
    return file.getvalue()


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(name, content):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet():
    pyarrow = pytest.importorskip("pyarrow")
    module = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"x": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]})
    return written(lambda file: module.write_table(table, file))


RECORDS = bytes(n % 3 for n in range(30))
IDX = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(range(24))
KINDS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 0])
IMAGES = np.zeros((32, 32, 3, 2), np.uint8)
ARRAYS = {"x": np.eye(2), "y": np.array([0, 1])}
RAW = "type: RawDataset\ninputDims: [2]\ntargetDims: [3]\n"
CASES = {
    "raw": (RAW + "inputs: [f]", lambda: RECORDS),
    "idx": ("type: IDX\ninputs: [f]\ntargets: [k]\nlabels: [a, b]", lambda: IDX),
    "cifar10": ("type: CIFAR10\ninputs: [f]\ntargetDims: [2]", lambda: bytes(3073 * 2)),
    "cifar100": ("type: CIFAR100\ninputs: [f]\ntargetDims: [100]", lambda: bytes(3074 * 2)),
    "stl10": ("type: STL10\ninputs: [f]\ntargets: [one]\ntargetDims: [2]", lambda: bytes(27648)),
    "svhn": (
        "type: SVHN\ninputs: [f.mat]\ntargetDims: [10]",
        lambda: written(scipy.io.savemat, {"X": IMAGES, "y": np.array([[1], [10]], np.uint8)}),
    ),
    "packed svhn": (
        "type: SVHN\ninputs: [f.mat]\ntargetDims: [10]",
        lambda: written(scipy.io.savemat, {"X": IMAGES, "y": [[1], [10]]}, do_compression=True),
    ),
    "csv": ("type: CSV\nfile: f.csv\nlabels: [a, b]", lambda: b"x,y,kind\n1,2,a\n3,4.5,b\n"),
    "text": ("type: CharSequenceDataset\nfile: f.txt", lambda: "größer als nichts\n".encode()),
    "npy": ("type: Numpy\ninputs: [f.npy]", lambda: written(np.save, np.eye(3))),
    "npz": ("type: Numpy\nfile: f.npz\ninputs: [x]\ntargets: [y]", lambda: written(np.savez, **ARRAYS)),
    "parquet": ("type: Parquet\nfile: f.parquet", parquet),
    "zip": (RAW + "inputs: [f.zip/a/f]", lambda: zipped("a/f", RECORDS)),
    "tar": (RAW + "inputs: [f.tar.gz/a/f]", lambda: tarred("a/f", RECORDS)),
    "labels": (RAW.replace("targetDims: [3]", "labelsFile: f\ninputs: [r]"), lambda: b"a\nb\nc\n"),
    "list": (
        "type: ImageClassificationDataset\nlabels: [a, b]\ntargetsFile: f\nfile: i.zip",
        lambda: b"1\n",
    ),
    "archive of pictures": (
        "type: ImageFolder\nfile: f.zip",
        lambda: zipped("a/0.png", picture("png")),
    ),
} | {
    f"picture {ending}": (f"type: ImageFolder\nfile: pictures\n#a/0.{ending}", partial(picture, ending))
    for ending in ("png", "jpeg", "bmp", "gif", "tiff", "webp")
}  # fmt: skip


def spoil(content, draw):
    """The bytes with something wrong: up to 8 of them changed, the end cut off, or bytes added or taken."""
    data = bytearray(content)
    how = draw.choice(("flip", "cut", "extend", "insert", "remove", "swap"))
    if how == "flip":
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif how == "swap":
        for _ in range(draw.randint(1, 8)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif how == "cut":
        del data[draw.randrange(len(data)) :]
    elif how == "extend":
        data += draw.randbytes(draw.randint(1, 64))
    elif how == "insert":
        place = draw.randrange(len(data))
        data[place:place] = draw.randbytes(draw.randint(1, 16))
    else:
        place = draw.randrange(len(data))
        del data[place : place + draw.randint(1, 16)]
    return bytes(data)


WHOLE = ("svhn", "packed svhn", "csv", "text", "labels", "list")  # types that are read in memory alone
LARGE = [(case, 20) for case in CASES if case not in WHOLE]


@pytest.mark.parametrize(("case", "limit"), [*((case, None) for case in CASES), *LARGE])
def test_a_spoilt_file_gives_a_dataset_or_a_fault(case, limit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    monkeypatch.setattr(mapping, "SETTLED", 0)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here
    text, made = CASES[case]
    content = made()
    Path("datasets/pictures/a").mkdir(parents=True)
    Path("datasets/Own.yaml").write_text(text)
    for name, fixed in {
        "k": KINDS,
        "one": b"\1",
        "r": RECORDS,
        "i.zip": zipped("0.png", picture("png")),
    }.items():
        Path("datasets", name).write_bytes(fixed)
    names = text.replace("/a/f", "").replace("]", " ").replace("[", " ").split()
    name = next(word for word in names if word.split(".")[0] == "f" or word.startswith("#"))
    place = Path("datasets/pictures", name[1:]) if name.startswith("#") else Path("datasets", name)
    folder = Folder(Path())
    described = describe(folder, "Own")
    place.write_bytes(content)
    assert isinstance(open_dataset(folder, described, memory_limit=limit).inputs, Rows) is (limit is not None)
    draw = random.Random(case)
    faults, misplaced = 0, []
    for _ in range(TIMES):
        place.write_bytes(spoilt := spoil(content, draw))
        try:
            dataset = open_dataset(folder, described, memory_limit=limit)
            dataset.batch(slice(0, 2))
        except DianneError as fault:
            faults += 1
            located = (place.name.removesuffix(".gz"), "Own", "pictures")
            if not str(fault).startswith(("datasets/", *located)):
                misplaced.append((str(fault), spoilt))
    assert misplaced == []
    assert faults > TIMES / 20
