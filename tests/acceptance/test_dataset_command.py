"""`dianne dataset` and `dianne datasets`, as a user types them."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import pytest
from command import Run
from PIL import Image

from dianne import Workspace

TABLE = "length,width,kind\n1,2,lily\n3,4,rose\n5,,lily\n"


def idx(*shape: int, values: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


def test_images_are_drawn_with_their_labels(run: Run, folder: Path) -> None:
    assert run("dianne dataset show Digits 0:6 out=grid.png").stdout == "wrote grid.png\n"
    with Image.open(folder / "grid.png") as picture:
        pixels = picture.convert("L")
        assert min(pixels.size) > 300
        assert pixels.getextrema() == (0, 255)
    turned = run("dianne dataset show Digits 0:6 rotation=30 seed=2 out=turned.png --json")
    assert turned.stderr == "wrote turned.png\n"
    assert len(json.loads(turned.stdout)) == 6
    assert (folder / "turned.png").read_bytes() != (folder / "grid.png").read_bytes()


def test_samples_are_printed_where_there_is_no_picture(run: Run) -> None:
    lines = run("dianne dataset show Iris 3,7,5").stdout.splitlines()
    assert lines[0].split() == ["sample", "target", "input"]
    assert [line.split()[0] for line in lines[1:]] == ["3", "7", "5"]
    data = Workspace().dataset("Iris")
    found = json.loads(run("dianne dataset show Iris 3:5 --json").stdout)
    assert [entry["index"] for entry in found] == [3, 4]
    assert [entry["label"] for entry in found] == [data.labels[int(kind)] for kind in data.targets[3:5]]
    assert found[0]["input"] == data.inputs[3].tolist()
    numbers = run("dianne dataset show Diabetes 2").stdout.splitlines()
    assert numbers[1].split()[1] == f"{float(Workspace().dataset('Diabetes').targets[0]):.4g}"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("dianne dataset show Iris 0:3 out=a.png", "error: Iris gives results of [4], which are no pictures: "
         "[height, width], [1, height, width] or [3, height, width]\n"),
        ("dianne dataset show Iris 5:3", "error: the range '5:3' is empty\n"),
        ("dianne dataset show Iris 0:3 out=a.gif", "error: out=a.gif: a picture's file ends in .png or "
         ".svg\n"),
        ("dianne dataset stats Irs", "error: there is no dataset 'Irs' in datasets/ or among those that "
         "ship; did you mean 'Iris'?\n"),
        ("dianne dataset add Iris iris.csv", "error: there is a dataset 'Iris' already: "),
        ("dianne dataset add ../x a.csv", "error: '../x' is no name for a dataset; take letters, digits, "
         "'.', '-' and '_'\n"),
        ("dianne dataset add X a.csv", "error: there is no a.csv\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(run: Run, command: str, message: str) -> None:
    assert run(command, code=2).stderr.startswith(message)


def test_statistics_are_those_of_all_samples(run: Run, folder: Path) -> None:
    found = json.loads(run("dianne dataset stats Iris --json").stdout)
    data = Workspace().dataset("Iris")
    assert found["counts"] == {"setosa": 50, "versicolor": 50, "virginica": 50}
    assert (found["samples"], found["inputDims"], found["targetDims"]) == (150, [4], [3])
    assert found["inputs"]["mean"] == pytest.approx(data.inputs.double().mean(0).tolist(), abs=1e-6)
    assert found["inputs"]["deviation"] == pytest.approx([1] * 4, abs=1e-5)
    assert (found["inputs"]["min"], found["inputs"]["max"]) == (
        float(data.inputs.min()),
        float(data.inputs.max()),
    )
    assert found["checksum"] == data.fingerprint()
    assert "targets" not in found
    text = run("dianne dataset stats Iris").stdout
    assert text.startswith("Iris: 150 samples, [4] -> [3]\n\nvalues of")
    assert text.endswith(f"\nsha256 {data.fingerprint()}\n")


def test_missing_values_are_counted_and_leave_the_others_alone(run: Run, folder: Path) -> None:
    (folder / "datasets").mkdir()
    (folder / "datasets/gaps.py").write_text(
        "import numpy as np\n\ndef samples():\n"
        "    return np.array([[1, 5], [3, np.nan], [np.nan, 7]]), np.ones(3)\n"
    )
    assert run("dianne dataset add Gaps datasets/gaps.py").stdout == (
        "wrote datasets/Gaps.yaml; look at it: dianne dataset stats Gaps\n"
    )
    found = json.loads(run("dianne dataset stats Gaps --json").stdout)
    assert found["inputs"] == {"mean": [2, 6], "deviation": [1, 1], "min": 1, "max": 7, "missing": 2}
    assert found["targets"] == {"mean": [1], "deviation": [0], "min": 1, "max": 1, "missing": 0}


def test_a_table_is_described_and_can_be_learned_from(run: Run, folder: Path) -> None:
    (folder / "flowers.csv").write_text(TABLE.replace("5,,", "5,6,"))
    run("dianne dataset add Flowers flowers.csv")
    written = (folder / "datasets/Flowers.yaml").read_text()
    assert written == f"type: CSV\nfile: {(folder / 'flowers.csv').resolve()}\nlabels: [lily, rose]\n"
    assert json.loads(run("dianne dataset stats Flowers --json").stdout)["counts"] == {"lily": 2, "rose": 1}
    assert run("dianne dataset add Flowers flowers.csv", code=2).stderr == (
        "error: there is a dataset 'Flowers' already: datasets/Flowers.yaml; take another name\n"
    )
    assert (folder / "datasets/Flowers.yaml").read_text() == written
    (folder / "datasets/two.csv").write_text("1;2\n3;4\n")
    run("dianne dataset add Two datasets/two.csv")
    assert (folder / "datasets/Two.yaml").read_text() == "type: CSV\nfile: two.csv\nseparator: ;\n"
    assert json.loads(run("dianne dataset show Two 0:2 --json").stdout)[1]["input"] == [3]


def test_idx_files_are_put_into_pairs(run: Run, folder: Path) -> None:
    place = folder / "datasets/Small"
    place.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        images = idx(count, 2, 2, values=bytes(range(4 * count)))
        (place / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (place / f"{part}-labels-idx1-ubyte").write_bytes(idx(count, values=bytes(range(count))))
    run("dianne dataset add Small datasets/Small")
    assert (folder / "datasets/Small.yaml").read_text() == (
        "type: IDX\nlabels: [0, 1, 2]\ninputDims: [1, 2, 2]\n"
        "inputs: [train-images-idx3-ubyte, t10k-images-idx3-ubyte]\n"
        "targets: [train-labels-idx1-ubyte, t10k-labels-idx1-ubyte]\nparts: {train: '0:3', test: '3:5'}\n"
    )
    assert json.loads(run("dianne dataset stats Small --json").stdout)["samples"] == 5
    listed = {entry["name"]: entry for entry in json.loads(run("dianne datasets --json").stdout)}
    assert listed["Small"] == {
        "name": "Small", "type": "IDX", "samples": 5, "inputDims": [1, 2, 2], "files": "here",
        "description": "",
    }  # fmt: skip
    assert (
        run("dianne dataset fetch Small").stdout.splitlines()[0]
        == "datasets/Small/train-images-idx3-ubyte.gz"
    )
    assert run("dianne dataset fetch Iris").stderr == "Iris needs no files\n"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.csv", b"", "error: a.csv: holds no rows\n"),
        ("a.csv", b"1,2\xff\n", "error: a.csv: is no text in UTF-8 (byte 3)\n"),
        ("a.py", b"def", "error: a.py:1: is no Python: invalid syntax\n"),
        ("a.py", b"x = 1", "error: a.py has no function that could give samples\n"),
        ("a.bin", b"x", "error: what a.bin holds cannot be told from its name; known are "),
        ("images-idx3-ubyte", b"x", "error: images-idx3-ubyte needs its labels beside it, in a file "
         "labels-idx1-ubyte\n"),
    ],
)  # fmt: skip
def test_files_that_say_nothing_are_not_described(
    run: Run, folder: Path, file: str, content: bytes, message: str
) -> None:
    (folder / file).write_bytes(content)
    code = 2 if message.split()[1] in ("what",) or "function" in message or "beside" in message else 1
    assert run(f"dianne dataset add X {file}", code=code).stderr.startswith(message)
    assert not (folder / "datasets").exists()


def test_a_spoilt_idx_file_is_named(run: Run, folder: Path) -> None:
    (folder / "images-idx3-ubyte").write_bytes(b"spoilt")
    (folder / "labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01")
    assert run("dianne dataset add X images-idx3-ubyte", code=1).stderr == (
        "error: images-idx3-ubyte: is no IDX file: it begins with 73 70 6f 69\n"
    )


def test_a_dry_run_tells_what_becomes_of_samples(run: Run) -> None:
    words = "frame=20,20 hflip=0.5 labels=1,7 normalise=true"
    assert (
        "\nsamples: labels=1,7, then hflip=0.5, then frame=20,20, then normalise=true\n"
        in run(f"dianne learn MLP Digits {words} --dry-run").stdout
    )
    found = json.loads(run(f"dianne learn MLP Digits {words} --dry-run --json").stdout)
    assert found["adapters"] == ["labels=1,7", "hflip=0.5", "frame=20,20", "normalise=true"]
