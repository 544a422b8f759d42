"""Memory that stays with the process while it learns."""

import platform
import resource
from pathlib import Path

import pytest
import torch

from dianne.learning.memory import kept_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
BLOCK = (64, 2**20)  # 256 MB of float32, in blocks of 4 MB


def faults() -> int:
    """Page faults of taking, filling and freeing many large blocks."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(BLOCK[0]):
        torch.ones(BLOCK[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_blocks_that_were_freed_are_used_again_without_a_page_fault():
    with kept_memory():
        faults()
        assert faults() < 100


def test_blocks_go_back_to_the_system_afterwards():
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    with kept_memory():
        blocks = [torch.ones(BLOCK[1]) for _ in range(BLOCK[0])]
        most = resident()
        del blocks
        assert resident() > most - 50e6
    assert resident() < most - 200e6


def test_an_error_inside_passes_through():
    with pytest.raises(KeyError), kept_memory():
        raise KeyError
