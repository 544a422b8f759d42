"""Back-propagation through time, and the evaluation that belongs to it."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from dianne import Workspace, plugins
from dianne.data.dataset import Dataset
from dianne.errors import ConfigError, UsageError
from dianne.evaluation.evaluator import evaluate
from dianne.jobs.learn import prepare
from dianne.learning.job import LearnJob, Rehearsal
from dianne.learning.methods import METHODS
from dianne.learning.trainer import Trainer
from dianne.network.graph import Graph
from dianne.plugins import EVALUATION, LEARNING
from dianne.workspace import Folder

SGD = METHODS.get("SGD")
REPOSITORY = Folder(Path(__file__).parents[2])
TEXT = "the cat sat on the mat, and that cat is fat. " * 12
LAYER = """
parameters: {letters: 15}
modules:
  letters: {type: Input, shape: [4, "${letters}"]}
  lstm:    {type: LSTM, output: 6}
  scores:  {type: torch.nn.Linear, in_features: 6, out_features: "${letters}"}
  next:    {type: torch.nn.LogSoftmax, dim: -1}
  output:  {type: Output}
"""
MEMORY = """
parameters: {letters: 15}
modules:
  letter: {type: Input, shape: ["${letters}"]}
  lstm:   {type: LSTMCell, output: 6}
  scores: {type: Linear, output: "${letters}"}
  next:   {type: LogSoftmax}
  output: {type: Output}
"""
FLAT = """
modules:
  letters: {type: Input, shape: [4, 15]}
  lstm:    {type: LSTM, output: 6}
  scores:  {type: Linear, output: 15}
  next:    {type: LogSoftmax}
  output:  {type: Output}
"""
STATELESS = (
    "modules:\n  x: {type: Input, shape: [15]}\n  y: {type: Linear, output: 15}\n  z: {type: Output}\n"
)
ONE_STEP = """
modules:
  x:      {type: Input, shape: [1]}
  gru:    {type: GRUCell, output: 8}
  y:      {type: Linear, output: 1}
  output: {type: Output}
"""
every_kind = pytest.mark.parametrize("kind", ["Layer", "Memory"])


@pytest.fixture
def workspace(tmp_path):
    for folder in ("networks", "datasets"):
        (tmp_path / folder).mkdir()
    networks = {"Layer": LAYER, "Memory": MEMORY, "Flat": FLAT, "Stateless": STATELESS, "Step": ONE_STEP}
    for name, text in networks.items():
        (tmp_path / "networks" / f"{name}.yaml").write_text(text)
    (tmp_path / "datasets" / "Text.yaml").write_text("type: CharSequenceDataset\nparts: {test: '0:203'}")
    (tmp_path / "datasets" / "input.txt").write_text(TEXT)
    (tmp_path / "datasets" / "Digits.yaml").write_text(
        "{type: sklearn, loader: load_iris, labels: [a, b, c]}"
    )
    wave = "\n".join(f"{math.sin(t / 3)},{math.sin((t + 1) / 3)}" for t in range(300))
    (tmp_path / "datasets" / "wave.csv").write_text(wave)
    (tmp_path / "datasets" / "Wave.yaml").write_text("{type: CSV, file: wave.csv, sequential: true}")
    return Workspace(tmp_path)


def learned(workspace, network, dataset="Text", **options):
    short = {"strategy": "BPTT", "maxIterations": 3, "batchSize": 5, "sequenceLength": 7, "seed": 1,
             "tag": "t", "learningRate": 0.01, "clean": True}  # fmt: skip
    return workspace.learn(network, dataset, **{**short, **options})


def set_up(graph: Graph, data: Dataset, rate: float = 0.1, **options):
    """A strategy at work with plain steps against the gradient."""
    found = plugins.find(REPOSITORY, "BPTTLearningStrategy", LEARNING)
    strategy = found()
    job = LearnJob(
        (graph,),
        found.Options(**options),
        data,
        1,
        lambda net: Trainer(net, (SGD, SGD.Options(learning_rate=rate))) if rate else None,
    )
    strategy.setup(job)
    return strategy, job


# ------------------------------------------------------------------------------------------- what is learned


def by_hand(graph: Graph, batch, every_step: bool) -> torch.Tensor:
    """The loss step by step: nats, averaged over the batch and the steps that count."""
    steps, state = [], None
    for time in range(batch.input.shape[1]):
        result, state = graph.unroll(batch.input[:, time : time + 1], state=state)
        steps.append(-(result[:, 0] * batch.target[:, time]).sum(1))
    losses = torch.stack(steps, dim=1)  # (b, time)
    return losses.mean() if every_step else losses[:, -1].mean()


@every_kind
@pytest.mark.parametrize("every_step", [False, True])
def test_the_loss_is_the_mean_over_the_batch_and_the_steps_that_count(workspace, kind, every_step):
    graph = workspace.describe(kind).build(1)
    data = workspace.dataset("Text")
    strategy, job = set_up(graph, data, batch_size=3, sequence_length=6, backprop_all=every_step)
    batch = next(job.sequences(6))
    expected = by_hand(graph, batch, every_step)
    gradients = torch.autograd.grad(expected, list(graph.parameters()))
    before = [weight.detach().clone() for weight in graph.parameters()]
    terms = strategy.process_iteration(0).terms
    torch.testing.assert_close(terms["loss"], expected.detach())
    for weight, old, gradient in zip(graph.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(weight.detach(), old - 0.1 * gradient, atol=1e-5, rtol=1e-4)


@every_kind
def test_a_carried_state_goes_on_and_its_gradient_does_not(workspace, kind):
    graph = workspace.describe(kind).build(1)
    data = workspace.dataset("Text", "test")  # 203 samples: tracks of 2 windows of 20
    options = {"batch_size": 4, "sequence_length": 20, "backprop_all": True, "carry_state": True}
    strategy, job = set_up(graph, data, rate=0.0, **options)
    windows = job.sequences(20, carry=True)
    first, second, third = (next(windows) for _ in range(3))
    whole = torch.cat((first.input, second.input), dim=1)
    _, state = graph.unroll(first.input)
    losses = [strategy.process_iteration(i).terms["loss"] for i in range(3)]
    result = graph.unroll(whole)[0][:, 20:]
    torch.testing.assert_close(losses[1], -(result * second.target).sum(2).mean().detach())
    torch.testing.assert_close(losses[2], by_hand(graph, third, True).detach())  # the tracks start anew
    assert not any(value.requires_grad for value in strategy.state.values())
    fixed = {name: value.detach() for name, value in state.items()}
    truncated = -(graph.unroll(second.input, state=fixed)[0] * second.target).sum(2).mean()
    expected = torch.autograd.grad(truncated, list(graph.parameters()))
    graph.zero_grad()
    strategy.loss(second, fixed)["loss"].backward()
    for weight, gradient in zip(graph.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_without_carrying_every_sequence_starts_from_zeros(workspace):
    graph = workspace.describe("Layer").build(1)
    strategy, job = set_up(graph, workspace.dataset("Text"), rate=0.0, batch_size=4, sequence_length=9)
    batches = job.sequences(9)
    for i in range(3):
        loss = strategy.process_iteration(i).terms["loss"]
        torch.testing.assert_close(loss, by_hand(graph, next(batches), False).detach())


def test_from_the_start_means_the_first_samples(workspace):
    graph = workspace.describe("Layer").build(1)
    data = workspace.dataset("Text")
    strategy, _ = set_up(graph, data, rate=0.0, batch_size=2, sequence_length=9, from_start=True)
    loss = strategy.process_iteration(0).terms["loss"]
    torch.testing.assert_close(loss, by_hand(graph, data.batch(torch.arange(9).expand(2, 9)), False).detach())


@every_kind
def test_a_text_that_repeats_itself_is_learned(workspace, kind):
    options = {"maxIterations": 150, "learningRate": 0.05, "backpropAll": True, "carryState": True}
    learned(workspace, kind, **options)
    metrics = workspace.evaluate(kind, "Text", tag="t", batchSize=1).metrics
    assert metrics["nats per step"] < 0.6  # a letter without context has 2.5
    assert metrics["accuracy"] > 0.8


def test_numbers_are_learned_with_another_criterion(workspace):
    options = {"criterion": "MSE", "maxIterations": 150, "backpropAll": True}
    learned(workspace, "Step", "Wave", **options)
    found = workspace.evaluate("Step", "Wave", tag="t")
    assert list(found.metrics) == ["MSE"]
    assert found.metrics["MSE"] < 0.02  # the variance is 0.5


def test_a_validation_set_is_judged_while_it_learns(workspace):
    result = learned(workspace, "Layer", trainSet="0:300", validationSet="300:400", validationInterval=2)
    assert list(result.validations) == [2, 3]
    assert result.validations[2].size == 100
    assert "perplexity" in result.validations[2].metrics


# ------------------------------------------------------------------------------------------- what is refused


def refused(workspace, *arguments, **options) -> str:
    with pytest.raises(UsageError) as fault:
        learned(workspace, *arguments, **options)
    assert not workspace.folder.models.exists()
    return str(fault.value)


@pytest.mark.parametrize(
    ("network", "dataset", "options", "message"),
    [
        ("Stateless", "Text", {},
         "BPTTLearningStrategy needs a network with a state, but Stateless has neither a Memory nor a layer "
         "LSTM or GRU in one direction"),
        ("Layer", "Digits", {},
         "the samples of Digits do not follow each other in time, so there are no sequences of them; take a "
         "dataset of text or of measurements in time (sequential: true), and a range of neighbours"),
        ("Layer", "Text", {"range": "0:30", "sequenceLength": 31},
         "Text has 30 samples, too few for sequences of 31"),
        ("Layer", "Text", {"range": "0:30", "carryState": True},
         "Text has 30 samples, too few for 5 tracks of at least 7"),
        ("Step", "Wave", {}, "criterion NLL needs classes, which Wave does not have; take criterion=MSE"),
        ("Layer", "Text", {"letters": 18}, "Layer.letters takes samples of [4, 18], got [7, 15]"),
        ("Flat", "Text", {"sequenceLength": 4},
         "Flat gives results of [15]; BPTTLearningStrategy needs one for each of the 4 steps"),
    ],
    ids=["no state", "no order", "short", "short for tracks", "no classes", "other letters", "one result"],
)  # fmt: skip
def test_what_cannot_be_learned_is_refused_before_anything_runs(
    workspace, network, dataset, options, message
):
    assert refused(workspace, network, dataset, **options) == message


def test_options_that_exclude_each_other_are_refused(workspace):
    with pytest.raises(ConfigError) as fault:
        learned(workspace, "Layer", carryState=True, fromStart=True)
    assert [str(problem) for problem in fault.value.problems] == [
        "option 'fromStart': fromStart and carryState exclude each other; give one of them"
    ]


def test_sampling_is_not_a_matter_of_sequences(workspace):
    with pytest.raises(ConfigError):
        prepare(workspace.folder, "Layer", "Text", {"strategy": "BPTT", "sampling": "UNIFORM"})


@pytest.mark.parametrize("carry", [False, True])
def test_a_rehearsal_has_sequences_of_the_same_shapes(workspace, carry):
    data = workspace.dataset("Text")
    options = plugins.find(REPOSITORY, "BPTT", LEARNING).Options(batch_size=3, sequence_length=5)
    real = next(LearnJob((), options, data, 1, lambda _: None).sequences(5, carry))
    empty = next(Rehearsal((), options, data).sequences(5, carry))
    assert [value.shape for value in empty] == [value.shape for value in real]
    assert all(value.is_meta for value in empty)


# ------------------------------------------------------------------------------------------- the evaluation


def judged(workspace, graph, data, **options):
    found = plugins.find(REPOSITORY, "PerplexityEvaluationStrategy", EVALUATION)
    return evaluate(found, (graph,), found.Options(**options), data, 0)


@every_kind
@pytest.mark.parametrize("length", [1, 7, 50, 500])
def test_windows_equal_one_long_run(workspace, kind, length):
    graph = workspace.describe(kind).build(1).eval()
    data = workspace.dataset("Text", "test")
    found = judged(workspace, graph, data, batch_size=1, sequence_length=length)
    batch = data.batch(torch.arange(len(data)).unsqueeze(0))
    with torch.inference_mode():
        result = graph(batch.input)
    nats = float(-(result * batch.target).sum(2).mean())
    right = float((result.argmax(2) == batch.target.argmax(2)).float().mean())
    assert found.size == len(data) == 203
    assert found.metrics == pytest.approx({
        "nats per step": nats, "perplexity": math.exp(nats), "bits per step": nats / math.log(2),
        "accuracy": right,
    }, rel=1e-5)  # fmt: skip


@pytest.mark.parametrize(("tracks", "length"), [(2, 10), (7, 9), (50, 3), (203, 4), (500, 4), (100, 2)])
def test_every_sample_counts_once_and_each_track_is_one_long_run(workspace, tracks, length):
    graph = workspace.describe("Layer").build(1).eval()
    data = workspace.dataset("Text", "test")
    ticks = []
    strategy = plugins.find(REPOSITORY, "PerplexityEvaluationStrategy", EVALUATION)
    options = strategy.Options(batch_size=tracks, sequence_length=length)
    found = evaluate(strategy, (graph,), options, data, 0, ticks.append)
    total = 0.0
    for part in torch.arange(len(data)).tensor_split(min(tracks, len(data))):  # the first are the longer ones
        batch = data.batch(part.unsqueeze(0))
        total += float(-(graph(batch.input) * batch.target).sum().detach())
    assert found.size == ticks[-1] == 203
    assert found.metrics["nats per step"] == pytest.approx(total / 203, rel=1e-5)


def test_no_idea_at_all_is_as_perplexing_as_there_are_letters(workspace):
    graph = workspace.describe("Layer").build(1).eval()
    nn.init.zeros_(graph.get_parameter("scores.weight"))
    nn.init.zeros_(graph.get_parameter("scores.bias"))
    metrics = judged(workspace, graph, workspace.dataset("Text")).metrics
    assert metrics["perplexity"] == pytest.approx(15)
    assert metrics["bits per step"] == pytest.approx(math.log2(15))


@pytest.mark.parametrize(
    ("network", "dataset", "options", "message"),
    [
        ("Stateless", "Text", {},
         "PerplexityEvaluationStrategy needs a network with a state; Stateless has none"),
        ("Layer", "Digits", {}, "the samples of Digits do not follow each other in time"),
        ("Step", "Wave", {}, "PerplexityEvaluationStrategy needs a dataset with classes, or criterion=MSE"),
        ("Layer", "Text", {"include_outputs": True},
         "PerplexityEvaluationStrategy keeps no outputs; leave out includeOutputs"),
    ],
    ids=["no state", "no order", "no classes", "outputs"],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused(workspace, network, dataset, options, message):
    graph = workspace.describe(network).build(1).eval()
    with pytest.raises(UsageError) as fault:
        judged(workspace, graph, workspace.dataset(dataset), **options)
    assert str(fault.value) == message
