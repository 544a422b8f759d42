"""Every strategy that ships gives the same losses however the engine computes it."""

import pytest
import torch
from tape import capture_on_tape
from test_strategy_contract import LEARNERS, SETUPS, learn, workspace  # noqa: F401 - a fixture
from workspaces import Notes

from dianne.data.options import view
from dianne.data.readers import open_dataset
from dianne.jobs.learn import LearnWatcher, prepare
from dianne.jobs.learn_run import LearnRun
from dianne.learning.execution import Execution

every_learner = pytest.mark.parametrize("name", LEARNERS)
TOLERANCE = {"medium": 0.001, "bf16": 0.01}  # of a term, as a share of the loss where that is above 1


def losses(workspace, name: str, **options) -> list[dict[str, float]]:  # noqa: F811
    result = learn(workspace, name, clean=True, **{"maxIterations": 12, **options})
    return [report.terms for report in result.history]


def furthest(terms: list[dict[str, float]], others: list[dict[str, float]]) -> float:
    """The largest difference between terms, as a share of the loss where that is above 1."""
    return max(
        abs(value - other[key]) / max(1.0, abs(one["loss"]))
        for one, other in zip(terms, others, strict=True)
        for key, value in one.items()
    )


@every_learner
def test_lower_precision_gives_nearly_the_same_losses(name, workspace):  # noqa: F811
    exact = losses(workspace, name)
    found = {precision: losses(workspace, name, precision=precision) for precision in TOLERANCE}
    for precision, tolerance in TOLERANCE.items():
        assert furthest(exact, found[precision]) <= tolerance
    assert found["bf16"] != exact


@every_learner
@pytest.mark.filterwarnings("ignore")  # torch's compiler uses what torch deprecates
def test_compiled_networks_give_the_same_losses(name, workspace, monkeypatch):  # noqa: F811
    """Captured and differentiated as by the compiler, without the minutes that its C++ takes."""
    real, watcher = torch.compile, Notes()
    monkeypatch.setattr(torch, "compile", lambda function: real(function, backend="aot_eager"))
    options = {"maxIterations": 200, "traceInterval": 10}
    found = losses(workspace, name, compile="always", watcher=watcher, **options)
    assert furthest(losses(workspace, name, **options), found) <= 1e-4
    expected = {
        "BPTTLearningStrategy": ["compile=always: networks with a state are not compiled"],
        "WGANGPLearningStrategy": [
            "torch.compile cannot compile this job, which goes on without: This backward function was "
            "compiled with non-empty donated buffers which requires create_graph=False and retain_graph=False"
        ],
    }
    assert watcher.notes == expected.get(name, [])


@every_learner
def test_captured_updates_give_the_same_losses(name, workspace, monkeypatch):  # noqa: F811
    options = {"maxIterations": 200, "traceInterval": 10}
    eager, watcher = losses(workspace, name, **options), Notes()
    tapes = capture_on_tape(monkeypatch)
    found = losses(workspace, name, watcher=watcher, **options)
    assert furthest(eager, found) <= 1e-5
    assert watcher.notes == []
    replays = [tape.replays for tape in tapes]
    if name == "BPTTLearningStrategy":  # which keeps the network's state from call to call
        assert replays == []
    else:
        assert replays
        assert min(replays) >= 190


@every_learner
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_give_the_same_losses(name, workspace):  # noqa: F811
    options = {"maxIterations": 200, "traceInterval": 10, "device": "cuda"}
    watcher = Notes()
    found = losses(workspace, name, watcher=watcher, **options)
    assert furthest(losses(workspace, name, capture="never", **options), found) <= 1e-3
    assert watcher.notes == []


class Elsewhere(Execution):
    """On the meta device, whose tensors have no values; streams of random numbers are the CPU's."""

    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device("meta")

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)


@every_learner
def test_nothing_of_a_strategy_stays_on_the_cpu(name, workspace):  # noqa: F811
    """Tensors of two devices refuse to meet, as they do where there is a GPU."""
    setup = SETUPS[name]
    options = {"strategy": name, "batchSize": 8, "seed": 1, "method": "RMSPROP", **setup.options}
    options.pop("target.initTag", None)
    job = prepare(workspace.folder, setup.networks, setup.dataset, options)
    run = LearnRun(job, LearnWatcher())
    run.execution = Elsewhere()
    run.graphs = {member.role: job.networks[member.name].build(1) for member in job.team}
    data = view(open_dataset(job.folder, job.described, lambda *_: None), job.train, job.data)
    strategy, learn_job = run.set_up(data)
    for i in range(2):
        learn_job.begin(i)
        terms = strategy.process_iteration(i).terms
    assert {term.device.type for term in terms.values()} == {"meta"}
    weights = [weight for graph in run.graphs.values() for weight in graph.parameters()]
    assert {weight.device.type for weight in weights} == {"meta"}
