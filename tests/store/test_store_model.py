"""Whatever is done in whatever order, the store holds what a plain dict of lists would hold."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from storing import numbers, put, stored, tomorrow

from dianne.store import Store, history
from dianne.store.gc import collect
from dianne.store.verify import verify

TAGS = st.sampled_from(["a", "b", "a@best"])


class Machine(RuleBasedStateMachine):
    """A store, and what it should hold: for each tag its numbers, newest first."""

    def __init__(self):
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.store = Store(self.place / "models")
        self.wanted: dict[str, list[int]] = {}
        self.gone: dict[str, list[int]] = {}  # by identifier
        self.count = 0

    def teardown(self):
        shutil.rmtree(self.place)

    @rule(tag=TAGS)
    def put(self, tag):
        self.count += 1
        put(self.store, tag, self.count)
        self.wanted[tag] = [self.count, *self.wanted.get(tag, [])]

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), new=TAGS)
    def tag(self, data, new):
        tag = data.draw(st.sampled_from(sorted(self.wanted)))
        back = data.draw(st.integers(0, len(self.wanted[tag]) - 1))
        source = self.wanted[tag][back:]
        same = new in self.wanted and self.store.resolve("Encoder", f"{tag}~{back}") == (
            self.store.resolve("Encoder", new)
        )
        history.tag(self.store, ["Encoder"], f"{tag}~{back}", [new])
        if not same:
            self.wanted[new] = [source[0], *self.wanted[new]] if new in self.wanted else source

    @precondition(lambda self: any(len(entries) > 1 for entries in self.wanted.values()))
    @rule(data=st.data())
    def rollback(self, data):
        tag = data.draw(st.sampled_from(sorted(t for t, entries in self.wanted.items() if len(entries) > 1)))
        back = data.draw(st.integers(1, len(self.wanted[tag]) - 1))
        history.rollback(self.store, ["Encoder"], f"{tag}~{back}")
        self.wanted[tag].insert(0, self.wanted[tag][back])

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def untag(self, data):
        tag = data.draw(st.sampled_from(sorted(self.wanted)))
        (moved,) = history.untag(self.store, ["Encoder"], tag)
        self.gone[moved.before] = self.wanted.pop(tag)

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def tag_again(self, data):
        identifier = data.draw(st.sampled_from(sorted(self.gone)))
        if "back" not in self.wanted:
            history.tag(self.store, ["Encoder"], identifier[:16], ["back"])
            self.wanted["back"] = list(self.gone[identifier])

    @rule(keep=st.sampled_from([None, 1, 2, 5]))
    def gc_of_old_files(self, keep):
        collect(self.store, keep, now=tomorrow())
        self.gone.clear()
        for tag in self.wanted:
            self.wanted[tag] = numbers(self.store, tag)[: len(self.wanted[tag])] if keep else self.wanted[tag]
            least = min(keep or 10**9, len(self.wanted[tag]))
            assert len(self.wanted[tag]) >= least

    @rule(keep=st.sampled_from([None, 1]))
    def gc_of_young_files(self, keep):
        assert collect(self.store, keep).removed == []

    @invariant()
    def holds_what_it_should(self):
        assert self.store.names("Encoder") == sorted(self.wanted)
        for tag, entries in self.wanted.items():
            assert numbers(self.store, tag) == entries
            assert stored(self.store, tag) == entries[0]
        assert verify(self.store).faults == {}


Machine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestAnySequence = Machine.TestCase
