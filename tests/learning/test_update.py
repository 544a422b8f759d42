"""Updates: one loss, one step of the networks that it trains."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from dianne.data.dataset import Dataset
from dianne.errors import UsageError
from dianne.learning.job import LearnJob, Rehearsal
from dianne.learning.methods import METHODS
from dianne.learning.strategy import GradientOptions
from dianne.learning.trainer import Trainer
from dianne.learning.update import DivergedError, checked_terms

SGD = METHODS.get("SGD")

DATA = Dataset("Four", torch.eye(4), torch.ones(4, 1))


def job_of(*networks: nn.Module) -> LearnJob:
    return LearnJob(networks, GradientOptions(), DATA, 1, trainer)


def trainer(network: nn.Module, **options: float) -> Trainer:
    return Trainer(network, (SGD, SGD.Options(learning_rate=0.1, **options)))


def state(network: nn.Module) -> list[list]:
    return [value.tolist() for value in network.state_dict().values()]


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (None, "a strategy's loss must return a dict with the key 'loss', found NoneType"),
        (torch.zeros(()), "a strategy's loss must return a dict with the key 'loss', found Tensor"),
        ({}, "a strategy's loss must return a dict with the key 'loss', found an empty dict"),
        (
            {"cost": torch.zeros(()), "kl": torch.zeros(())},
            "a strategy's loss must return a dict with the key 'loss', found the keys cost, kl",
        ),
        (
            {"loss": torch.zeros(3)},
            "the term 'loss' of a strategy's loss must be a scalar tensor, found shape [3]",
        ),
        ({"loss": 1.5}, "the term 'loss' of a strategy's loss must be a scalar tensor, found float"),
        (
            {"loss": torch.zeros(()), "kl": torch.zeros(2, 1)},
            "the term 'kl' of a strategy's loss must be a scalar tensor, found shape [2, 1]",
        ),
    ],
)
def test_terms_against_the_contract_are_refused(terms, text):
    network = nn.Linear(4, 1)
    before = state(network)
    update = job_of(network).update(lambda: terms, trains=(network,))
    with pytest.raises(UsageError) as fault:
        update()
    assert str(fault.value) == text
    assert state(network) == before


def test_an_update_steps_once_and_gives_its_terms_back_detached():
    network = nn.Linear(4, 1)
    start = copy.deepcopy(network)

    def loss(scale):
        value = network(DATA.inputs).mean()
        return {"loss": scale * value, "value": value}

    terms = job_of(network).update(loss, trains=(network,))(3.0)
    assert network.bias.item() == pytest.approx(start.bias.item() - 0.1 * 3)
    assert terms["loss"].item() == pytest.approx(3 * start(DATA.inputs).mean().item(), abs=1e-6)
    assert [name for name, term in terms.items() if term.requires_grad] == []


def test_gradients_of_the_last_call_are_forgotten():
    network = nn.Linear(4, 1)
    update = job_of(network).update(lambda: {"loss": network(DATA.inputs).mean()}, trains=(network,))
    biases = []
    for _ in range(3):
        update()
        biases.append(network.bias.item())
    assert biases[2] - biases[1] == pytest.approx(biases[1] - biases[0]) == pytest.approx(-0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_finite_number_leaves_the_weights_alone(value):
    network = nn.Linear(4, 1)
    before = state(network)
    update = job_of(network).update(lambda: {"loss": network(DATA.inputs).sum() * value}, trains=(network,))
    with pytest.raises(DivergedError, match=r"^the loss is (nan|inf|-inf)$"):
        update()
    assert state(network) == before


def test_networks_that_are_not_trained_stay_as_they_are():
    critic, actor = nn.Linear(1, 1), nn.Linear(4, 1)
    job = job_of(critic, actor)
    updates = {
        network: job.update(lambda: {"loss": critic(actor(DATA.inputs)).mean()}, trains=(network,))
        for network in (actor, critic)
    }
    for trained, other in ((actor, critic), (critic, actor)):
        before = state(trained), state(other)
        updates[trained]()
        assert state(trained) != before[0]
        assert state(other) == before[1]


def test_gradients_that_reach_another_network_do_not_leak_into_its_own_update():
    critic, actor = nn.Linear(1, 1), nn.Linear(4, 1)
    job = job_of(critic, actor)
    act = job.update(lambda: {"loss": critic(actor(DATA.inputs)).mean()}, trains=(actor,))
    judge = job.update(lambda: {"loss": critic.bias.sum()}, trains=(critic,))
    start = critic.bias.item()
    act()
    judge()
    assert critic.bias.item() == pytest.approx(start - 0.1)


def test_two_updates_of_one_network_share_its_method():
    made = []

    def remember(network):
        made.append(network)
        return trainer(network, momentum=0.5)

    first, second = nn.Linear(4, 1), nn.Linear(4, 1)
    job = LearnJob((first, second), GradientOptions(), DATA, 1, remember)
    one = job.update(lambda: {"loss": first.bias.sum()}, trains=(first,))
    both = job.update(lambda: {"loss": first.bias.sum() + second.bias.sum()}, trains=(first, second))
    start = first.bias.item(), second.bias.item()
    one()
    both()
    assert made == [first, second]
    assert first.bias.item() == pytest.approx(start[0] - 0.1 - 0.15)  # the second step has momentum
    assert second.bias.item() == pytest.approx(start[1] - 0.1)


def test_networks_of_nobody_cannot_be_trained():
    job = job_of(nn.Linear(4, 1))
    with pytest.raises(UsageError) as fault:
        job.update(dict, trains=(nn.Linear(4, 1),))
    assert str(fault.value) == "an update can only train networks of its own job (job.networks)"


def test_a_rehearsed_update_computes_its_loss_and_changes_nothing():
    network = nn.Linear(4, 1)
    before = state(network)
    rehearsal = Rehearsal((network,), GradientOptions(), DATA)
    terms = rehearsal.update(lambda: {"loss": network(DATA.inputs).mean()}, trains=(network,))()
    assert checked_terms(terms)["loss"].shape == ()
    assert state(network) == before


def test_a_rehearsal_gives_batches_of_the_right_shapes_without_values():
    batch = next(Rehearsal((), GradientOptions(batch_size=7), DATA).batches)
    assert (batch.input.shape, batch.target.shape) == ((7, 4), (7, 1))
    assert {batch.input.device.type, batch.target.device.type} == {"meta"}


def drawn(seed: int, noise: int = 0) -> list[list[float]]:
    """Two batches of a job, after some noise was drawn."""
    job = LearnJob((), GradientOptions(batch_size=8), DATA, seed, trainer)
    torch.randn(noise, generator=job.noise)
    return [next(job.batches).input.tolist() for _ in range(2)]


def test_batches_follow_the_seed_and_nothing_else():
    assert drawn(seed=1) == drawn(seed=1, noise=100) != drawn(seed=2)


# -------------------------------------------------------------------------------- gradients and accumulation


def test_only_the_networks_that_an_update_trains_have_gradients():
    critic, actor = nn.Linear(1, 1), nn.Linear(4, 1)
    job = job_of(critic, actor)
    act = job.update(lambda: {"loss": critic(actor(DATA.inputs)).mean()}, trains=(actor,))
    act()
    assert [weight.grad for weight in critic.parameters()] == [None, None]
    assert all(weight.grad is not None for weight in actor.parameters())


def test_gradients_of_fixed_weights_stay_none():
    network = nn.Linear(4, 1)
    network.bias.requires_grad_(False)
    job_of(network).update(lambda: {"loss": network(DATA.inputs).mean()}, trains=(network,))()
    assert network.bias.grad is None
    assert network.weight.grad is not None


def test_an_update_of_networks_that_are_all_fixed_gives_its_terms():
    network = nn.Linear(4, 1).requires_grad_(False)
    job = LearnJob((network,), GradientOptions(), DATA, 1, lambda _: None)
    before = state(network)
    terms = job.update(lambda: {"loss": network(DATA.inputs).mean()}, trains=(network,))()
    assert terms["loss"].item() == pytest.approx(network(DATA.inputs).mean().item())
    assert state(network) == before


@pytest.mark.parametrize("name", ["kl", "loss"])
def test_a_term_that_is_no_finite_number_leaves_the_weights_alone(name):
    network = nn.Linear(4, 1)
    before = state(network)

    def loss():
        return {"loss": network(DATA.inputs).sum(), "kl": torch.zeros(()), name: torch.tensor(float("nan"))}

    with pytest.raises(DivergedError) as fault:
        job_of(network).update(loss, trains=(network,))()
    assert str(fault.value) == {"loss": "the loss is nan", "kl": "the term 'kl' of the loss is nan"}[name]
    assert state(network) == before


def accumulating(network: nn.Module, count: int) -> LearnJob:
    return LearnJob((network,), GradientOptions(), DATA, 1, trainer, accumulate=count)


def test_weights_change_after_so_many_calls_by_the_mean_of_the_gradients():
    network = nn.Linear(4, 1)
    update = accumulating(network, 3).update(lambda scale: {"loss": scale * network.bias.sum()}, (network,))
    biases = [network.bias.item()]
    for scale in (1.0, 2.0, 6.0, 30.0, 0.0, 0.0):
        update(scale)
        biases.append(network.bias.item())
    steps = [after - before for before, after in pairwise(biases)]
    assert steps == pytest.approx([0, 0, -0.3, 0, 0, -1.0], abs=1e-6)


def test_terms_are_those_of_a_batch_and_not_of_its_share():
    network = nn.Linear(4, 1)
    update = accumulating(network, 4).update(lambda: {"loss": network.bias.sum() * 0 + 8}, (network,))
    assert update()["loss"].item() == 8


def test_gradients_of_before_a_retry_do_not_count():
    network = nn.Linear(4, 1)
    job = accumulating(network, 2)
    update = job.update(lambda scale: {"loss": scale * network.bias.sum()}, (network,))
    start = network.bias.item()
    update(100.0)
    job.begin_again(0.5)
    job.begin(0)
    update(1.0)
    assert network.bias.item() == start
    update(1.0)
    assert network.bias.item() == pytest.approx(start - 0.05)


def test_two_updates_of_one_network_cannot_accumulate():
    network = nn.Linear(4, 1)
    job = accumulating(network, 2)
    job.update(dict, (network,))
    with pytest.raises(UsageError) as fault:
        job.update(dict, (network,))
    assert str(fault.value) == (
        "accumulate=2: two updates of this strategy train the same network, so their gradients cannot be "
        "told apart; leave accumulate out"
    )


@pytest.mark.parametrize("method", ["SGD", "ADAM"])
def test_four_batches_of_8_are_one_of_32(workspace, method):
    found = {}
    given = {"seed": 1, "sampling": "SEQUENTIAL", "method": method, "range": "0:128"}
    for tag, size, count in (("small", 8, 4), ("large", 32, 1), ("other", 8, 1)):
        workspace.learn(
            "Net", "Iris", tag=tag, batchSize=size, accumulate=count, maxIterations=12 * count, **given
        )
        found[tag] = workspace.store.weights(workspace.store.manifest("Net", tag))
    for name, weight in found["large"].items():
        torch.testing.assert_close(found["small"][name], weight, rtol=0, atol=1e-6)
        assert not torch.allclose(found["other"][name], weight, rtol=0, atol=1e-4)
