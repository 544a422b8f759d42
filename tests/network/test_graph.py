"""Networks as they run: wires are followed, shapes are as foretold, weights have names and seeds."""

import copy
from math import prod

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from dianne.network.graph import ShapeError
from dianne.network.resolve import restore
from dianne.store import Manifest, Store, load_weights, named_weights

CHAIN = """\
modules:
  image:  {type: Input, shape: [2, 3]}
  hidden: {type: Linear, output: 5}
  relu:   {type: ReLU}
  scores: {type: Linear, output: 4}
  output: {type: Output}
"""


def same(one, other):
    """Whether two sets of weights have the same names and the same bits."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------------------------------------ inputs


def test_samples_of_as_many_values_take_the_shape_of_the_input(describe):
    graph = describe(CHAIN).build(1)
    x = torch.randn(7, 6)
    assert torch.equal(graph(x), graph(x.reshape(7, 2, 3)))
    assert torch.equal(graph(x), graph(x.reshape(7, 3, 1, 2)))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([(7, 5)], "Mine.image takes samples of [2, 3], got [5]"),
        ([(2, 3)], "Mine.image takes samples of [2, 3], got [3]"),
        ([(6,)], "Mine.image takes samples of [2, 3], got []"),
        ([()], "Mine.image takes samples of [2, 3], got []"),
        ([], "Mine takes 1 input (image), got 0"),
        ([(7, 6), (7, 6)], "Mine takes 1 input (image), got 2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(describe, samples, message):
    graph = describe(CHAIN).build(1)
    with pytest.raises(ShapeError) as fault:
        graph(*(torch.zeros(shape) for shape in samples))
    assert str(fault.value) == message


def test_an_empty_batch_gives_an_empty_result(describe):
    assert describe(CHAIN).build(1)(torch.zeros(0, 2, 3)).shape == (0, 4)


# ----------------------------------------------------------------------------------------------- weights


def test_weights_are_named_after_modules(describe):
    graph = describe(CHAIN).build(1)
    assert {name: tuple(w.shape) for name, w in graph.state_dict().items()} == {
        "hidden.weight": (5, 6), "hidden.bias": (5,), "scores.weight": (4, 5), "scores.bias": (4,),
    }  # fmt: skip
    assert {name for name, _ in graph.named_parameters()} == set(graph.state_dict())


METHODS = [
    "half", "type", "forward", "train", "eval", "to", "modules", "parameters", "state_dict",
    "add_module", "training", "recurrent", "_modules", "_parameters", "inputs", "outputs", "network",
    "_plan", "__init__", "T",
]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_a_module_may_have_any_name_even_that_of_a_method(describe, tmp_path, name):
    network = describe(CHAIN.replace("hidden", name))
    graph, other = network.build(1), network.build(2)
    weights = graph.state_dict()
    assert f"{name}.weight" in weights
    x = torch.randn(7, 2, 3)
    expected = (x.flatten(1) @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]).relu()
    expected = expected @ weights["scores.weight"].T + weights["scores.bias"]
    assert torch.allclose(graph(x), expected, atol=1e-6)
    save_file(weights, tmp_path / "weights.safetensors")
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(x), graph(x))
    assert graph.train().training
    assert not graph.eval().training
    assert graph.double()(x.double()).dtype == torch.float64
    assert same(copy.deepcopy(graph).state_dict(), graph.state_dict())


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(describe):
    network = describe(CHAIN)
    one = network.build(7).state_dict()
    assert same(one, network.build(7).state_dict())
    other = network.build(8).state_dict()
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_modules_of_one_kind_do_not_start_alike(describe):
    weights = (
        describe(CHAIN.replace("output: 5", "output: 6").replace("output: 4", "output: 6"))
        .build(1)
        .state_dict()
    )
    assert weights["hidden.weight"].shape == weights["scores.weight"].shape
    assert not torch.equal(weights["hidden.weight"], weights["scores.weight"])


def test_networks_of_different_names_do_not_start_alike(describe):
    one, other = (describe(CHAIN, name=name).build(1).state_dict() for name in ("One", "Other"))
    assert not torch.equal(one["hidden.weight"], other["hidden.weight"])


@pytest.mark.parametrize(
    "change",
    [
        ("  relu:", "  more: {type: Linear, output: 5}\n  relu:"),
        ("  hidden:", "  norm: {type: BatchNormalization}\n  hidden:"),
        ("  output:", "  beside: {type: Linear, output: 9, after: image}\n  output:"),
        ("relu:   {type: ReLU}", "tanh: {type: Tanh}"),
    ],
    ids=["in between", "in front", "beside", "another activation"],
)
def test_a_change_leaves_the_first_weights_of_other_modules_alone(describe, change):
    before = describe(CHAIN).build(7).state_dict()
    after = describe(CHAIN.replace(*change)).build(7).state_dict()
    assert same(before, {name: after[name] for name in before})


def test_building_leaves_the_random_numbers_of_others_alone(describe):
    network = describe(CHAIN)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    network.build(7)
    assert torch.equal(torch.rand(4), expected)


def test_two_builds_share_nothing(describe):
    network = describe(CHAIN)
    one, other = network.build(7), network.build(7)
    with torch.no_grad():
        one.get_parameter("hidden.weight").fill_(0)
    assert other.get_parameter("hidden.weight").abs().sum() > 0
    assert same(network.build(7).state_dict(), other.state_dict())


def test_a_build_without_data_has_shapes_only(describe):
    graph = describe(CHAIN).build_without_data()
    assert all(weight.is_meta for weight in graph.parameters())
    assert graph(torch.empty(7, 2, 3, device="meta")).shape == (7, 4)


# ------------------------------------------------------------------------------------- any small network


class Drawn:
    """A random network: its text, the shapes that follow and what it computes, without help of the engine."""

    def __init__(self, draw):
        self.shapes, self.modules = {}, {}
        extents = st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple)
        for _ in range(draw(st.integers(1, 2))):
            self.add({"type": "Input", "after": []}, draw(extents))
        for _ in range(draw(st.integers(1, 8))):
            kind = draw(
                st.sampled_from(["Linear", "ReLU", "Tanh", "Reshape", "Accumulate", "Multiply", "Concat"])
            )
            self.step(kind, draw)
        last = list(self.modules)[-1]
        for source in {last, draw(st.sampled_from(list(self.modules)))}:
            self.add({"type": "Output", "after": [source]}, self.shapes[source])

    def add(self, module, shape):
        name = f"{module['type'].lower()}{len(self.modules)}"
        self.modules[name], self.shapes[name] = module, shape

    def step(self, kind, draw):
        source = draw(st.sampled_from(list(self.modules)))
        shape = self.shapes[source]
        module = {"type": kind, "after": [source]}
        if kind == "Linear":
            module["output"] = draw(st.integers(1, 4))
            shape = (module["output"],)
        elif kind == "Reshape":
            first = draw(st.sampled_from([n for n in range(1, prod(shape) + 1) if prod(shape) % n == 0]))
            shape = draw(st.sampled_from([(prod(shape),), (first, prod(shape) // first)]))
            module["shape"] = list(shape)
        elif kind in ("Accumulate", "Multiply"):
            alike = [name for name in self.modules if self.shapes[name] == shape]
            module["after"] += draw(st.lists(st.sampled_from(alike), max_size=3, unique=True))
        elif kind == "Concat":
            alike = [name for name in self.modules if self.shapes[name][:-1] == shape[:-1]]
            module["after"] += draw(st.lists(st.sampled_from(alike), max_size=3, unique=True))
            shape = (*shape[:-1], sum(self.shapes[name][-1] for name in module["after"]))
        self.add(module, shape)

    @property
    def text(self):
        lines = ["modules:"]
        for name, module in self.modules.items():
            keys = {key: value for key, value in module.items() if value != []}
            if module["type"] == "Input":
                keys["shape"] = list(self.shapes[name])
            lines.append(
                f"  {name}: {{" + ", ".join(f"{k}: {v}" for k, v in keys.items()).replace("'", "") + "}"
            )
        return "\n".join([*lines, ""])

    def compute(self, weights, samples):
        """What comes out, worked out module by module."""
        values, waiting = {}, list(samples)
        for name, module in self.modules.items():
            given = [values[source] for source in module["after"]]
            kind = module["type"]
            if kind == "Input":
                values[name] = waiting.pop(0)
            elif kind == "Linear":
                values[name] = given[0].flatten(1) @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
            elif kind == "Reshape":
                values[name] = given[0].reshape(len(given[0]), *self.shapes[name])
            elif kind == "Accumulate":
                values[name] = sum(given)
            elif kind == "Multiply":
                values[name] = prod(given)
            elif kind == "Concat":
                values[name] = torch.cat(given, dim=-1)
            else:
                values[name] = {"ReLU": torch.relu, "Tanh": torch.tanh, "Output": torch.clone}[kind](given[0])
        return [values[name] for name, module in self.modules.items() if module["type"] == "Output"]


networks = st.composite(lambda draw: Drawn(draw))()
slow = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(networks, st.integers(0, 2**31 - 1))
def test_any_network_has_the_shapes_foretold_and_computes_what_its_wires_say(describe, drawn, seed):
    network = describe(drawn.text)
    assert network.shapes == drawn.shapes
    graph = network.build(seed).double()
    for batch in (1, 5):
        samples = [torch.randn(batch, *shape, dtype=torch.float64) for shape in network.inputs.values()]
        results = graph(*samples)
        results = results if isinstance(results, tuple) else (results,)
        expected = drawn.compute(graph.state_dict(), samples)
        assert [result.shape for result in results] == [(batch, *shape) for shape in network.outputs.values()]
        assert all(torch.allclose(found, right) for found, right in zip(results, expected, strict=True))


@slow
@given(networks, st.integers(0, 2**31 - 1))
def test_the_weights_of_any_network_survive_a_file(describe, tmp_path_factory, drawn, seed):
    network = describe(drawn.text)
    graph, other = network.build(seed), network.build(seed + 1)
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(graph.state_dict(), file)
    other.load_state_dict(load_file(file))
    assert same(graph.state_dict(), other.state_dict())
    assert same(graph.state_dict(), network.build(seed).state_dict())
    samples = [torch.randn(3, *shape) for shape in network.inputs.values()]
    one, two = graph(*samples), other(*samples)
    assert torch.equal(one, two) if torch.is_tensor(one) else all(map(torch.equal, one, two))


@slow
@given(networks, st.data(), st.integers(0, 2**31 - 1))
def test_one_more_module_leaves_the_first_weights_of_any_network_alone(describe, drawn, data, seed):
    before = describe(drawn.text).build(seed).state_dict()
    source = data.draw(st.sampled_from(list(drawn.modules)))
    lines = drawn.text.splitlines()
    place = data.draw(st.integers(1, len(lines)))
    lines.insert(place, f"  added: {{type: Linear, output: 3, after: {source}}}")
    after = describe("\n".join(lines)).build(seed).state_dict()
    assert same(before, {name: weight for name, weight in after.items() if not name.startswith("added.")})
    assert after["added.weight"].shape == (3, prod(drawn.shapes[source]))


@slow
@given(networks, st.integers(0, 2**31 - 1))
def test_any_network_survives_a_round_trip_through_yaml(describe, drawn, seed):
    network = describe(drawn.text)
    again = describe(yaml.safe_dump(network.file.document.data, sort_keys=False), name="Mine")
    assert again.shapes == network.shapes
    assert same(network.build(seed).state_dict(), again.build(seed).state_dict())


@slow
@given(networks, st.integers(0, 2**31 - 1))
def test_any_network_survives_the_store(describe, tmp_path_factory, drawn, seed):
    network = describe(drawn.text)
    graph = network.build(seed)
    store = Store(tmp_path_factory.mktemp("models"))
    text = network.file.document.text
    store.put("t", Manifest("Mine", text, network.parameters), named_weights(graph))
    stored = store.manifest("Mine", "t")
    other = restore(stored.text, "Mine", stored.parameters, stored.texts, stored.overrides).build(seed + 1)
    load_weights(other, store.weights(stored), "Mine:t")
    assert same(graph.state_dict(), other.state_dict())
