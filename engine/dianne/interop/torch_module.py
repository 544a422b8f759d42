"""A network as a Python module that rebuilds it with torch alone, and its weights under plain names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dianne.errors import ConfigError, Problem
from dianne.interop.nodes import nodes_of
from dianne.interop.torch_code import HELPERS, WRITERS, Layer, Place
from dianne.interop.yaml_text import unique
from dianne.network.catalog import MODULES
from dianne.network.file import Node
from dianne.network.network import Network

_TAKEN = {*dir(nn.Module()), "torch", "nn", "functional", "state", "after", *HELPERS}
_PIECE = "    "
_HEAD = '''"""{about}

    model = {name}()
    model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))
    model.eval()
"""

import torch
from torch import nn
from torch.nn import functional
'''


def code_of(network: Network) -> tuple[str, str, dict[str, str]]:
    """A network in Python.

    Returns:
        The code; the name of its class; and the plain names of weights, by ours.

    Raises:
        ConfigError: it holds classes of a user's own.
    """
    writer = _Writer()
    name = writer.network(network)
    if writer.problems:
        raise ConfigError(f"{network.name} cannot be written for torch alone", writer.problems)
    classes = "\n\n".join(writer.classes.values())
    used = [text for key, text in HELPERS.items() if re.search(rf"\b{key}\(", classes)]
    about = f"{network.name}: {network.file.description or 'a network'}"
    return (
        "\n\n".join([_HEAD.format(about=_harmless(about), name=name), *used, classes]),
        name,
        writer.plain[id(network)],
    )


def _harmless(text: str) -> str:
    """A text for a docstring: on one line, and unable to end it."""
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")


def plain_weights(module: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The weights of a network under the names of `code_of`, each with memory of its own."""
    state = module.state_dict()
    return {plain: state[name].clone().contiguous() for name, plain in names.items()}


class _Writer:
    """Writes classes, those of networks inside first.

    Attributes:
        classes: the code of each, by its name.
        plain: for each network the plain names of its weights, by ours.
        problems: modules that cannot be written.
    """

    def __init__(self) -> None:
        self.classes: dict[str, str] = {}
        self.names: dict[int, str] = {}
        self.plain: dict[int, dict[str, str]] = {}
        self.problems: list[Problem] = []

    def network(self, network: Network) -> str:
        """The name of the class of a network, written once."""
        key = id(network)
        if key not in self.names:
            inner = {name: self.network(found) for name, found in network.inner.items()}
            one = _Class(network, inner, {n: self.plain[id(found)] for n, found in network.inner.items()})
            self.names[key] = unique(_class_name(network.name), [*self.classes, *HELPERS])
            self.classes[self.names[key]] = one.code(self.names[key])
            self.plain[key] = one.plain
            self.problems += one.problems
        return self.names[key]


def _class_name(name: str) -> str:
    word = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+", name))
    return word if word.isidentifier() and not keyword.iskeyword(word) else f"Network{word}"


class _Class:
    """One network as a class."""

    def __init__(self, network: Network, inner: Mapping[str, str], inside: Mapping[str, Mapping[str, str]]):
        self.network, self.inner, self.inside = network, inner, inside
        self.plain: dict[str, str] = {}
        self.problems: list[Problem] = []
        self.words: dict[str, str] = {}
        self.nodes = nodes_of(network)
        for node in self.nodes:
            word = re.sub(r"\W", "_", node.name)
            taken = word in _TAKEN or keyword.iskeyword(word)
            self.words[node.name] = unique(f"{word}_" if taken else word, self.words.values())
        graph = network.build_without_data()
        self.recurrent = graph.recurrent
        self.carried = [n for n in inner if network.inner[n].build_without_data().recurrent]
        self.make: list[str] = []
        self.run: list[str] = []
        for node in self.nodes:
            self._module(node)

    # ----------------------------------------------------------------------------------------- one module

    def _module(self, node: Node) -> None:
        word = self.words[node.name]
        if node.type in ("Input", "Memory"):
            return
        if node.name in self.inner:
            self._inside(node, word)
            return
        ports = frozenset(
            ref.partition(".")[2] for ref in self.network.shapes if ref.startswith(f"{node.name}.")
        )
        shapes = [self.network.shapes[ref] for ref in node.after]
        module = self.network.modules[node.name]
        place = Place(f"self.{word}", self.network.arguments[node.name], module, shapes, ports)
        layer = self._layer(node, place)
        if layer.make:
            self.make.append(f"self.{word} = {layer.make}")
            for key in module.state_dict():
                if key != "fitted":
                    self.plain[f"{node.name}.{key}"] = f"{word}.{layer.weights.get(key, key)}"
        if node.share:
            self._share(node, layer.weights)
        if node.type != "Output":
            sources = [self._ref(ref) for ref in node.after]
            self.run.append(f"{word} = {layer.call.format(*sources, all=', '.join(sources))}")

    def _layer(self, node: Node, place: Place) -> Layer:
        if node.type.startswith("torch.nn."):
            keys = ", ".join(f"{key}={value!r}" for key, value in place.given.items() if value is not None)
            return Layer(f"{place.me}({{all}})", f"{node.type.removeprefix('torch.')}({keys})")
        if ":" in node.type:
            message = f"{node.name} ({node.type}): is a class of your own, which torch alone does not have"
            self.problems.append(Problem(self.network.document.where(node.path, of_key=True), message))
            return Layer("{0}")
        return WRITERS[MODULES.spelling(node.type)](place)

    def _inside(self, node: Node, word: str) -> None:
        self.make.append(f"self.{word} = {self.inner[node.name]}()")
        self.plain |= {f"{node.name}.{k}": f"{word}.{plain}" for k, plain in self.inside[node.name].items()}
        if node.share:
            self._share(node, {})
        sources = ", ".join(self._ref(ref) for ref in node.after)
        if node.name in self.carried:
            self.run.append(f'{word}, after["{word}"] = self.{word}.step({sources}, state=state["{word}"])')
        else:
            self.run.append(f"{word} = self.{word}({sources})")

    def _share(self, node: Node, renamed: Mapping[str, str]) -> None:
        assert node.share
        module, other = (self.network.built(name) for name in (node.name, node.share))
        theirs = {**dict(other.named_parameters()), **dict(other.named_buffers())}
        inside = self.inside.get(node.name, renamed)
        for name, own in [*module.named_parameters(), *module.named_buffers()]:
            if name in theirs and theirs[name].shape == own.shape and name != "fitted":
                plain = inside.get(name, name)
                self.make.append(
                    f"self.{self.words[node.name]}.{plain} = self.{self.words[node.share]}.{plain}"
                )

    def _ref(self, ref: str) -> str:
        """The expression of a result, or of a part of it."""
        name, _, port = ref.partition(".")
        node = next(node for node in self.nodes if node.name == name)
        word = self.words[name]
        if node.type == "Output":
            return self._ref(node.after[0])
        if node.type == "Memory":
            return f'state["{word}"]'
        module: Any = self.network.modules.get(name)
        several = name in self.network.several
        if several and not port and node.type in ("LSTM", "GRU") and not self._has_ports(name):
            return word
        if several:
            names = (
                list(self.network.inner[name].outputs)
                if name in self.inner
                else list(getattr(module, "ports", ()))
            )
            return f"{word}[{names.index(port) if port in names else int(port or 0)}]"
        if port and node.type == "MultivariateGaussian":
            return f"{word}.chunk(2, dim=-1)[{module.ports.index(port)}]"
        return word

    def _has_ports(self, name: str) -> bool:
        return any(ref.startswith(f"{name}.") for ref in self.network.shapes)

    # ------------------------------------------------------------------------------------------- the class

    def code(self, name: str) -> str:
        """The class."""
        inputs = ", ".join(self.words[key] for key in self.network.inputs)
        outputs = [self._ref(key) for key in self.network.outputs]
        result = outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})"
        lines = [f"class {name}(nn.Module):"]
        time = "time, " if self.recurrent else ""
        for key, shape in self.network.inputs.items():
            lines.append(f"{_PIECE}# {self.words[key]}: (batch, {time}{str(list(shape))[1:-1]})")
        lines += [f"{_PIECE}def __init__(self):", f"{_PIECE * 2}super().__init__()"]
        lines += [_PIECE * 2 + line for line in self.make]
        if not self.recurrent:
            checked = self._reshaped()
            body = [
                f"def forward(self, {inputs}):",
                *(_PIECE + line for line in [*checked, *self.run, f"return {result}"]),
            ]
        else:
            body = self._steps(inputs, result, len(outputs))
        return "\n".join([*lines, "", *(_PIECE + line if line else "" for line in body)]) + "\n"

    def _reshaped(self) -> list[str]:
        """Samples of another shape with as many values are taken, as long as time has no say in it."""
        if self.network.build_without_data().stateful:
            return []
        words = {self.words[key]: shape for key, shape in self.network.inputs.items()}
        return [
            f"{word} = {word}.reshape(len({word}), {str(list(shape))[1:-1]})" for word, shape in words.items()
        ]

    def _steps(self, inputs: str, result: str, count: int) -> list[str]:
        sizes = {
            self.words[node.name]: self.network.arguments[node.name]["size"]
            for node in self.nodes
            if node.type == "Memory"
        }
        zeros = [f'"{word}": x.new_zeros(len(x), {size})' for word, size in sizes.items()]
        zeros += [f'"{self.words[name]}": self.{self.words[name]}.start(x)' for name in self.carried]
        kept = [
            f'after["{self.words[node.name]}"] = {self._ref(node.after[0])}'
            for node in self.nodes
            if node.type == "Memory"
        ]
        stacked = (
            "torch.stack(steps, dim=1)" if count == 1 else "tuple(torch.stack(s, dim=1) for s in zip(*steps))"
        )
        return [
            "def start(self, x):",
            f'{_PIECE}"""The state before the first step."""',
            f"{_PIECE}return {{{', '.join(zeros)}}}",
            "",
            f"def step(self, {inputs}, state):",
            f'{_PIECE}"""The result of one step, and the state behind it."""',
            f"{_PIECE}after = {{}}",
            *(_PIECE + line for line in [*self.run, *kept, f"return {result}, after"]),
            "",
            "def forward(self, *sequences):",
            f"{_PIECE}state, steps = self.start(sequences[0]), []",
            f"{_PIECE}for time in range(sequences[0].shape[1]):",
            f"{_PIECE * 2}result, state = self.step(*(s[:, time] for s in sequences), state=state)",
            f"{_PIECE * 2}steps.append(result)",
            f"{_PIECE}return {stacked}",
        ]
