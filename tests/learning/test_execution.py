"""How updates are computed: devices, precision, threads, compiled networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from workspaces import Notes

from dianne import Workspace
from dianne.data.dataset import Dataset
from dianne.errors import UsageError
from dianne.jobs.learn import LearnWatcher
from dianne.learning import compiling
from dianne.learning.compiling import LEAST, TIMED, WARM_UP, Compiling
from dianne.learning.execution import Execution, ExecutionOptions, find_device, move
from dianne.learning.methods import METHODS
from dianne.learning.trainer import Trainer
from dianne.learning.update import Update
from dianne.network.network import share_weights
from dianne.workspace import shipped


def learn(workspace: Workspace, **options):
    given = {"tag": "t", "seed": 1, "batchSize": 8, "maxIterations": 6, "traceInterval": 1, "clean": True}
    return workspace.learn("Net", "Iris", **{**given, **options})


def losses(result) -> list[float]:
    return [report.terms["loss"] for report in result.history]


# ------------------------------------------------------------------------------------------------- float32


def test_by_default_a_job_gives_the_bits_of_a_loop_written_by_hand(workspace):
    data = workspace.dataset("Iris")
    graph = workspace.describe("Net").build(seed=1)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.LogSoftmax(1))
    with torch.no_grad():
        for own, weight in zip(network.parameters(), graph.parameters(), strict=True):
            own.copy_(weight)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
    expected = []
    for start in range(0, 48, 8):
        rows = slice(start, start + 8)
        targets = functional.one_hot(data.targets[rows].long(), 3).float()
        loss = -(network(data.inputs[rows].float()) * targets).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert losses(learn(workspace, sampling="SEQUENTIAL")) == expected


# ------------------------------------------------------------------------------------------------- devices


@pytest.mark.parametrize(
    ("options", "devices", "expected"),
    [
        ({}, 0, "cpu"),
        ({}, 2, "cuda"),
        ({"device": "cpu"}, 2, "cpu"),
        ({"device": "cuda:1"}, 2, "cuda:1"),
        ({"precision": "fp16"}, 1, "cuda"),
    ],
)
def test_a_device_is_found(options, devices, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    assert find_device(ExecutionOptions(**options)) == torch.device(expected)


@pytest.mark.parametrize(
    ("options", "devices", "text"),
    [
        (
            {"device": "cuda"},
            0,
            "device=cuda: torch finds no CUDA device on this machine; leave device out, or give cpu",
        ),
        (
            {"device": "cuda:2"},
            2,
            "device=cuda:2: torch finds cuda:0, cuda:1 on this machine; leave device out, or give cpu",
        ),
        ({"precision": "fp16"}, 0, "precision=fp16 is for CUDA devices; the CPU computes in bf16"),
    ],
)
def test_what_this_machine_cannot_do_is_said_before_any_work(options, devices, text, workspace, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with pytest.raises(UsageError) as fault:
        learn(workspace, **options)
    assert str(fault.value) == text
    assert not workspace.folder.models.exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"device": "gpu"}, "'device': expected auto, cpu, cuda or cuda:N, found 'gpu'"),
        ({"precision": "fp8"}, "'precision': expected 'float32', 'medium', 'bf16' or 'fp16', found 'fp8'"),
        ({"compile": "yes"}, "'compile': expected 'never', 'auto' or 'always', found 'yes'"),
        ({"threads": "0"}, "'threads': expected more than 0, found '0'"),
    ],
)
def test_values_that_cannot_be_are_refused(workspace, options, problem):
    with pytest.raises(UsageError) as fault:
        learn(workspace, **options)
    assert str(fault.value) == f"learn: 1 problem\n  option {problem}"


def test_buffers_that_modules_share_stay_shared_on_another_device():
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    share_weights(second, first)
    network = nn.Sequential(first, second, nn.BatchNorm1d(3))
    move(network, torch.device("meta"))
    assert second.running_mean is first.running_mean
    assert second.weight is first.weight
    assert network[2].running_mean is not first.running_mean
    assert {value.device.type for value in network.state_dict().values()} == {"meta"}


def test_batches_come_on_the_device_and_samples_are_moved_once():
    data = Dataset("Four", torch.arange(4, dtype=torch.uint8).view(4, 1), torch.ones(4, 1))
    assert data.on(torch.device("cpu")) is data
    there = data.on(torch.device("meta"))
    assert (there.inputs.device.type, there.inputs.dtype) == ("meta", torch.uint8)
    assert {value.device.type for value in there.batch(torch.tensor([1, 2]))} == {"meta"}


def test_networks_that_are_evaluated_take_and_give_tensors_of_the_cpu():
    execution = Execution()
    execution.lower = torch.bfloat16
    network = nn.Linear(4, 2)
    samples = torch.rand(3, 4)
    exact = network(samples)
    execution.place(network)
    assert not torch.equal(network(samples), exact)
    with execution.evaluation():
        assert torch.equal(network(samples), exact)


# ----------------------------------------------------------------------------------------------- precision


def test_whatever_networks_give_is_float32(workspace):
    graph = workspace.describe("Net").build(seed=1)
    Execution(ExecutionOptions(precision="bf16")).place(graph)
    assert graph(torch.rand(2, 4)).dtype == torch.float32


def test_validations_of_a_job_are_exact(workspace):
    for precision in ("float32", "bf16"):
        learn(workspace, tag=precision, precision=precision, validationSet="0:150")
    validated = workspace.tags("Net")["bf16@best"].metrics
    assert validated == workspace.evaluate("Net", "Iris", tag="bf16").metrics


@pytest.mark.parametrize("options", [{}, {"learningRate": 1e30, "method": "SGD"}])
def test_threads_and_precision_are_those_of_before_when_a_job_ends(workspace, options):
    seen = []

    class Watcher(LearnWatcher):
        def tick(self, *_):
            seen.append((torch.get_num_threads(), torch.get_float32_matmul_precision()))
            if options:
                raise KeyboardInterrupt

    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        learn(workspace, threads=before[0] + 1, precision="medium", watcher=Watcher(), **options)
    except KeyboardInterrupt:
        assert options
    assert seen[0] == (before[0] + 1, "medium")
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_gradients_of_fp16_are_scaled_and_those_too_large_are_skipped():
    network = nn.Linear(2, 1, bias=False)
    start = network.weight.tolist()
    execution = Execution()
    execution.lower = torch.float16
    sgd = METHODS.get("SGD")
    trainer = Trainer(network, (sgd, sgd.Options(learning_rate=0.5)))
    update = Update(lambda scale: {"loss": scale * network.weight.sum()}, [trainer], execution=execution)
    assert update(1.0)["loss"].item() == pytest.approx(sum(start[0]))
    assert network.weight.tolist()[0] == pytest.approx([value - 0.5 for value in start[0]])
    before, scale = network.weight.tolist(), update.scaler.get_scale()
    update(1e35)  # times the scale, it is infinite
    assert network.weight.tolist() == before
    assert update.scaler.get_scale() == scale / 2


# ------------------------------------------------------------------------------------------------ compiled


def test_a_job_goes_on_without_compiling_what_cannot_be_compiled(workspace, monkeypatch):
    def refuse(function, **_):
        def run(*_):
            raise RuntimeError("no such luck\nbecause")

        return run

    monkeypatch.setattr(torch, "compile", refuse)
    watcher = Notes()
    found = learn(workspace, compile="always", watcher=watcher)
    assert losses(found) == losses(learn(workspace))
    assert watcher.notes == ["torch.compile cannot compile this job, which goes on without: no such luck"]


def test_a_fault_of_the_strategy_is_not_taken_for_one_of_compiling():
    notes = []
    assert Compiling("always", 1, notes.append).give_up(RuntimeError("x"))
    assert not Compiling("never", 1, notes.append).give_up(RuntimeError("x"))
    assert len(notes) == 1


def run_auto(monkeypatch, eager: float, compiled: float, total: int) -> tuple[list[bool], list[str]]:
    """Whether each of the first iterations is compiled, by how long both kinds take."""
    notes, found, clock = [], [], [0.0]
    monkeypatch.setattr(compiling.time, "perf_counter", lambda: clock[0])
    auto = Compiling("auto", total, notes.append)
    for i in range(3 * (WARM_UP + TIMED)):
        auto.begin(i)
        found.append(auto.on)
        clock[0] += compiled if auto.on else eager
    return found, notes


def test_auto_leaves_short_jobs_as_they_are(monkeypatch):
    found, notes = run_auto(monkeypatch, 0.25, 0.01, int(LEAST / 0.25))
    assert (any(found), notes) == (False, [])


@pytest.mark.parametrize(("compiled", "kept"), [(0.125, True), (0.24, False), (0.5, False)])
def test_auto_keeps_what_is_faster(monkeypatch, compiled, kept):
    found, notes = run_auto(monkeypatch, 0.25, compiled, 100_000)
    phase = WARM_UP + TIMED
    assert found[:phase] == [False] * phase
    assert found[phase : 2 * phase] == [True] * phase
    assert found[2 * phase + 1 :] == [kept] * (phase - 1)
    assert notes == [
        f"compile=auto: an iteration takes {compiled * 1000:.1f} ms compiled and 250.0 ms otherwise; "
        f"the job goes on {'compiled' if kept else 'as before'}"
    ]


def test_networks_with_a_state_are_not_compiled():
    notes = []
    eager = Compiling("always", 1, notes.append).choice(len, over_time=True)
    assert eager is len
    assert notes == ["compile=always: networks with a state are not compiled"]


def test_every_network_is_compiled_however_many_were_before(workspace, monkeypatch):
    compiled, real = [], torch.compile

    def backend(graph, _):
        compiled.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", lambda function, **more: real(function, backend=backend, **more))
    for size in range(12):  # torch's own limit is 8
        network = workspace.describe("Net", **{"hidden.output": size + 1}).build(seed=1)
        Execution(ExecutionOptions(device="cpu", compile="always")).place(network)
        network(torch.rand(2, 4))
    assert len(compiled) == 12


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler uses what torch deprecates
def test_compiled_networks_give_the_losses_of_others(workspace):
    eager, watcher = learn(workspace), Notes()
    compiled = learn(workspace, compile="always", watcher=watcher)
    assert watcher.notes == []
    assert losses(compiled) == pytest.approx(losses(eager), rel=1e-5)


# --------------------------------------------------------------------------------------------- planes last


CONVOLUTIONS = """
modules:
  image: {type: Input, shape: [1, 8, 8]}
  conv1: {type: Convolution, noOutputPlanes: 4, kernelWidth: 3, kernelHeight: 3, pad: true}
  relu: {type: ReLU}
  pool: {type: MaxPooling, width: 2, height: 2}
  conv2: {type: Convolution, noOutputPlanes: 6, kernelWidth: 3, kernelHeight: 3}
  full: {type: FullConvolution, noOutputPlanes: 3, kernelWidth: 2, kernelHeight: 2}
  output: {type: Output}
"""
OWN = """
from torch import nn


class Flat(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)
"""


@pytest.fixture
def convolutions(workspace, tmp_path):
    def build(text: str = CONVOLUTIONS) -> nn.Module:
        (tmp_path / "networks" / "Conv.yaml").write_text(text)
        return workspace.describe("Conv").build(seed=1)

    return build


def test_convolutions_learn_with_planes_last_and_give_the_same(convolutions):
    plain, placed = convolutions(), convolutions()
    Execution().place(placed)
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    inside = []
    placed.get_submodule("conv2").register_forward_hook(
        lambda _module, _inputs, result: inside.append(result)
    )
    expected, found = plain(x), placed(x)
    torch.testing.assert_close(found, expected)
    assert inside[0].is_contiguous(memory_format=torch.channels_last)
    assert found.is_contiguous()
    expected.square().sum().backward()
    found.square().sum().backward()
    for own, other in zip(placed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)
        assert own.is_contiguous()
        assert own.grad.is_contiguous()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_pictures_of_one_plane_are_made_by_a_product_of_matrices_and_are_the_same(convolutions, precision):
    text = CONVOLUTIONS.replace("noOutputPlanes: 3,", "noOutputPlanes: 1, strideX: 2, strideY: 3, padX: 1,")
    plain, placed = convolutions(text), convolutions(text)
    Execution(ExecutionOptions(precision=precision)).place(placed)
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    expected, found = plain(x), placed(x)
    exact = {"rtol": 1e-4, "atol": 1e-6} if precision == "float32" else {"rtol": 0.1, "atol": 0.02}
    torch.testing.assert_close(found, expected, **exact)
    expected.square().sum().backward()
    found.square().sum().backward()
    for own, other in zip(placed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, **exact)
        assert own.grad.is_contiguous()
    full = placed.get_submodule("full")
    assert full.folds
    if precision == "float32":  # as a slope of slopes needs it
        value = torch.rand(2, 6, 2, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(full.double(), (value,))
        assert torch.autograd.gradgradcheck(full, (value,))


def test_in_evaluation_planes_are_first_as_everywhere_else(convolutions):
    plain, placed = convolutions().eval(), convolutions().eval()
    Execution().place(placed)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(placed(x), plain(x))


def test_modules_of_a_user_see_planes_first(convolutions, tmp_path):
    (tmp_path / "flat.py").write_text(OWN)
    text = CONVOLUTIONS.replace("  output:", '  flat: {type: "flat:Flat"}\n  output:')
    network = convolutions(text)
    Execution().place(network)
    assert network(torch.rand(5, 1, 8, 8)).shape == (5, 3 * 3 * 3)


# -------------------------------------------------------------------------------------------- cells at once


CELLS = """
modules:
  letters: {type: Input, shape: [3]}
  lstm: {type: LSTMCell, output: 4, repeat: 2}
  scores: {type: Linear, output: 2}
  output: {type: Output}
"""


@pytest.fixture
def cells(workspace, tmp_path):
    """The same network twice: as it is, and as a job has it; and the calls of torch's layer."""
    (tmp_path / "networks" / "Cells.yaml").write_text(CELLS)
    plain, placed = (workspace.describe("Cells").build(seed=1) for _ in range(2))
    Execution().place(placed)
    return plain, placed


@pytest.fixture
def calls(monkeypatch):
    """The sequences that torch's layer was given."""
    seen, real = [], torch.lstm

    def lstm(sequence, *more):
        seen.append(tuple(sequence.shape))
        return real(sequence, *more)

    monkeypatch.setattr(torch, "lstm", lstm)
    return seen


def test_cells_learn_from_whole_sequences_and_give_the_same(cells, calls):
    plain, placed = cells
    x, state = torch.rand(5, 7, 3), {name: torch.rand(5, 4) for name in plain.zero_state(5, torch.rand(1))}
    (expected, after), (found, last) = plain.unroll(x, state=state), placed.unroll(x, state=state)
    assert calls == [(5, 7, 3), (5, 7, 4)]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(last, after)
    expected.square().sum().backward()
    found.square().sum().backward()
    for own, other in zip(placed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_cells_run_step_by_step_where_somebody_looks_or_little_is_gained(cells, calls):
    plain, placed = cells
    placed.eval()
    placed(torch.rand(5, 7, 3))  # evaluations are exact
    placed.train()
    placed(torch.rand(5, 3, 3))  # a few steps
    placed.double()(torch.rand(5, 7, 3).double())
    plain(torch.rand(5, 7, 3))  # no job
    placed.float()
    steps = []
    for cell in ("lstm1", "lstm2"):
        gates = placed.get_submodule(f"{cell}.gates")
        gates.register_forward_hook(lambda *_: steps.append(1))
    placed(torch.rand(5, 7, 3))
    assert (calls, len(steps)) == ([], 14)


def test_a_cell_that_somebody_changed_is_no_cell(workspace, tmp_path, calls):
    block = (shipped("networks") / "blocks" / "LSTMCell.yaml").read_text()
    (tmp_path / "networks" / "LSTMCell.yaml").write_text(block.replace("type: Tanh}", "type: ReLU}"))
    (tmp_path / "networks" / "Cells.yaml").write_text(CELLS)
    network = workspace.describe("Cells").build(seed=1)
    Execution().place(network)
    network(torch.rand(5, 7, 3))
    assert calls == []


def test_cells_of_a_bf16_job_compute_in_float32(workspace, tmp_path, calls):
    (tmp_path / "networks" / "Cells.yaml").write_text(CELLS)
    plain, placed = (workspace.describe("Cells").build(seed=1) for _ in range(2))
    Execution(ExecutionOptions(device="cpu", precision="bf16")).place(placed)
    x = torch.rand(5, 7, 3)
    found = placed(x)
    assert len(calls) == 2
    torch.testing.assert_close(found, plain(x), rtol=0.02, atol=0.002)  # the scores are bfloat16


def test_cells_have_second_derivatives(cells, calls):
    x = torch.rand(5, 7, 3, requires_grad=True)
    found = []
    for network in cells:
        (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        found.append(
            torch.autograd.grad(gradient.square().sum(), network.get_parameter("lstm1.gates.weight"))
        )
    torch.testing.assert_close(*found)
    assert len(calls) == 2
