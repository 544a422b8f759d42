"""Text that a network makes up: what it expects next is drawn, and goes in again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from dianne.errors import UsageError, listing
from dianne.network.graph import State
from dianne.options import NonNegativeFloat, NonNegativeInt, Options, PositiveInt
from dianne.plugins import user_code
from dianne.runtime.instances import Deployed


class GenerateOptions(Options):
    """What to go on from, and how."""

    prompt: str | None = None
    """The text to go on from; needed in this form if it holds a =."""
    n: PositiveInt = 500
    """Characters to make up."""
    temperature: NonNegativeFloat = 1.0
    """Below 1 likely characters become likelier, above 1 less so; 0 takes the likeliest every time."""
    seed: NonNegativeInt | None = None
    """Where the draws come from; another each time if left out."""
    tag: str | None = None
    """Use the weights of this tag, deployed or not."""


def generate(deployed: Deployed, prompt: str, n: int, temperature: float, seed: int) -> Iterator[str]:
    """Draw characters one by one, each from what the network expects after all before it.

    Args:
        deployed: a network with a state that gives (log) probabilities of the next character.
        prompt: at least one character, that the network reads first.
        n: how many.
        temperature: divides the log probabilities; 0 takes the likeliest character every time.
        seed: of the draws.

    Raises:
        UsageError: the network cannot do this, or does not know a character of the prompt. Raised at once,
            not with the first character.
    """
    characters = _Characters(deployed)
    generator = torch.Generator().manual_seed(seed)
    scores = characters.read(prompt)

    def draw() -> Iterator[str]:
        nonlocal scores
        for _ in range(n):
            character = characters.names[_draw(scores, temperature, generator)]
            yield character
            scores = characters.read(character)

    return draw()


class _Characters:
    """A network that reads characters, and its state.

    Args:
        deployed: the network.
    """

    def __init__(self, deployed: Deployed):
        self.graph, self.names = deployed.module, deployed.manifest.labels or []
        self.who = f"{deployed.instance.network}:{deployed.instance.tag}"
        self.state: State | None = None
        if not self.graph.stateful:
            raise UsageError(f"{self.who} has no state to go on from; generate needs a Memory, LSTM or GRU")
        if not self.names:
            raise UsageError(
                f"{self.who} has not learned from text: no vocabulary is stored with its weights"
            )
        if len(self.graph.inputs) != 1 or deployed.input_dims[-1] != len(self.names):
            found = ", ".join(str(list(shape)) for shape in self.graph.inputs.values())
            raise UsageError(
                f"{self.who} takes {found}; generate needs one input of {len(self.names)} values, for each "
                "character of its vocabulary"
            )

    @torch.inference_mode()
    def read(self, text: str) -> Tensor:
        """(vocabulary,) log probabilities of what follows a text, behind all that was read before."""
        strange = sorted(set(text) - set(self.names))
        if strange:
            known = "".join(dict.fromkeys(self.names))
            raise UsageError(f"{self.who} does not know {listing(strange)}; it knows {known!r}")
        if not text:
            raise UsageError("the prompt is empty; give at least one character to go on from")
        indices = torch.tensor([[self.names.index(character) for character in text]])
        inputs = functional.one_hot(indices, len(self.names)).float()  # (1, time, vocabulary)
        with user_code(f"running {self.who}"):
            result, self.state = self.graph.unroll(inputs, state=self.state)
        if not isinstance(result, Tensor) or result.shape != inputs.shape:
            found = list(result.shape[1:]) if isinstance(result, Tensor) else "several results"
            raise UsageError(
                f"{self.who} gives {found}; generate needs {len(self.names)} values for each character"
            )
        values = result[0, -1]
        logarithms = bool((values <= 0).all())  # as the criterion NLL tells them from probabilities
        return values if logarithms else values.clamp_min(1e-12).log()


def _draw(scores: Tensor, temperature: float, generator: torch.Generator) -> int:
    """(n,) log probabilities -> an index."""
    if temperature == 0:
        return int(scores.argmax())
    probabilities = torch.softmax((scores - scores.max()) / temperature, dim=0)
    return int(torch.multinomial(probabilities, 1, generator=generator))
