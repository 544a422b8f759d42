"""Sets that do not fit into memory: they give what they would give if they did."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from dianne.data import mapping, remember, rows
from dianne.data.adapter_options import AdapterOptions
from dianne.data.adapters.stack import adapted
from dianne.data.descriptor import describe, parse_range
from dianne.data.files import DataError
from dianne.data.mapping import MappedFile
from dianne.data.readers import open_dataset
from dianne.data.rows import InFiles, Rows
from dianne.data.sampling import SAMPLING, Sampler
from dianne.data.sequences import SequenceSampler
from dianne.errors import ConfigError
from dianne.workspace import Folder

RANDOM = np.random.RandomState(0)
COUNT = 40


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An empty workspace, whose files are old enough for what is found out about them to be kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIANNE_DATASETS", "")
    monkeypatch.setenv("DIANNE_CACHE", "cache")
    monkeypatch.setattr(remember, "SETTLED", 0)
    monkeypatch.setattr(mapping, "SETTLED", 0)
    Path("datasets").mkdir()


def opened(text, limit=None):
    Path("datasets/Own.yaml").write_text(text)
    folder = Folder(Path())
    return open_dataset(folder, describe(folder, "Own"), memory_limit=limit)


def put(**files):
    for name, content in files.items():
        path = Path("datasets", name.replace("__", "/").replace("_dot_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def picture(pixels, ending="png"):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, ending)
    return file.getvalue()


def npy(values, **how):
    file = io.BytesIO()
    np.save(file, np.asarray(values, **how))
    return file.getvalue()


def idx(values, code=8, kind=">u1"):
    array = np.asarray(values)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(kind).tobytes()


def pixels(*shape):
    return RANDOM.randint(0, 256, shape).astype(np.uint8)


def records(count, *sizes):
    """Bytes of classes below 3 and of samples."""
    return b"".join(bytes([n % 3]) * (len(sizes) - 1) + pixels(sizes[-1]).tobytes() for n in range(count))


def zipped(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(**files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet():
    pyarrow, module = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    table = {"x": pixels(COUNT, 5).astype(float).tolist(), "y": [n % 3 for n in range(COUNT)]}
    module.write_table(pyarrow.table(table), file)
    return file.getvalue()


def folder(sizes, masks=False):
    for n in range(12):
        put(**{f"images__{'ab'[n % 2]}__{n}_dot_png": picture(pixels(*sizes[n % len(sizes)]))})
        if masks:
            mask = 255 * (pixels(*sizes[n % len(sizes)]) > 99)
            put(**{f"masks__{'ab'[n % 2]}__{n}_dot_png": picture(mask)})


RAW = "type: RawDataset\ninputDims: [2, 5]\ntargetDims: [3]\n"
NUMPY = "type: Numpy\ninputs: [x.npy]\ntargets: [y.npy]\n"
CASES = {
    "raw": (RAW + "inputs: [x, y]", lambda: put(x=records(17, 1, 10), y=records(COUNT - 17, 1, 10))),
    "raw and classes": (
        RAW + "inputs: [x, y]\ntargets: [a, b]",
        lambda: put(x=pixels(90).tobytes(), y=pixels(300).tobytes(), a=bytes(9), b=bytes([1, 2, 0] * 10)),
    ),
    "shuffled": (RAW + "shuffle: 3\ninputs: [x]", lambda: put(x=records(COUNT, 1, 10))),
    "packed": (RAW + "inputs: [x]", lambda: put(x_dot_gz=gzip.compress(records(COUNT, 1, 10)))),
    "zip": (RAW + "inputs: [f.zip/x]", lambda: put(f_dot_zip=zipped(x=records(COUNT, 1, 10)))),
    "tar": (RAW + "inputs: [f.tar.gz/x]", lambda: put(f_dot_tar_dot_gz=tarred(x=records(COUNT, 1, 10)))),
    "cifar10": ("type: CIFAR10\ntargetDims: [3]\ninputs: [x]", lambda: put(x=records(COUNT, 1, 3072))),
    "cifar100": ("type: CIFAR100\ntargetDims: [100]\ninputs: [x]", lambda: put(x=records(COUNT, 1, 1, 3072))),
    "coarse": ("type: CIFAR100\ntargetDims: [20]\ninputs: [x]", lambda: put(x=records(COUNT, 1, 1, 3072))),
    "stl10": (
        "type: STL10\ntargetDims: [3]\ninputs: [x]\ntargets: [y]",
        lambda: put(x=pixels(2, 27648).tobytes(), y=b"\1\3"),
    ),
    "idx": (
        "type: IDX\nlabels: [a, b]\ninputs: [x]\ntargets: [y]\ntransposed: true",
        lambda: put(x=idx(pixels(COUNT, 4, 6)), y=idx(np.arange(COUNT) % 2)),
    ),
    "idx of floats": (
        "type: IDX\ninputs: [x]\ntargets: [y]",
        lambda: put(x=idx(RANDOM.rand(COUNT, 4), 14, ">f8"), y=idx(RANDOM.rand(COUNT), 13, ">f4")),
    ),
    "npy": (
        NUMPY,
        lambda: put(x_dot_npy=npy(RANDOM.rand(COUNT, 3)), y_dot_npy=npy(RANDOM.rand(COUNT, 2, 2))),
    ),
    "npy of pixels": (
        NUMPY + "labels: [a, b]\nframe: [4, 3]\npad: 1",
        lambda: put(x_dot_npy=npy(pixels(COUNT, 1, 5, 6)), y_dot_npy=npy(np.arange(COUNT) % 2)),
    ),
    "npz": (
        "type: Numpy\nfile: f.npz\ninputs: [x]",
        lambda: put(f_dot_npz=zipped(**{"x.npy": npy(RANDOM.rand(COUNT))})),
    ),
    "pictures": ("type: ImageFolder\nfile: images", lambda: folder([(7, 5)])),
    "masks": ("type: ImageSegmentationDataset", lambda: folder([(7, 5)], masks=True)),
    "parquet": ("type: Parquet\nfile: f.parquet\nlabels: [a, b, c]", lambda: put(f_dot_parquet=parquet())),
}  # fmt: skip


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_set_gives_the_same_wherever_it_is(case):
    text, made = CASES[case]
    made()
    there, here = opened(text, limit=20), opened(text)
    assert isinstance(there.inputs, Rows)
    assert isinstance(here.inputs, torch.Tensor)
    assert (there.inputs.shape, there.inputs.dtype) == (here.inputs.shape, here.inputs.dtype)
    assert (len(there), there.input_dims, there.target_dims) == (len(here), here.input_dims, here.target_dims)
    assert (there.labels, there.autoencode) == (here.labels, here.autoencode)
    size = len(here)
    order = torch.from_numpy(RANDOM.permutation(size))
    chosen = ("1:", f"0:{size - 1}", f"{size - 1},0,0,1")
    pairs = [(there, here), *((there.select(parse_range(t)), here.select(parse_range(t))) for t in chosen)]
    pairs.append((pairs[1][0].select(parse_range("0,0,0")), pairs[1][1].select(parse_range("0,0,0"))))
    pairs.append((pairs[3][0].select(parse_range("1:3")), pairs[3][1].select(parse_range("1:3"))))
    for one, other in pairs:
        assert same(one.batch(slice(None)), other.batch(slice(None)))
        assert same(one.batch(slice(1, 2)), other.batch(slice(1, 2)))
        assert one.fingerprint() == other.fingerprint() == one.fingerprint()
    assert same(there.batch(order), here.batch(order))
    again = opened(text, limit=20)
    assert again.fingerprint() == here.fingerprint()


@pytest.mark.parametrize("name", list(SAMPLING))
@settings(deadline=None, max_examples=15)
@given(
    batch_size=some.integers(1, 30),
    stop=some.integers(0, 9),
    ahead=some.integers(0, 7),
    adapters=some.booleans(),
)
def test_reading_ahead_changes_no_batch_and_no_state(name, batch_size, stop, ahead, adapters):
    put(x=records(COUNT, 1, 10))
    options = SAMPLING.get(name).Options(
        **({"weighted_ranges": [2, 5], "probabilities": [0.5]} if name == "WEIGHTED" else {})
    )
    wanted = AdapterOptions(hflip=0.5, encoder_noise=0.3) if adapters else AdapterOptions()

    def sampler(limit, seed):
        dataset = adapted(opened(RAW + "inputs: [x]", limit), wanted).drawing(5, learning=True)
        return Sampler(dataset, batch_size, name, seed, options)

    there, here, later = sampler(20, 1), sampler(None, 1), sampler(20, 2)
    for _ in range(ahead):
        next(later)
    for _ in range(stop):
        assert same(next(there), next(here))
    state = there.state_dict()
    assert same_states(state, here.state_dict())
    expected = [next(here) for _ in range(3)]
    later.load_state_dict(state)
    there.load_state_dict(state)
    for batch in expected:
        assert same(next(later), batch)
        assert same(next(there), batch)


def same_states(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_states(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("carry", [False, True])
@settings(deadline=None, max_examples=15)
@given(tracks=some.integers(1, 4), length=some.integers(1, 5), stop=some.integers(0, 15))
def test_sequences_are_read_ahead_too(carry, tracks, length, stop):
    put(x_dot_npy=npy(np.arange(COUNT * 2).reshape(COUNT, 2)))
    text = "type: Numpy\ninputs: [x.npy]\nsequential: true"
    there, here = (SequenceSampler(opened(text, limit), tracks, length, 1, carry) for limit in (20, None))
    for _ in range(stop):
        assert same(next(there), next(here))
        assert there.fresh is here.fresh
    assert same_states(there.state_dict(), here.state_dict())
    there.load_state_dict(here.state_dict())
    assert same(next(there), next(here))
    assert there.fresh is here.fresh


# ------------------------------------------------------------------------------------------------- memory

PROBE = """
import json, sys
from pathlib import Path
from dianne.data.descriptor import describe
from dianne.data.readers import open_dataset
from dianne.data.sampling import Sampler
from dianne.workspace import Folder

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

folder = Folder(Path())
before = most()
dataset = open_dataset(folder, describe(folder, "Own"), memory_limit=int(sys.argv[1]))
dataset.fingerprint()
sampler = Sampler(dataset, 128, "UNIFORM", 1)
for _ in range(200):
    next(sampler)
print(json.dumps(most() - before))
"""


def test_a_set_of_300_mb_takes_a_tenth_of_it():
    size = 300_000_000 // 785 * 785
    with Path("datasets/x").open("wb") as file:
        file.truncate(size)
    Path("datasets/Own.yaml").write_text("type: RawDataset\ninputDims: [784]\ntargetDims: [3]\ninputs: [x]")
    run = subprocess.run(
        [sys.executable, "-c", PROBE, "50000000"], capture_output=True, text=True, check=True
    )
    assert json.loads(run.stdout) < 80_000_000


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        ("type: CSV\nfile: x.csv", {"x_dot_csv": b"1,2\n" * 50},
         "datasets/x.csv: has 200 bytes, and reading takes about 12 times as much memory, but samples may "
         "take 1 KB, and type CSV is not read in parts; store it as .npy or Parquet, or raise memoryLimit"),
        ("type: CharSequenceDataset\nfile: x.txt", {"x_dot_txt": b"abc" * 10},
         "datasets/x.txt: has 30 bytes, and reading takes about 40 times as much memory, but samples may "
         "take 1 KB, and type CharSequenceDataset is not read in parts; raise memoryLimit"),
        (NUMPY, {"x_dot_npy": npy(np.zeros((30, 9)).T), "y_dot_npy": npy(np.zeros(9))},
         "x.npy: is too large for memory, and stored column by column; store it row by row "
         "(numpy.ascontiguousarray), or raise memoryLimit"),
    ],
    ids=["csv", "text", "columns"],
)  # fmt: skip
def test_what_does_not_fit_and_cannot_be_read_in_parts_says_so(text, files, message):
    put(**files)
    with pytest.raises(DataError) as fault:
        opened(text, limit=1000)
    assert str(fault.value) == message


def test_a_table_that_is_standardized_must_fit():
    put(x_dot_npy=npy(RANDOM.rand(COUNT, 3)))
    with pytest.raises(ConfigError) as fault:
        opened("type: Numpy\ninputs: [x.npy]\nstandardize: true", limit=20)
    assert str(fault.value).endswith(
        "datasets/Own.yaml:3:14: standardize: needs the table in memory; raise memoryLimit, or take the "
        "adapter normalise"
    )


def test_a_file_that_is_cut_while_it_is_used_is_a_fault():
    put(x=records(COUNT, 1, 10))
    dataset = opened(RAW + "inputs: [x]", limit=20)
    os.truncate("datasets/x", 100)
    with pytest.raises(DataError) as fault:
        dataset.batch(torch.tensor([COUNT - 1]))
    assert str(fault.value) == "datasets/x: ends at byte 100; it was cut while it was in use"
    with pytest.raises(DataError):
        next(Sampler(dataset, 100, "UNIFORM", 1))


def test_a_value_that_is_no_number_is_found_in_a_file_too():
    values = np.zeros((COUNT, 3))
    values[7, 2] = np.nan
    put(x_dot_npy=npy(values))
    for _ in range(2):
        with pytest.raises(DataError) as fault:
            opened("type: Numpy\ninputs: [x.npy]", limit=20)
        assert str(fault.value) == "Own: inputs: sample 7: expected a number, found nan"


# ---------------------------------------------------------------------------------------- what is remembered


def counted(monkeypatch):
    """How often pieces of samples were looked at."""
    looks = []
    real = rows.Rows.chunks
    monkeypatch.setattr(rows.Rows, "chunks", lambda self: (looks.append(1), real(self))[1])
    return looks


def test_a_fingerprint_is_found_out_once(monkeypatch):
    put(x=records(COUNT, 1, 10))
    text = RAW + "inputs: [x]"
    first = opened(text, 20)
    found = first.fingerprint()
    looks = counted(monkeypatch)
    assert opened(text, 20).inputs.identity() == first.inputs.identity()
    looks.clear()
    assert first.fingerprint() == found
    assert looks == []


@pytest.mark.parametrize("change", ["content", "size", "time"])
def test_a_file_that_changes_is_looked_at_again(change, monkeypatch):
    put(x=records(COUNT, 1, 10))
    text = RAW + "inputs: [x]"
    found = opened(text, 20).fingerprint()
    path = Path("datasets/x")
    before = path.stat()
    if change == "content":  # with the times of the old one
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "size":
        path.write_bytes(path.read_bytes()[:-11])
    else:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 5))
    looks = counted(monkeypatch)
    dataset = opened(text, 20)
    looks.clear()
    assert (dataset.fingerprint() == found) is (change == "time")
    assert looks


def test_what_was_found_within_the_same_tick_of_the_clock_is_not_kept(monkeypatch):
    monkeypatch.setattr(remember, "SETTLED", 60 * 10**9)
    put(x=records(COUNT, 1, 10))
    dataset = opened(RAW + "inputs: [x]", 20)
    dataset.fingerprint()
    looks = counted(monkeypatch)
    dataset.fingerprint()
    assert looks


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(monkeypatch):
    put(x=records(COUNT, 1, 10))
    Path("cache").write_bytes(b"")
    assert opened(RAW + "inputs: [x]", 20).fingerprint() == opened(RAW + "inputs: [x]").fingerprint()
    put(x_dot_gz=gzip.compress(records(COUNT, 1, 10)))
    Path("datasets/x").unlink()
    with pytest.raises(DataError) as fault:
        opened(RAW + "inputs: [x]", 20)
    assert str(fault.value) == (
        "cache/.converted: cannot be written: Not a directory; name another folder in DIANNE_CACHE"
    )


def test_packed_files_are_unpacked_once_and_again_when_they_change(monkeypatch):
    put(x_dot_gz=gzip.compress(records(COUNT, 1, 10)))
    text = RAW + "inputs: [x]"
    opened(text, 20)
    made = max(Path("cache/.converted").iterdir(), key=lambda path: path.stat().st_size)
    times = made.stat().st_mtime_ns
    opened(text, 20)
    assert made.stat().st_mtime_ns == times
    put(x_dot_gz=gzip.compress(records(COUNT + 1, 1, 10)))
    assert len(opened(text, 20)) == COUNT + 1
    put(x_dot_gz=gzip.compress(records(COUNT, 1, 10))[:-9])
    with pytest.raises(DataError) as fault:
        opened(text, 20)
    assert str(fault.value).startswith("datasets/x.gz: is cut off or no gzip file (")
    assert not list(Path("cache/.converted").glob("*.*"))


def test_what_is_made_from_a_file_waits_until_its_next_change_would_show(monkeypatch):
    monkeypatch.setattr(mapping, "SETTLED", 300_000_000)
    put(x=records(COUNT, 1, 10))
    begin = time.monotonic()
    opened(RAW + "inputs: [x]", 20)
    assert time.monotonic() - begin > 0.2
    begin = time.monotonic()
    opened(RAW + "inputs: [x]", 20)
    assert time.monotonic() - begin < 0.2


def test_rows_of_several_files_tell_their_places():
    put(a=bytes(range(10)), b=bytes(range(10, 14)))
    files = [MappedFile(Path("datasets", name)) for name in "ab"]
    arrays = [np.frombuffer(file.buffer, np.uint8).reshape(-1, 2) for file in files]
    found = InFiles(arrays, files)
    assert found[torch.tensor([6, 0, 4, 5])].tolist() == [[12, 13], [0, 1], [8, 9], [10, 11]]
    assert found[3:6].tolist() == [[6, 7], [8, 9], [10, 11]]
    assert found[2:2].shape == (0, 2)
    with pytest.raises(IndexError, match="expected indices from 0 to 6"):
        found[torch.tensor([7])]
