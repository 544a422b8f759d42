"""Updates captured in a graph; where there is no CUDA device, on a tape."""

import pytest
import torch
from tape import capture_on_tape
from torch import nn

from dianne.data.dataset import Batch
from dianne.learning.capture import LONGEST, STEADY
from dianne.learning.execution import Execution
from dianne.learning.methods import METHODS
from dianne.learning.trainer import Trainer
from dianne.learning.update import Update

CALLS = 20
RATE = 0.05


class Owner:
    """A strategy with one network."""

    def __init__(self, network: nn.Module):
        self.network = network
        self.scale = 1.0

    def loss(self, batch: Batch, factor: float = 1.0):
        result = self.network(batch.input)
        return {"loss": self.scale * factor * (result - batch.target).square().mean(), "first": result[0, 0]}


class Looking(Owner):
    def loss(self, batch: Batch):
        terms = super().loss(batch)
        return {"loss": terms["loss"] * (2.0 if float(terms["loss"].detach()) > 0 else 1.0)}


class Counting(Owner):
    calls = 0  # of the class, where nobody looks

    def loss(self, batch: Batch):
        Counting.calls += 1
        return super().loss(batch, 1.0 + Counting.calls)


class Keeping(Owner):
    def loss(self, batch: Batch):
        terms = super().loss(batch)
        self.last = terms["first"].detach()
        return terms


class Noisy(Owner):
    def loss(self, batch: Batch):
        return super().loss(Batch(batch.input + torch.randn(4, 3, generator=self.noise), batch.target))


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))


def batches() -> list[Batch]:
    stream = torch.Generator().manual_seed(2)
    return [
        Batch(torch.rand(4, 3, generator=stream), torch.rand(4, 3, generator=stream)) for _ in range(CALLS)
    ]


class Run:
    """Some calls of an update."""

    def __init__(self, kind: type[Owner] = Owner, method: str = "ADAM", **options):
        self.notes: list[str] = []
        self.execution = Execution(note=self.notes.append)
        self.owner = kind(network())
        self.owner.noise = self.execution.generator(3)
        kinds = METHODS.get(method)
        self.trainer = Trainer(
            self.owner.network,
            (kinds, kinds.Options(learning_rate=RATE, **options)),
            captured=self.execution.captures,
        )
        self.declare(self.owner.loss)

    def declare(self, loss, accumulate: int = 1) -> None:
        networks = (self.owner.network,)
        self.update = Update(loss, [self.trainer], accumulate, self.execution, networks)

    def losses(self, change=lambda *_: None, arguments=lambda batch, _: (batch,)) -> list[float]:
        torch.manual_seed(4)
        found = []
        for call, batch in enumerate(batches()):
            change(self.owner, call)
            found.append(float(self.update(*arguments(batch, call))["loss"]))
        return found


def compare(monkeypatch, kind=Owner, method="ADAM", options=None, **calls):
    """The replays and notes of a run on tape, which must have the losses of one without."""
    expected = Run(kind, method, **options or {})
    losses = expected.losses(**calls)
    with monkeypatch.context() as patch:
        tapes = capture_on_tape(patch)
        run = Run(kind, method, **options or {})
        assert run.losses(**calls) == pytest.approx(losses, rel=1e-5)
    for name, value in expected.owner.network.state_dict().items():
        assert torch.allclose(run.owner.network.state_dict()[name], value, rtol=1e-4, atol=1e-6), name
    return [tape.replays for tape in tapes], run.notes


@pytest.mark.parametrize("method", ["ADAM", "ADAMW", "SGD", "ADAGRAD"])
@pytest.mark.parametrize("kind", [Owner, Noisy])
def test_replays_change_weights_as_the_update_would(monkeypatch, kind, method):
    assert compare(monkeypatch, kind, method) == ([CALLS - STEADY], [])


@pytest.mark.parametrize("options", [{"l2": 0.01}, {"l2": 0.01, "momentum": 0.5}])
def test_learning_rates_that_change_are_found_by_replays(monkeypatch, options):
    def lower(run, call):
        run.trainer.share = 0.9**call
        run.trainer.begin(call)

    def losses(patch):
        run = Run(method="SGD" if "momentum" in options else "ADAM", **options)
        return run.losses(change=lambda _, call: lower(run, call))

    expected = losses(monkeypatch)
    tapes = capture_on_tape(monkeypatch)
    assert losses(monkeypatch) == pytest.approx(expected, rel=1e-5)
    # The l2 of SGD is a number of Python that follows the rate, so that no graph holds for two calls.
    assert [tape.replays for tape in tapes] == ([] if "momentum" in options else [CALLS - STEADY])


def test_a_number_of_the_strategy_that_changes_ends_the_replays(monkeypatch):
    def change(owner, call):
        owner.scale = 1.0 if call < 10 else 3.0

    assert compare(monkeypatch, change=change) == ([10 - STEADY, CALLS - 10 - STEADY], [])


def test_a_number_that_always_changes_is_never_captured(monkeypatch):
    def change(owner, call):
        owner.scale = 1.0 + call

    assert compare(monkeypatch, change=change) == ([], [])


class Helper:
    def __init__(self):
        self.deep = {"numbers": [1.0, 2.0]}


class Helped(Owner):
    def __init__(self, network):
        super().__init__(network)
        self.helper = Helper()

    def loss(self, batch):
        return super().loss(batch, self.helper.deep["numbers"][0])


def test_numbers_within_objects_of_the_user_are_seen(monkeypatch):
    def change(owner, call):
        owner.helper.deep["numbers"][0] = 1.0 if call < 10 else 3.0

    assert compare(monkeypatch, Helped, change=change) == ([10 - STEADY, CALLS - 10 - STEADY], [])


def test_a_long_list_counts_as_changed(monkeypatch):
    def change(owner, call):
        owner.history = [0.0] * (LONGEST + 1)

    assert compare(monkeypatch, change=change) == ([], [])


def test_what_modules_hold_is_seen(monkeypatch):
    def change(owner, call):
        owner.network[2].p = 0.5 if call < 10 else 0.1
        owner.network[1].train(call < 16)

    assert compare(monkeypatch, change=change) == ([10 - STEADY, 1], [])


def test_arguments_are_copied_and_their_numbers_seen(monkeypatch):
    def arguments(batch, call):
        alone = Batch(batch.input, batch.input)
        return (alone if call < 10 else batch, 1.0 if call < 16 else 2.0)

    assert compare(monkeypatch, arguments=arguments) == ([10 - STEADY, 1], [])


def test_batches_of_another_size_are_not_replayed(monkeypatch):
    def arguments(batch, call):
        return (Batch(batch.input[:3], batch.target[:3]) if call >= 16 else batch,)

    assert compare(monkeypatch, arguments=arguments) == ([16 - STEADY], [])


class Drawing(Owner):
    def loss(self):
        drawn = torch.rand(4, 3, generator=self.noise)
        return super().loss(Batch(drawn, drawn))


def test_an_update_without_arguments_is_captured(monkeypatch):
    assert compare(monkeypatch, Drawing, arguments=lambda *_: ()) == ([CALLS - STEADY], [])


def test_arguments_with_a_history_of_gradients_are_not_copied(monkeypatch):
    def arguments(batch, _):
        factor = torch.ones(1, requires_grad=True)
        return (Batch(batch.input * factor, batch.target),)

    assert compare(monkeypatch, arguments=arguments) == ([], [])


def test_a_loss_that_looks_at_values_is_computed_as_ever(monkeypatch):
    replays, notes = compare(monkeypatch, Looking)
    assert replays == [0]
    assert notes == [
        "loss is not captured as a CUDA graph, and takes longer: operation not permitted when stream is "
        "capturing"
    ]


def test_a_graph_that_gives_something_else_is_not_taken(monkeypatch):
    monkeypatch.setattr(Counting, "calls", 0)
    tapes = capture_on_tape(monkeypatch)
    run = Run(Counting)
    run.losses()
    assert [tape.replays for tape in tapes] == [1]
    assert run.notes == [
        "loss is not captured as a CUDA graph, and takes longer: its graph gives something else"
    ]


def test_a_loss_that_keeps_something_is_never_captured(monkeypatch):
    assert compare(monkeypatch, Keeping) == ([], [])


def test_a_loss_that_begins_to_keep_something_is_not_captured(monkeypatch):
    class Late(Owner):
        calls = 0

        def loss(self, batch):
            Late.calls += 1
            if Late.calls == STEADY + 2:
                self.seen = 1.0
            return super().loss(batch)

    tapes = capture_on_tape(monkeypatch)
    run = Run(Late)
    run.losses()
    assert [tape.replays for tape in tapes] == [1]
    assert run.notes == [
        "loss is not captured as a CUDA graph, and takes longer: the loss changes numbers of its strategy"
    ]


def test_losses_of_functions_are_not_captured(monkeypatch):
    tapes = capture_on_tape(monkeypatch)
    run = Run()
    run.declare(lambda batch: run.owner.loss(batch))
    run.losses()
    assert (tapes, run.notes) == ([], [])


def test_a_trainer_that_begins_again_is_captured_again(monkeypatch):
    def losses():
        run = Run()

        def change(_, call):
            if call == 10:
                run.trainer.begin_again()

        return run.losses(change=change)

    expected = losses()
    tapes = capture_on_tape(monkeypatch)
    assert losses() == pytest.approx(expected, rel=1e-5)
    assert [tape.replays for tape in tapes] == [10 - STEADY, CALLS - 10 - STEADY]


def test_the_state_of_a_trainer_is_the_same_with_and_without_graphs(monkeypatch):
    plain = Run()
    plain.losses()
    capture_on_tape(monkeypatch)
    run = Run()
    run.losses()
    state = run.trainer.state_dict()
    assert state["optimizer"]["param_groups"] == plain.trainer.state_dict()["optimizer"]["param_groups"]
    other = Run()
    other.trainer.load_state_dict(state)
    assert other.trainer.rate == RATE
    assert float(other.trainer.optimizer.param_groups[0]["lr"]) == pytest.approx(RATE)


def test_gradients_that_are_added_up_are_not_captured(monkeypatch):
    tapes = capture_on_tape(monkeypatch)
    run = Run()
    run.declare(run.owner.loss, accumulate=2)
    run.losses()
    assert tapes == []
