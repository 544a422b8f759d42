"""Learning from another network: what is learned from it, and when it follows."""

import pytest
import torch
from handmade import learner, set_up, values, whole
from torch import nn

from dianne import Dataset, UsageError

INPUTS = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
DATA = Dataset("Samples", INPUTS, torch.zeros(7, 9))  # its own targets have no part in it


def network(seed: int, hidden: int = 5, last: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3), last or nn.Identity())


def target(last: nn.Module | None = None, **options):
    pair = network(1, last=last), network(2, last=last)
    return *pair, *set_up("Target", pair, DATA, **options)


def test_the_trainee_is_compared_with_the_target_and_not_with_the_data():
    trainee, teacher, strategy, _ = target()
    expected = (trainee(INPUTS) - teacher(INPUTS)).square().mean().item()
    assert values(strategy.loss(whole(DATA))) == {"loss": pytest.approx(expected, rel=1e-5)}


@pytest.mark.parametrize("last", [nn.LogSoftmax(1), nn.Softmax(1)])
def test_for_classes_the_loss_is_the_cross_entropy_with_the_targets_probabilities(last):
    trainee, teacher, strategy, _ = target(last, criterion="NLL")
    ours, theirs = trainee[:3](INPUTS).log_softmax(1), teacher[:3](INPUTS).softmax(1)
    expected = -(theirs * ours).sum(1).mean().item()
    assert values(strategy.loss(whole(DATA))) == {"loss": pytest.approx(expected, rel=1e-5)}


def test_logarithms_stay_what_they_are_for_other_criteria():
    trainee, teacher, strategy, _ = target(nn.LogSoftmax(1), criterion="ABS")
    expected = (trainee(INPUTS) - teacher(INPUTS)).abs().mean().item()
    assert values(strategy.loss(whole(DATA))) == {"loss": pytest.approx(expected, rel=1e-5)}


def test_only_the_trainee_learns_until_it_gives_what_the_target_gives():
    trainee, teacher, strategy, job = target()
    before = [weight.tolist() for weight in teacher.parameters()]
    first, *_, last = [values(strategy.process_iteration(i).terms)["loss"] for i in range(300)]
    assert last < first / 20
    assert job.updates == [(trainee,)]
    assert [weight.grad for weight in teacher.parameters()] == [None] * 4
    assert [weight.tolist() for weight in teacher.parameters()] == before


def test_the_target_takes_the_trainees_weights_every_so_often():
    trainee, teacher, strategy, _ = target(targetInterval=3)
    same = []
    for i in range(7):
        with torch.no_grad():
            trainee[0].weight.add_(0.1)  # a copy has nothing more to learn
        strategy.process_iteration(i)
        pairs = zip(trainee.parameters(), teacher.parameters(), strict=True)
        same.append(all(torch.equal(ours, theirs) for ours, theirs in pairs))
    assert same == [False, False, True, False, False, True, False]


@pytest.mark.parametrize(
    ("teacher", "text"),
    [
        (network(2, hidden=6), "0.weight is [5, 4] in the trainee and [6, 4] in the target"),
        (nn.Linear(4, 3), "0.weight is [5, 4] in the trainee and none in the target"),
    ],
)
def test_a_target_that_cannot_take_the_weights_is_refused(teacher, text):
    set_up("Target", (network(1), teacher), DATA)
    with pytest.raises(UsageError) as fault:
        set_up("Target", (network(1), teacher), DATA, targetInterval=3)
    assert str(fault.value) == (
        "targetInterval=3 copies weights from the trainee to the target, so both must be the same network; "
        + text
    )


def test_a_classifier_learns_by_likelihood_and_is_judged_by_accuracy():
    strategy = learner("Target")
    assert strategy.defaults_for(["a", "b"]) == {"criterion": "NLL"}
    assert strategy.evaluation_for(["a", "b"]) == "ClassificationEvaluationStrategy"
    assert strategy.defaults_for(None) == {}
    assert strategy.evaluation_for(None) == "CriterionEvaluationStrategy"
