"""The shapes of samples, which DIANNE's files leave out: found in what the modules behind the inputs take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from dianne.document import parse
from dianne.errors import ConfigError, UsageError
from dianne.interop.dianne_convert import Converted, Converter
from dianne.interop.dianne_text import Module, Structure
from dianne.interop.dianne_types import kind_of
from dianne.interop.dianne_wires import targets
from dianne.interop.formats import ImportOptions, shape_option
from dianne.network.file import read_document
from dianne.network.library import Library
from dianne.network.resolve import resolve

Shape = list[int]
_MOST = 1 << 13  # values along an axis
_KEEP = {
    "ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "SoftPlus", "Sigmoid", "Tanh", "Threshold", "Invert",
    "Dropout", "DropPath", "Duplicate", "Normalization", "Denormalization", "Softmax", "LogSoftmax",
    "Accumulate", "Average", "Multiply", "BatchNormalization", "LRN",
}  # fmt: skip
_SLIDE = {"MaxPooling", "AvgPooling", "Zeropad"}
_BLOCKS = ("Residual", "Residual_b", "ConvLayer", "Inception_v1", "Inception_v2", "Fractal-3")


def input_shapes(
    converter: Converter, structure: Structure, found: Converted, options: ImportOptions
) -> dict[str, Shape]:
    """Shapes of samples by the ids of inputs.

    Args:
        converter: knows the composites.
        structure: the network.
        found: the network as it is written here, without shapes.
        options: what the user said.

    Raises:
        UsageError: the file does not tell, or the user has named more or fewer.
    """
    modules = {module.id: module for module in structure.modules}
    given = options.given_shapes(structure.source, [found.names[id_] for id_ in found.inputs])
    if given:
        return {id_: given[found.names[id_]] for id_ in found.inputs}
    shapes = {}
    unknown = []
    for id_ in found.inputs:
        shape = _written(modules[id_]) or _Search(converter, structure, modules, id_).shape()
        if shape:
            shapes[id_] = shape
        else:
            unknown.append(found.names[id_])
    if unknown:
        raise UsageError(
            f"{structure.source}: does not say the shape of samples that come in at {', '.join(unknown)}; "
            f"give it, such as {shape_option(len(found.inputs))}"
        )
    return shapes


def _written(module: Module) -> Shape | None:
    """The shape on an Input that was written here."""
    return _whole(module.properties.get("shape", "").split(","))


def _whole(texts: Sequence[str | None]) -> Shape | None:
    numbers = [int(text) for text in texts if text and text.strip().isdecimal() and len(text) < 8]
    return numbers if numbers and len(numbers) == len(texts) and 0 not in numbers else None


def _number(text: str | None) -> int | None:
    found = _whole([text])
    return found[0] if found else None


@dataclass
class _Need:
    """What is known about samples on the way from an input."""

    planes: int | None = None
    axes: int = 0


class _Search:
    def __init__(self, converter: Converter, structure: Structure, modules: Mapping[str, Module], id_: str):
        self.converter, self.structure, self.modules, self.input = converter, structure, modules, id_
        self.need = _Need()

    def shape(self) -> Shape | None:
        """The shape of a sample, if it can be told."""
        goal = self._walk(self.input, set())
        if isinstance(goal, list):
            return self._image(prod(goal)) or goal
        image = self._image(None)
        if image:
            return image
        if goal is None or not self.need.axes:
            return [self.need.planes] if self.need.planes and not self.need.axes else None
        return self._fitting(goal)

    def _image(self, values: int | None) -> Shape | None:
        """The image that the network's properties tell of, if it has as many values."""
        told = self.structure.properties
        sides = _whole([told.get("input.height"), told.get("input.width")])
        if not sides:
            return None
        shape = [*(_whole([told.get("input.depth")]) or [self.need.planes or 1]), *sides]
        return shape if values in (None, prod(shape)) else None

    def _walk(self, id_: str, seen: set[str]) -> Shape | Module | None:
        """The shape itself, or else the module that takes a known number of values."""
        for target, _ in targets(self.modules[id_]):
            module = self.modules.get(target)
            if module is None or target in seen:
                continue
            seen.add(target)
            found = self._at(module, seen)
            if found is not None:
                return found
        return None

    def _at(self, module: Module, seen: set[str]) -> Shape | Module | None:
        kind = kind_of(module.type)
        ours = kind.type if kind else module.type
        slid = self.need.axes > 0
        if ours in ("Linear", "Reshape", "MaskedMaxPooling"):
            return module if slid else _taken(module, ours)
        if ours in (
            "Memory",
            "MultivariateGaussian",
            "GaussianSampler",
            "Frame",
            "Narrow",
            "LSTM",
            "GRU",
            "Scale",
        ):
            return None if slid else _taken(module, ours)
        if ours in ("Convolution", "FullConvolution", *_BLOCKS, *_SLIDE):
            self._slides(module, ours)
        elif ours == "BatchNormalization":
            self.need.planes = self.need.planes or _number(module.given("size"))
        elif ours not in _KEEP and not slid:
            return self._inside(module)
        return self._walk(module.id, seen)

    def _inside(self, module: Module) -> Shape | None:
        """What the network takes that a module stands for, if it is one with one input."""
        structure = self.converter.inside(module)
        inner = {m.id: m for m in structure.modules} if structure else {}
        inputs = [id_ for id_, m in inner.items() if m.type == "Input"]
        if not structure or len(inputs) != 1:
            return None
        return _Search(self.converter, structure, inner, inputs[0]).shape()

    def _slides(self, module: Module, ours: str) -> None:
        """A module over [planes, ...] tells the planes, if it is the first, and the number of axes."""
        key = "width" if ours in _SLIDE else "kernelWidth"
        blocks = ours in _BLOCKS and ours != "ConvLayer"
        depth, height = (f"kernel{w}" if key != "width" else w.lower() for w in ("Depth", "Height"))
        axes = (
            2
            if blocks or ours == "Zeropad"
            else 3
            if module.given(depth)
            else 2
            if module.given(height)
            else 1
        )
        self.need.axes = self.need.axes or axes
        self.need.planes = self.need.planes or _number(module.given("noInputPlanes"))

    def _fitting(self, goal: Module) -> Shape | None:
        """The smallest extents with which as many values come to a module as it takes."""
        wanted = prod(_taken(goal, "") or [0])
        planes = self.need.planes or 1
        low, high = 1, _MOST
        while low < high:  # more cells in never means fewer cells out
            middle = (low + high) // 2
            if self._values(goal, planes, middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return self._extents(planes, low) if self._values(goal, planes, low) == wanted else None

    def _extents(self, planes: int, side: int) -> Shape:
        return [side, planes] if self.need.axes == 1 else [planes, *[side] * self.need.axes]

    def _values(self, goal: Module, planes: int, side: int) -> int:
        """How many values come to a module from samples of some extent; 0 if they are too small."""
        ahead = self._ahead(goal)
        found = self.converter.network(ahead, "ahead", {self.input: self._extents(planes, side)})
        library = Library(texts=self.converter.files)
        try:
            network = resolve(read_document(parse(found.text, "ahead"), "ahead"), {}, library)
        except ConfigError:
            return 0
        return prod(next(iter(network.outputs.values())))

    def _ahead(self, goal: Module) -> Structure:
        """The part of the network ahead of a module, with an Output in its place."""
        needed, waiting = {goal.id}, [goal.id]
        while waiting:
            id_ = waiting.pop()
            before = [m.id for m in self.structure.modules if id_ in [target for target, _ in targets(m)]]
            waiting += [other for other in before if other not in needed]
            needed.update(before)
        kept = tuple(
            replace(module, type="Output", next=(), properties={}) if module.id == goal.id else module
            for module in self.structure.modules
            if module.id in needed
        )
        return replace(self.structure, modules=kept)


def _taken(module: Module, ours: str) -> Shape | None:
    """The shape of what a module takes, as far as its properties tell."""
    given = module.given
    if ours == "Narrow":
        pairs = [(_whole([given(f"index{i}")]), _whole([given(f"size{i}")])) for i in range(3)]
        sides = [(int(given(f"index{i}") or 0)) + size[0] for i, (_, size) in enumerate(pairs) if size]
        return sides or None
    if ours == "Memory":
        return _whole([given("size")])
    if ours in ("MultivariateGaussian", "GaussianSampler"):
        size = _whole([given("size")])
        return [2 * size[0]] if size else None
    if module.type in ("Reshape", "Frame", "Scale"):
        row: Shape = []
        while extent := _whole([given(f"dim{len(row)}")]):
            row += extent
        return row if len(row) > 1 or module.type == "Reshape" else None
    return _whole([given("noInputs" if "asked" in module.type else "input")])
