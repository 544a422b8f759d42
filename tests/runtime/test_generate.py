"""Text that a network makes up."""

import collections

import pytest
import torch

from dianne import Workspace
from dianne.errors import UsageError
from dianne.runtime.generate import generate
from dianne.runtime.instances import Deployed, Instance
from dianne.store import Manifest

LAYER = """
modules:
  letters: {type: Input, shape: [3, 4]}
  lstm:    {type: LSTM, output: 5}
  scores:  {type: torch.nn.Linear, in_features: 5, out_features: 4}
  next:    {type: torch.nn.LogSoftmax, dim: -1}
  output:  {type: Output}
"""
MEMORY = """
modules:
  letter: {type: Input, shape: [4]}
  lstm:   {type: LSTMCell, output: 5}
  scores: {type: Linear, output: 4}
  next:   {type: LogSoftmax}
  output: {type: Output}
"""
LETTERS = ["a", "b", "c", "\n"]
every_kind = pytest.mark.parametrize("text", [LAYER, MEMORY], ids=["LSTM", "Memory"])


@pytest.fixture
def build(tmp_path):
    """A network with sharp opinions, as if it had been stored."""

    def built(text: str, labels: list[str] | None = LETTERS) -> Deployed:
        (tmp_path / "networks").mkdir(exist_ok=True)
        (tmp_path / "networks" / "Mine.yaml").write_text(text)
        graph = Workspace(tmp_path).describe("Mine").build(1).eval()
        with torch.no_grad():
            for weight in graph.parameters():
                weight.mul_(4)
        return Deployed(Instance("Mine", "Mine", "t"), "", Manifest("Mine", text, {}, labels=labels), graph)

    return built


def made(deployed, prompt="ab", n=30, temperature=1.0, seed=1) -> str:
    return "".join(generate(deployed, prompt, n, temperature, seed))


def expected_after(deployed, text: str) -> torch.Tensor:
    """Log probabilities of the next letter when the whole text is read at once."""
    x = torch.eye(4)[[LETTERS.index(letter) for letter in text]].unsqueeze(0)
    with torch.inference_mode():
        return deployed.module(x)[0, -1]


@every_kind
def test_the_likeliest_letter_is_taken_at_temperature_0_after_all_that_came_before(build, text):
    deployed = build(text)
    whole = "ab"
    for letter in made(deployed, "ab", 20, temperature=0):
        assert letter == LETTERS[int(expected_after(deployed, whole).argmax())]
        whole += letter


@every_kind
def test_letters_come_up_as_often_as_the_network_expects(build, text):
    deployed = build(text)
    for temperature in (1.0, 2.0):
        chances = (expected_after(deployed, "abc") / temperature).softmax(0)
        counts = collections.Counter(made(deployed, "abc", 1, temperature, seed) for seed in range(800))
        for letter, chance in zip(LETTERS, chances.tolist(), strict=True):
            assert counts[letter] / 800 == pytest.approx(chance, abs=0.07)  # four standard deviations


@every_kind
def test_the_same_seed_gives_the_same_text(build, text):
    deployed = build(text)
    first = made(deployed, n=60)
    torch.rand(3)
    assert made(deployed, n=60) == first
    assert made(deployed, n=20) == first[:20]
    assert made(deployed, n=60, seed=2) != first


def test_drawing_takes_nothing_from_the_random_numbers_of_others(build):
    deployed = build(LAYER)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    made(deployed)
    assert torch.equal(torch.rand(3), expected)


def test_letters_come_one_by_one(build):
    characters = generate(build(LAYER), "a", 10**9, 1.0, 1)
    assert next(characters) in LETTERS
    assert torch.is_inference_mode_enabled() is False


def test_a_network_that_gives_probabilities_will_do(build):
    plain = made(build(LAYER), n=30)
    assert made(build(LAYER.replace("LogSoftmax", "Softmax")), n=30) == plain


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 1e6])
def test_extreme_temperatures_are_temperatures(build, temperature):
    deployed = build(LAYER)
    text = made(deployed, n=40, temperature=temperature)
    if temperature < 1:
        assert text == made(deployed, n=40, temperature=0)
    else:
        assert set(text) == set(LETTERS)


STATELESS = "modules:\n  x: {type: Input, shape: [4]}\n  y: {type: Linear, output: 4}\n  z: {type: Output}\n"
WRONG_SIZE = LAYER.replace("out_features: 4", "out_features: 3")


@pytest.mark.parametrize(
    ("text", "labels", "prompt", "message"),
    [
        (LAYER, LETTERS, "aé€", "Mine:t does not know 'é' and '€'; it knows 'abc\\n'"),
        (LAYER, LETTERS, "", "the prompt is empty; give at least one character to go on from"),
        (LAYER, None, "a",
         "Mine:t has not learned from text: no vocabulary is stored with its weights"),
        (STATELESS, LETTERS, "a", "Mine:t has no state to go on from; generate needs a Memory, LSTM or GRU"),
        (LAYER, ["a", "b"], "a", "Mine:t takes [3, 4]; generate needs one input of 2 values, for each "
                                 "character of its vocabulary"),
        (WRONG_SIZE, LETTERS, "ab", "Mine:t gives [2, 3]; generate needs 4 values for each character"),
    ],
    ids=["strange letters", "no prompt", "no text", "no state", "other letters", "other results"],
)  # fmt: skip
def test_what_cannot_work_is_said_before_the_first_letter(build, text, labels, prompt, message):
    deployed = build(text, labels)
    with pytest.raises(UsageError) as fault:
        generate(deployed, prompt, 10, 1.0, 1)
    assert str(fault.value) == message
