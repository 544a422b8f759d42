"""`share` (two modules, one weight) and `repeat` (many modules, one line)."""

from __future__ import annotations

import pytest
import torch
from writing import between, fault, network

from dianne.store import load_weights, named_weights


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


SHARED = between("[4]", "a: {type: Linear, output: 4}", "relu: {type: ReLU}", "b: {share: a}")
BLOCK = {
    "networks/Unit.yaml": between(
        "[4]", "hidden: {type: Linear, output: 4}", "bn: {type: BatchNormalization}"
    )
}


# ------------------------------------------------------------------------------------------------- share


@pytest.mark.parametrize("line", ["{share: a}", "{type: Linear, output: 4, share: a}"])
def test_two_modules_share_one_weight(line):
    graph = network(SHARED.replace("{share: a}", line)).build(seed=1)
    assert graph.get_parameter("b.weight") is graph.get_parameter("a.weight")
    assert graph.get_parameter("b.bias") is graph.get_parameter("a.bias")
    x = torch.rand(2, 4)
    a = graph.get_submodule("a")
    torch.testing.assert_close(graph(x), a(torch.relu(a(x))))


def test_a_module_can_share_with_one_that_is_written_below():
    text = between("[4]", "a: {share: b}", "b: {type: Linear, output: 4}")
    graph = network(text).build(seed=1)
    assert graph.get_parameter("a.weight") is graph.get_parameter("b.weight")


def test_shared_weights_are_counted_once():
    found = network(SHARED)
    assert [(row.module, row.type, row.weights) for row in found.rows()] == [
        ("x", "Input", 0), ("a", "Linear", 20), ("relu", "ReLU", 0), ("b", "Linear of a", 0),
        ("y", "Output", 0),
    ]  # fmt: skip
    assert sum(weight.numel() for weight in found.build(seed=1).parameters()) == 20


def test_shared_weights_are_stored_once_and_shared_after_loading():
    first, second = network(SHARED).build(seed=1), network(SHARED).build(seed=2)
    stored = named_weights(first)
    assert list(stored) == ["a.weight", "a.bias"]
    load_weights(second, stored, "Mine:t")
    assert second.get_parameter("b.weight") is second.get_parameter("a.weight")
    x = torch.rand(2, 4)
    assert torch.equal(second(x), first(x))


def test_a_module_written_below_is_stored_under_the_first_name_that_runs():
    text = between("[4]", "a: {share: b}", "b: {type: Linear, output: 4}")
    first, second = network(text).build(seed=1), network(text).build(seed=2)
    load_weights(second, named_weights(first), "Mine:t")
    x = torch.rand(2, 4)
    assert torch.equal(second(x), first(x))


def test_gradients_of_shared_weights_add_up():
    graph = network(SHARED).build(seed=1)
    x = torch.rand(2, 4)
    graph(x).sum().backward()
    weight = graph.get_parameter("a.weight").detach()
    bias = graph.get_parameter("a.bias").detach()
    two = [weight.clone().requires_grad_(), weight.clone().requires_grad_()]
    (torch.relu(x @ two[0].T + bias) @ two[1].T + bias).sum().backward()
    torch.testing.assert_close(graph.get_parameter("a.weight").grad, two[0].grad + two[1].grad)


def test_blocks_share_all_their_weights_and_statistics():
    text = between("[4]", "a: {type: Unit}", "b: {share: a}")
    graph = network(text, files=BLOCK).build(seed=1)
    assert list(named_weights(graph)) == [
        "a.hidden.weight", "a.hidden.bias", "a.bn.weight", "a.bn.bias", "a.bn.running_mean",
        "a.bn.running_var",
    ]  # fmt: skip


def test_modules_of_another_kind_share_what_fits():
    text = between("[4]", "a: {type: Linear, output: 3}", "b: {type: torch.nn.Linear, in_features: 4, "
                   "out_features: 3, share: a, after: x}")  # fmt: skip
    graph = network(text).build(seed=1)
    assert graph.get_parameter("b.weight") is graph.get_parameter("a.weight")


def test_weights_that_do_not_fit_are_not_shared():
    text = between("[4]", "a: {type: Linear, output: 3}", "b: {type: Linear, output: 4, share: a}")
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:4:39: b: has no weight of the same name and shape as 'a'"
    )


def test_a_module_that_could_share_its_bias_alone_is_refused():
    text = between("[4]", "a: {type: Linear, output: 3}", "b: {share: a}")
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:4:14: b: has no weight of the same name and shape as 'a'"
    )


def test_sharing_with_a_module_that_is_not_there_is_refused():
    assert fault(between("[4]", "first: {type: Linear, output: 4}", "b: {share: frist}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:4:14: b: shares the weights of 'frist', which is not there; "
        "did you mean 'first'?"
    )


@pytest.mark.parametrize(
    ("modules", "place"),
    [(("a: {share: a}",), "3:14"), (("a: {share: b}", "b: {share: a}"), "3:14")],
)
def test_modules_that_only_share_with_each_other_are_refused(modules, place):
    assert fault(between("[4]", *modules)).splitlines()[1].startswith(f"  networks/Mine.yaml:{place}: a: ")


def test_sharing_with_a_copy_that_is_not_there_is_refused():
    text = between("[4]", "a: {type: Linear, output: 4, repeat: 2}", "b: {share: a3}")
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n  networks/Mine.yaml:4:6: b: there is no 'a3'; it has fewer copies"
    )


# ------------------------------------------------------------------------------------------------ repeat


def test_a_repeated_module_stands_in_a_row():
    text = "parameters: {depth: 2}\n" + between(
        "[4]", 'hidden: {type: Linear, output: 4, repeat: "${depth + 1}"}', "relu: {type: ReLU}"
    )
    found = network(text)
    assert {node.name: node.after for node in found.nodes} == {
        "x": (), "hidden1": ("x",), "hidden2": ("hidden1",), "hidden3": ("hidden2",), "relu": ("hidden3",),
        "y": ("relu",),
    }  # fmt: skip
    assert [row.module for row in network(text, depth=0).rows()] == ["x", "hidden1", "relu", "y"]


def test_copies_have_weights_of_their_own():
    graph = network(between("[4]", "hidden: {type: Linear, output: 4, repeat: 2}")).build(seed=1)
    assert list(named_weights(graph)) == ["hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"]
    assert not torch.equal(graph.get_parameter("hidden1.weight"), graph.get_parameter("hidden2.weight"))


def test_copies_can_share_the_weights_of_another_module():
    text = between("[4]", "a: {type: Linear, output: 4}", "again: {share: a, repeat: 2}")
    graph = network(text).build(seed=1)
    assert list(named_weights(graph)) == ["a.weight", "a.bias"]
    x, a = torch.rand(2, 4), graph.get_submodule("a")
    torch.testing.assert_close(graph(x), a(a(a(x))))


def test_the_name_means_the_last_copy_and_a_number_one_of_them():
    text = between(
        "[4]",
        "hidden: {type: Linear, output: 4, repeat: 3}",
        "early: {type: ReLU, after: hidden1}",
        "sum: {type: Accumulate, after: [early, hidden]}",
        "same: {share: hidden2}",
    )
    graph = network(text).build(seed=1)
    one, two, three = (graph.get_submodule(f"hidden{i}") for i in (1, 2, 3))
    x = torch.rand(2, 4)
    torch.testing.assert_close(graph(x), two(torch.relu(one(x)) + three(two(one(x)))))


def test_copies_of_several_inputs_follow_the_same_for_the_first_only():
    text = between("[4]", "a: {type: ReLU}", "sum: {type: Accumulate, after: [x, a], repeat: 2}")
    assert {node.name: node.after for node in network(text).nodes}["sum2"] == ("sum1",)


@pytest.mark.parametrize(
    ("count", "found"),
    [
        ("0", "0"),
        ("-1", "-1"),
        ("1001", "1001"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("two", "'two'"),
        ('"${2 - 2}"', "0"),
    ],
)
def test_a_count_that_cannot_be_is_refused(count, found):
    assert fault(between("[4]", f"a: {{type: ReLU, repeat: {count}}}")) == (
        "networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:3:27: a: repeat: expected 1 to 1000, found {found}"
    )


def test_an_unknown_parameter_in_a_count_is_refused():
    text = "parameters: {depth: 2}\n" + between("[4]", 'a: {type: ReLU, repeat: "${dept}"}')
    assert fault(text) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:4:27: a: repeat: unknown parameter 'dept'; did you mean 'depth'?"
    )


def test_a_copy_with_the_name_of_another_module_is_refused():
    assert fault(between("[4]", "a: {type: ReLU, repeat: 2}", "a2: {type: ReLU}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:6: a: its copy 'a2' has the name of another module"
    )


@pytest.mark.parametrize("copy", ["a0", "a3"])
def test_a_copy_that_is_not_there_cannot_be_followed(copy):
    assert fault(between("[4]", "a: {type: ReLU, repeat: 2}", f"b: {{type: ReLU, after: {copy}}}")) == (
        "networks/Mine.yaml: 1 problem\n"
        f"  networks/Mine.yaml:4:6: b: there is no '{copy}'; it has fewer copies"
    )


def test_a_fault_of_a_repeated_module_is_reported_once():
    assert fault(between("[4]", "a: {type: Linear, outputs: 4, repeat: 3}")) == (
        "networks/Mine.yaml: 1 problem\n"
        "  networks/Mine.yaml:3:21: a (Linear): unknown key 'outputs'; did you mean 'output'?"
    )
