"""Weights of DIANNE mean here what they mean there: numbers computed by hand, and those of its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dianne_files import brought_in, chain, put, weights
from torch import Tensor
from torch.nn import functional

from dianne.interop.dianne_built_ins import BUILT_INS
from dianne.interop.dianne_text import hash_order


def run(
    folder: Path, type_: str, properties: dict[str, str], values: list[float], x: Tensor, **options: str
) -> Tensor:
    """One module with weights, on one sample."""
    source = put(folder / "source", chain((type_, properties)))
    weights(source, "a1", values)
    with torch.no_grad():
        return brought_in(folder, source, shape=",".join(map(str, x.shape)), **options)(x.unsqueeze(0))[0]


CONVOLUTION = {"noInputPlanes": "1", "noOutputPlanes": "1", "kernelWidth": "3"}


def test_linear_has_the_weights_of_each_output_and_then_the_biases(tmp_path: Path) -> None:
    y = run(
        tmp_path, "Linear", {"input": "2", "output": "2"}, [1, 0, 0.5, 0.5, 1, 1], torch.tensor([1.0, 2.0])
    )
    assert y.tolist() == [2, 2.5]


def test_a_convolution_over_time_has_the_planes_of_each_step_together(tmp_path: Path) -> None:
    keys = {**CONVOLUTION, "noInputPlanes": "2", "noOutputPlanes": "1", "padX": "1"}  # pads mean nothing here
    x = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])  # (time, planes)
    y = run(tmp_path, "Convolution", keys, [1, 2, 3, 4, 5, 6, 0.5], x)
    first = 1 * 1 + 2 * 10 + 3 * 2 + 4 * 20 + 5 * 3 + 6 * 30 + 0.5
    second = 1 * 2 + 2 * 20 + 3 * 3 + 4 * 30 + 5 * 4 + 6 * 40 + 0.5
    assert y.tolist() == [[first], [second]]


def test_the_golden_convolution_over_time(tmp_path: Path) -> None:
    y = run(tmp_path, "Convolution", {**CONVOLUTION, "noOutputPlanes": "2"}, [1] * 8, torch.ones(5, 1))
    assert y.tolist() == [[4, 4]] * 3


def test_the_golden_convolution_of_an_image(tmp_path: Path) -> None:
    keys = {**CONVOLUTION, "kernelHeight": "3"}
    y = run(tmp_path, "Convolution", keys, [1] * 9 + [5], torch.ones(1, 4, 4))
    assert y.tolist() == [[[14, 14], [14, 14]]]


def test_a_kernel_has_its_rows_one_behind_the_other(tmp_path: Path) -> None:
    keys = {**CONVOLUTION, "kernelWidth": "2", "kernelHeight": "2"}
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    y = run(tmp_path, "Convolution", keys, [1, 10, 100, 1000, 0.5], x)
    assert y.tolist() == [[[1 + 20 + 300 + 4000 + 0.5]]]


def test_the_golden_transposed_convolution(tmp_path: Path) -> None:
    keys = {"noInputPlanes": "2", "noOutputPlanes": "3", "kernelWidth": "3", "kernelHeight": "3"}
    y = run(tmp_path, "FullConvolution", keys, [1] * 57, torch.full((2, 2, 2), 2.0))
    assert y.shape == (3, 4, 4)
    assert y[1].tolist() == [[5, 9, 9, 5], [9, 17, 17, 9], [9, 17, 17, 9], [5, 9, 9, 5]]


def test_a_transposed_convolution_has_the_planes_that_come_in_first(tmp_path: Path) -> None:
    keys = {"noInputPlanes": "2", "noOutputPlanes": "3", "kernelWidth": "1", "kernelHeight": "1"}
    y = run(
        tmp_path, "FullConvolution", keys, [1, 2, 3, 4, 5, 6, 0, 0, 0.5], torch.tensor([[[1.0]], [[10.0]]])
    )
    assert y.flatten().tolist() == [1 + 40, 2 + 50, 3 + 60 + 0.5]


def test_the_golden_mean_over_time_goes_along_the_last_dimension(tmp_path: Path) -> None:
    source = put(
        tmp_path / "source",
        chain(("AvgPooling", {"width": "2", "height": ""}), ("Linear", {"input": "6", "output": "1"})),
    )
    weights(source, "a2", [1, 0, 0, 0, 0, 100, 0])
    x = torch.ones(2, 6)
    x[0, 1], x[1, 4] = 2, 3
    pooled = 1.5 + 100 * 2
    assert brought_in(tmp_path, source, shape="2,6")(x.unsqueeze(0)).item() == pooled


def test_batch_normalisation_has_scale_bias_mean_and_variance(tmp_path: Path) -> None:
    y = run(
        tmp_path, "BatchNormalization", {"size": "2"}, [2, 3, 0.5, 0.25, 1, 2, 4, 9], torch.tensor([3.0, 8.0])
    )
    torch.testing.assert_close(y, torch.tensor([2 * (3 - 1) / 2 + 0.5, 3 * (8 - 2) / 3 + 0.25]))


def test_normalisation_takes_mean_and_deviation_from_its_file(tmp_path: Path) -> None:
    y = run(tmp_path, "Normalization", {"mean": "7", "stdev": ""}, [1, 4], torch.tensor([3.0, 8.0]))
    assert y.tolist() == [0.5, 1.75]
    y = run(tmp_path / "other", "Denormalization", {}, [1, 4], torch.tensor([3.0, 8.0]))
    assert y.tolist() == [13, 33]


def test_prelu_has_one_slope(tmp_path: Path) -> None:
    assert run(tmp_path, "PReLU", {}, [0.5], torch.tensor([-2.0, 2.0])).tolist() == [-1, 2]


def test_an_lstm_has_its_gates_in_the_order_forget_output_input_candidate(tmp_path: Path) -> None:
    source = put(tmp_path / "source", chain(("LSTM", {"input": "3", "output": "2"})))
    values = torch.randn(8 * 6, generator=torch.Generator().manual_seed(1))
    weights(source, "a1", values.tolist())
    xs = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    found = brought_in(tmp_path, source)(xs.unsqueeze(0))[0]
    matrix, bias = values[:40].reshape(8, 5), values[40:]
    h, c = torch.zeros(2), torch.zeros(2)
    for x, y in zip(xs, found, strict=True):
        forget, output, admit, candidate = (matrix @ torch.cat((x, h)) + bias).chunk(4)
        c = forget.sigmoid() * c + admit.sigmoid() * candidate.tanh()
        h = output.sigmoid() * c.tanh()
        torch.testing.assert_close(y, h)


def test_a_gru_has_its_candidate_before_its_gates(tmp_path: Path) -> None:
    source = put(tmp_path / "source", chain(("GRU", {"input": "3", "output": "2"})))
    values = torch.randn(2 * 6 + 4 * 6, generator=torch.Generator().manual_seed(1))
    weights(source, "a1", values.tolist())
    xs = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    found = brought_in(tmp_path, source)(xs.unsqueeze(0))[0]
    proposal, proposal_bias, gates, gates_bias = values.split([10, 2, 20, 4])
    h = torch.zeros(2)
    for x, y in zip(xs, found, strict=True):
        r, z = (gates.reshape(4, 5) @ torch.cat((x, h)) + gates_bias).sigmoid().chunk(2)
        n = (proposal.reshape(2, 5) @ torch.cat((x, r * h)) + proposal_bias).tanh()
        h = z * n + (1 - z) * h
        torch.testing.assert_close(y, h)


def test_a_residual_block_has_its_modules_in_the_order_of_java(tmp_path: Path) -> None:
    source = put(
        tmp_path / "source",
        chain(("Residual", {"noInputPlanes": "2", "noOutputPlanes": "4", "inputWidth": "5"})),
    )
    values = torch.rand(9 * 2 * 4 + 4 + 9 * 16 + 4 + 8 * 4, generator=torch.Generator().manual_seed(1))
    weights(source, "a1", values.tolist())
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(2))
    bn2, conv2, bias2, conv1, bias1, bn1 = values.split([16, 144, 4, 72, 4, 16])

    def normed(value: Tensor, flat: Tensor) -> Tensor:
        scale, bias, mean, variance = flat.chunk(4)
        return functional.batch_norm(value, mean, variance, scale, bias)

    y = normed(functional.conv2d(x, conv1.reshape(4, 2, 3, 3), bias1, padding=1), bn1).relu()
    y = normed(functional.conv2d(y, conv2.reshape(4, 4, 3, 3), bias2, padding=1), bn2)
    y = (y + functional.pad(x, (0, 0, 0, 0, 1, 1))).relu()
    torch.testing.assert_close(brought_in(tmp_path, source, shape="2,5,5")(x), y)


def test_an_inception_block_pads_the_convolution_behind_the_pooling(tmp_path: Path) -> None:
    keys = dict.fromkeys(("noInputPlanes", "1x1", "3x3reduce", "3x3", "5x5reduce", "5x5", "poolproj"), "1")
    source = put(tmp_path / "source", chain(("Inception_v1", keys)))
    weights(source, "a1", [0.0] * (10 + 4 + 26 + 4 + 2 + 2 + 2) + [1, 0.5])  # of the last: the convolution
    y = brought_in(tmp_path, source, shape="1,4,4")(torch.ones(1, 1, 4, 4))
    assert y[0, 3].tolist() == [[0.5] * 4, [0.5, 1.5, 1.5, 0.5], [0.5, 1.5, 1.5, 0.5], [0.5] * 4]


MODULES_IN = {
    "Residual_b": 15,
    "Inception_v1": 18,
    "Inception_v2": 22,
    "Fractal-3": 27,
}  # the others: below 13


@pytest.mark.parametrize("name", BUILT_INS)
def test_the_order_of_built_in_composites_is_that_of_a_hash_map(name: str) -> None:
    ids = list(BUILT_INS[name].weights.values())
    assert hash_order(ids, MODULES_IN.get(name, 12)) == ids
    assert set(hash_order(sorted(ids), MODULES_IN.get(name, 12))) == set(ids)
