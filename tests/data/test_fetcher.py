"""Pieces of a file, read by a process beside this one."""

import os
import signal
from contextlib import suppress

import pytest

from dianne.data.fetcher import Fetcher
from dianne.data.mapping import MappedFile
from dianne.errors import DataError

DATA = bytes(range(256)) * 1000
PLACES = [7 * number % 9973 for number in range(300)]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    return tmp_path / "x"


@pytest.mark.parametrize("width", [1, 100, 20_000])
def test_pieces_are_those_of_the_file(path, width):
    with path.open("rb") as file:
        fetcher = Fetcher(file.fileno())
        for places in (PLACES, PLACES[:1], []):
            expected = b"".join(DATA[place : place + width] for place in places)
            assert fetcher.pieces(places, width) == expected


def test_a_process_that_was_killed_is_done_without(path):
    mapped = MappedFile(path)
    expected = mapped.pieces(PLACES, 5)
    assert mapped._fetcher is not None
    os.kill(mapped._fetcher._process.pid, signal.SIGKILL)
    assert mapped.pieces(PLACES, 5) == expected


def test_what_is_left_of_an_interrupted_answer_is_taken_for_no_other(path):
    def interrupt(*_):
        raise KeyboardInterrupt

    mapped = MappedFile(path)
    expected = mapped.pieces(PLACES, 5)
    first = mapped._fetcher._process.pid
    os.kill(first, signal.SIGSTOP)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            mapped.pieces(PLACES[::-1], 5)
    finally:
        signal.signal(signal.SIGALRM, before)
        with suppress(ProcessLookupError):
            os.kill(first, signal.SIGCONT)
    assert mapped.pieces(PLACES, 5) == expected
    assert mapped._fetcher._process.pid != first


def test_a_file_that_was_cut_is_said(path):
    mapped = MappedFile(path)
    mapped.pieces(PLACES, 5)
    os.truncate(path, 100)
    with pytest.raises(DataError) as fault:
        mapped.pieces(PLACES, 5)
    assert str(fault.value) == f"{path}: ends at byte 100; it was cut while it was in use"
