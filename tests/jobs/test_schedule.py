"""Which jobs begin next: in order, within what there is, and as many as fit."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.errors import UsageError
from dianne.jobs.resources import Machine, Resources, filled, machine, visible
from dianne.jobs.schedule import Need, Room, choose
from dianne.jobs.submission import check_card


def need(job: str, cpus: float = 1, gpus: int = 0, kind: str = "learn", cards: tuple[int, ...] = ()) -> Need:
    return Need(job, kind, cpus, gpus, cards)


def begun(waiting: list[Need], running: list[Need], room: Room) -> list[str]:
    return [found.job for found in choose(waiting, running, room)]


def test_as_many_begin_as_there_is_room_for():
    waiting = [need(name) for name in "abcd"]
    assert begun(waiting, [], Room(3, ())) == ["a", "b", "c"]
    assert begun(waiting, [need("x", cpus=2)], Room(3, ())) == ["a"]
    assert begun(waiting, [need("x", cpus=3)], Room(3, ())) == []


def test_a_large_job_is_not_overtaken():
    waiting = [need("large", cpus=4), need("small")]
    assert begun(waiting, [need("x")], Room(4, ())) == []
    assert begun(waiting, [], Room(4, ())) == ["large"]


def test_training_never_keeps_an_evaluation_waiting():
    waiting = [need("a", cpus=2), need("b", cpus=2), need("judge", cpus=2, kind="evaluate")]
    assert begun(waiting, [need("x", cpus=2)], Room(2, ())) == ["judge"]


def test_graphics_cards_are_given_to_one_job_each():
    waiting = [need("a", gpus=1), need("b", gpus=2), need("c")]
    first = choose(waiting, [need("x", gpus=1, cards=(0,))], Room(8, (0, 1, 2)))
    assert [(found.job, found.cards) for found in first] == [("a", (1,))]
    second = choose(waiting, [need("x", gpus=1, cards=(2,))], Room(8, (0, 1, 2, 3)))
    assert [(found.job, found.cards) for found in second] == [("a", (0,)), ("b", (1, 3)), ("c", ())]


KINDS = st.sampled_from(["learn", "evaluate"])
NEEDS = st.lists(st.tuples(KINDS, st.sampled_from([0, 0.5, 1, 2, 4]), st.integers(0, 2)), max_size=12)


@given(NEEDS, NEEDS, st.sampled_from([4, 4.5, 8]), st.integers(2, 4))
def test_order_is_kept_and_nothing_is_shared_out_twice(waits, runs, cpus, gpus):
    room = Room(cpus, tuple(range(gpus)))
    candidates = [need(f"r{n}", c, g, k) for n, (k, c, g) in enumerate(runs)]
    running = choose(candidates, [], room)  # any state that scheduling itself can lead to
    waiting = [need(f"w{n}", c, g, k) for n, (k, c, g) in enumerate(waits)]
    found = choose(waiting, running, room)
    for kind in ("learn", "evaluate"):
        mine = [one for one in waiting if one.kind == kind]
        started = [one for one in found if one.kind == kind]
        assert [one.job for one in started] == [one.job for one in mine[: len(started)]]
        together = [one for one in (*running, *started) if one.kind == kind]
        assert sum(one.cpus for one in together) <= room.cpus
        cards = [card for one in together for card in one.cards]
        assert len(cards) == len(set(cards)) == sum(one.gpus for one in together)
        assert set(cards) <= set(room.cards)
        for first in mine[len(started) : len(started) + 1]:  # and the next one really does not fit
            used, free = sum(one.cpus for one in together), gpus - len(cards)
            assert used + first.cpus > room.cpus or first.gpus > free


@given(NEEDS)
def test_every_job_that_fits_at_all_begins_in_the_end(waits):
    room = Room(4, (0, 1))
    waiting = [need(f"w{n}", c, g, k) for n, (k, c, g) in enumerate(waits)]
    rounds = 0
    while waiting:
        started = {one.job for one in choose(waiting, [], room)}
        waiting = [one for one in waiting if one.job not in started]
        rounds += 1
        assert rounds <= len(waits)


def test_a_job_that_learns_gets_a_graphics_card_where_there_is_one():
    cards, none = Machine(8, ("A", "B"), 1), Machine(8, (), 1)
    assert filled(Resources(), cards, learns=True) == Resources(cpus=2, gpus=1, threads=2)
    assert filled(Resources(), cards, learns=False).gpus == 0
    assert filled(Resources(gpus=0), cards, learns=True).gpus == 0
    assert filled(Resources(), none, learns=True).gpus == 0


CARDS = [("A", "GPU-1a2b-3c"), ("B", "GPU-1a2d-4e"), ("C", "GPU-77aa-00")]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, "ABC"),
        ("", ""),
        ("-1", ""),
        ("2,0", "CA"),
        (" 1 , GPU-77", "BC"),
        ("1,7,0", "B"),
        ("GPU-1a2,0", ""),
        ("0,0", "A"),
    ],
)
def test_only_graphics_cards_count_that_the_user_allows(allowed, names):
    assert "".join(visible(CARDS, allowed)) == names
    assert visible(CARDS, "MIG-9") == ("MIG-9",)


def test_the_machine_has_the_cards_that_the_user_allows(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{name}, {uuid}'\n" for name, uuid in CARDS))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine().gpus == ("A", "B", "C")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-1a2b")
    assert machine().gpus == ("C", "A")


@pytest.mark.parametrize(
    ("device", "gpus", "sees", "wanted"),
    [("cuda", 0, "no graphics card", 1), ("cuda:1", 1, "cuda:0", 2), ("cuda:2", 2, "cuda:0 to cuda:1", 3)],
)
def test_a_device_that_the_job_would_not_see_is_refused(device, gpus, sees, wanted):
    with pytest.raises(UsageError) as fault:
        check_card(device, gpus)
    assert str(fault.value) == (
        f"device={device}: with gpus={gpus} the job sees {sees}; give gpus={wanted}, or leave device out"
    )
    check_card(device, gpus + 1)
    check_card("cpu", 0)
    check_card("auto", 0)
