"""Fixtures that several folders of tests share."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

_MNIST = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def pytest_collection_modifyitems(items):
    """The slowest tests begin first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def mounted():
    """A function that makes a disk of its own in a place, by options such as "size=1m"."""

    @contextmanager
    def disk(place, options):
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a disk can be mounted by root only")
        try:
            yield
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return disk


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder of DIANNE_DATASETS that has all four files of MNIST, there or in a folder MNIST."""
    for place in os.environ.get("DIANNE_DATASETS", "").split(os.pathsep):
        for inside in (Path(place) / "MNIST", Path(place)):
            if place and all((inside / f).is_file() or (inside / f"{f}.gz").is_file() for f in _MNIST):
                return Path(place)
    pytest.skip("the files of MNIST are missing; set DIANNE_DATASETS to a folder that has them")


@pytest.fixture(scope="session")
def dianne_examples():
    """The networks of DIANNE in a folder `examples` beside one of DIANNE_DATASETS."""
    for place in os.environ.get("DIANNE_DATASETS", "").split(os.pathsep):
        if place and (Path(place).resolve().parent / "examples" / "LeNet5" / "modules.txt").is_file():
            return Path(place).resolve().parent / "examples"
    pytest.skip("networks of DIANNE are missing; set DIANNE_DATASETS to a folder that has examples beside it")
