"""The loop: it counts, reports, stores and stops."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dianne import LearningStrategy, LearnProgress, Options, UsageError
from dianne.data.dataset import Dataset
from dianne.learning.job import LearnJob
from dianne.learning.loop import Loop, LoopOptions, Watcher
from dianne.learning.methods import METHODS
from dianne.learning.trainer import Trainer
from dianne.learning.update import DivergedError
from dianne.plugins import StrategyError

SGD = METHODS.get("SGD")

DATA = Dataset("Two", torch.eye(2), torch.ones(2, 1))


class Counting(LearningStrategy):
    """Two updates in every iteration; each moves the bias down by 1."""

    def setup(self, job):
        (self.network,) = job.networks
        self.calls = []
        self.updates = [job.update(lambda: {"loss": self.network.bias.sum()}, trains=job.networks)] * 2

    def process_iteration(self, i):
        self.calls.append(i)
        for update in self.updates:
            terms = update()
        return LearnProgress(i, terms)


class Record(Watcher):
    """What a loop tells its watcher, and what it stores: (iteration, bias, what follows the tag)."""

    def __init__(self):
        self.ticks, self.reports, self.stored = [], [], []

    def tick(self, iteration, _):
        self.ticks.append(iteration)

    def report(self, report):
        self.reports.append((report.iteration, report.terms))

    def store(self, weights, iteration, _, suffix):
        self.stored.append((iteration, weights["Net"]["bias"].item(), suffix))


def run(strategy=Counting, stop=lambda: "", **options):
    """A finished loop over one network whose bias starts at 0, its record, and its outcome."""
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.bias)
    job = LearnJob(
        (network,),
        Options(),
        DATA,
        1,
        lambda trained: Trainer(trained, (SGD, SGD.Options(learning_rate=1.0))),
    )
    made, record = strategy(), Record()
    made.setup(job)
    loop = Loop(made, job, {"Net": network}, LoopOptions(**options), record.store, record, stop)
    return loop, record, loop.run()


def test_one_iteration_is_one_call_whatever_happens_inside():
    loop, record, outcome = run(maxIterations=7)
    assert loop.strategy.calls == [0, 1, 2, 3, 4, 5, 6]
    assert record.ticks == [1, 2, 3, 4, 5, 6, 7]
    assert record.stored == [(7, -14, "")]
    assert outcome.iteration == 7


def test_reports_come_at_every_interval_and_at_the_end():
    _, record, outcome = run(maxIterations=7, traceInterval=3)
    assert record.reports == [(3, {"loss": -5}), (6, {"loss": -11}), (7, {"loss": -13})]
    assert [(report.iteration, report.terms) for report in outcome.history] == record.reports
    assert outcome.terms == {"loss": -13}


def test_a_report_at_the_end_is_not_given_twice():
    _, record, _ = run(maxIterations=6, traceInterval=3)
    assert [iteration for iteration, _ in record.reports] == [3, 6]


def test_the_seconds_of_reports_grow_up_to_those_of_the_outcome():
    _, _, outcome = run(maxIterations=6, traceInterval=2)
    seconds = [report.seconds for report in outcome.history]
    assert [*seconds, outcome.seconds] == sorted([*seconds, outcome.seconds])
    assert seconds[0] > 0


def test_weights_are_stored_at_every_sync_interval_and_at_the_end():
    _, record, _ = run(maxIterations=7, syncInterval=3)
    assert record.stored == [(3, -6, ""), (6, -12, ""), (7, -14, "")]


def test_the_end_is_stored_once_where_it_meets_the_sync_interval():
    _, record, _ = run(maxIterations=6, syncInterval=3)
    assert record.stored == [(3, -6, ""), (6, -12, "")]


def test_a_sync_interval_of_0_stores_the_end_only():
    _, record, _ = run(maxIterations=7, syncInterval=0)
    assert record.stored == [(7, -14, "")]


def test_snapshots_are_kept_at_every_store_interval():
    _, record, _ = run(maxIterations=5, storeInterval=2, syncInterval=0)
    assert record.stored == [(2, -4, "@2"), (4, -8, "@4"), (5, -10, "")]


def test_a_stop_ends_the_job_after_the_current_iteration_and_stores():
    asked = []

    def stop():
        asked.append(len(asked))
        return "someone" if len(asked) > 3 else ""

    loop, record, outcome = run(stop=stop, maxIterations=100)
    assert loop.strategy.calls == [0, 1, 2]
    assert record.stored == [(3, -6, "")]
    assert (outcome.iteration, outcome.terms, outcome.stopped) == (3, {"loss": -5}, "someone")


def test_a_stopped_job_reports_its_end_too():
    answers = iter(["", "", "", "", "someone"])
    _, record, outcome = run(stop=lambda: next(answers), maxIterations=100, traceInterval=3)
    assert record.reports == [(3, {"loss": -5}), (4, {"loss": -7})]
    assert len(outcome.history) == 2


def test_a_stop_before_the_first_iteration_stores_nothing():
    _, record, outcome = run(stop=lambda: "someone", maxIterations=100)
    assert record.stored == []
    assert (outcome.iteration, outcome.terms, outcome.stopped) == (0, {}, "someone")


class Careless(Counting):
    """Gives nothing back."""

    def process_iteration(self, i):
        super().process_iteration(i)


class Silent(Counting):
    """Gives no terms back."""

    def process_iteration(self, i):
        return LearnProgress(i)


class Broken(Counting):
    """Fails in its third iteration."""

    def process_iteration(self, i):
        return LearnProgress(i, {"loss": torch.ones(()) / [1, 1][i]})


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (Careless, "process_iteration must return a LearnProgress, found NoneType"),
        (Silent, "a LearnProgress must have the term 'loss', found no terms"),
    ],
)
def test_progress_against_the_contract_is_refused(strategy, text):
    with pytest.raises(UsageError) as fault:
        run(strategy, maxIterations=3)
    assert str(fault.value) == text


class Infinite(Counting):
    """Computes a loss by itself, without an update, that becomes infinite."""

    def process_iteration(self, i):
        return LearnProgress(i, {"loss": torch.tensor([1.0, float("inf")][i])})


def test_a_loss_that_no_update_has_seen_is_looked_at_too():
    with pytest.raises(DivergedError, match=r"^the loss is inf in iteration 2\n"):
        run(Infinite, maxIterations=3)


def test_a_fault_of_a_strategy_names_its_line():
    with pytest.raises(StrategyError) as fault:
        run(Broken, maxIterations=3)
    lines = Path(__file__).read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "[1, 1][i]" in text)
    assert str(fault.value).startswith("iteration 3 of Broken: ")
    assert str(fault.value).endswith(f"test_loop.py:{line}: IndexError: list index out of range")


# -------------------------------------------------------------------------------------------- in a workspace


def test_snapshots_stay_under_the_tag_and_their_iteration(workspace):
    workspace.learn("Net", "Iris", tag="t", maxIterations=5, storeInterval=2, syncInterval=0)
    stored = workspace.tags("Net")
    assert {tag: manifest.iteration for tag, manifest in stored.items()} == {"t": 5, "t@2": 2, "t@4": 4}
    assert len({manifest.blob for manifest in stored.values()}) == 3


def test_snapshots_of_a_continued_job_count_on(workspace):
    for _ in range(2):
        workspace.learn("Net", "Iris", tag="t", maxIterations=4, storeInterval=4)
    assert sorted(workspace.tags("Net")) == ["t", "t@4", "t@8"]


def test_a_stopped_job_keeps_what_it_has_learned(workspace):
    answers = iter(["", "", "SIGINT"])
    result = workspace.learn("Net", "Iris", tag="t", stop=lambda: next(answers))
    assert (result.iterations, result.stopped) == (2, "SIGINT")
    assert workspace.tags("Net")["t"].iteration == 2
