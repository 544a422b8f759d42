"""Module types as lines of Python that need torch alone.

Each is a layer made in `__init__`, and an expression in `forward`. Shapes are known when the code is written,
so what depends on them is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One module in code.

    Attributes:
        call: the expression of its result; `{0}`, `{1}`, ... are what comes in, `{all}` all of it.
        make: the constructor of what it keeps; "" if it keeps nothing.
        weights: the names of its tensors here, by those that they get, where these differ.
    """

    call: str
    make: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A module in its network, as the functions below look at it.

    Attributes:
        me: how the code calls what the module keeps, such as `self.conv1`.
        given: the arguments of its constructor.
        module: itself, on the meta device.
        shapes: of the samples that come in.
        ports: the parts of its result that others take.
    """

    me: str
    given: Mapping[str, Any]
    module: Any
    shapes: list[Shape]
    ports: frozenset[str]


Writer = Callable[[Place], Layer]
WRITERS: dict[str, Writer] = {}


def _writes(*types: str) -> Callable[[Writer], Writer]:
    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(types, writer))
        return writer

    return register


def _calls(call: str) -> Writer:
    return lambda _: Layer(call)


WRITERS |= {
    "Input": _calls("{0}"), "Output": _calls("{0}"), "Duplicate": _calls("{0}"),
    "Sigmoid": _calls("torch.sigmoid({0})"), "Tanh": _calls("torch.tanh({0})"),
    "ReLU": _calls("functional.relu({0})"), "SELU": _calls("functional.selu({0})"),
    "GELU": _calls("functional.gelu({0})"), "SiLU": _calls("functional.silu({0})"),
    "Invert": _calls("1 - {0}"), "Softmax": _calls("torch.softmax({0}, dim=1)"),
    "LogSoftmax": _calls("functional.log_softmax({0}, dim=1)"),
    "LeakyReLU": lambda p: Layer(f"functional.leaky_relu({{0}}, {p.given['leakyness']!r})"),
    "ELU": lambda p: Layer(f"functional.elu({{0}}, {p.given['alpha']!r})"),
    "SoftPlus": lambda p: Layer(f"functional.softplus({{0}}, {p.given['beta']!r})"),
    "Threshold": lambda p: Layer(f"functional.threshold({{0}}, {p.given['thresh']!r}, {p.given['val']!r})"),
    "PReLU": lambda p: Layer(f"{p.me}({{0}})", "nn.PReLU()"),
    "Dropout": lambda p: Layer(f"{p.me}({{0}})", f"nn.Dropout({p.given['rate']!r})"),
    "DropPath": lambda p: Layer(f"drop_path({{0}}, {p.given['rate']!r}, self.training)"),
    "Reshape": lambda p: Layer(f"{{0}}.reshape(len({{0}}), {_list(p.module.shape)})"),
    "Concat": lambda p: Layer(f"torch.cat(({{all}}), dim={-1 - p.given['dim']})"),
    "Average": _calls("torch.stack(({all})).mean(0)"),
    "Multiply": _calls("torch.stack(({all})).prod(0)"),
    "LRN": lambda p: Layer(
        f"local_response({{0}}, {p.module.size}, {p.module.alpha!r}, {p.module.beta!r}, {p.module.k!r})"
    ),
    "DuelJoin": lambda p: Layer(
        "{1} + {0} - {1}.mean(-1, keepdim=True)"
        if p.shapes[0][-1] == 1
        else "{0} + {1} - {0}.mean(-1, keepdim=True)"
    ),
    "NormalizedAdvantageFunction": lambda p: Layer(f"advantage({{all}}, {p.module.action_dims})"),
    "GaussianSampler": _calls("draw({0})"),
    "LayerNorm": lambda p: Layer(
        f"{p.me}({{0}})", f"nn.LayerNorm({p.given['size']}, eps={p.given['epsilon']!r})"
    ),
    "Embedding": lambda p: Layer(
        f"{p.me}({{0}}.long())", f"nn.Embedding({p.given['entries']}, {p.given['output']})"
    ),
    "Affine": lambda p: Layer(f"{p.me}({{0}})", f"Affine({_list(p.given['shape'])})"),
    "Permute": lambda p: Layer(f"{{0}}.permute(0, {_list(1 + axis for axis in p.module.order)})"),
    "Normalization": lambda p: Layer(f"({{0}} - {p.me}.mean) / {p.me}.stdev", "Statistics()"),
    "Denormalization": lambda p: Layer(f"{{0}} * {p.me}.stdev + {p.me}.mean", "Statistics()"),
}  # fmt: skip

HELPERS: dict[str, str] = {
    "drop_path": '''def drop_path(x, rate, training):
    """In training, sets a whole sample to 0 with a probability."""
    if not training or not rate:
        return x
    return x * (torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= rate)
''',
    "local_response": '''def local_response(x, size, alpha, beta, k):
    """Each value divided by (k + alpha m)^beta, m the mean square of `size` planes around its own."""
    before = (size - 1) // 2
    padded = functional.pad(x.square().flatten(2), (0, 0, before, size - 1 - before))
    return x / (k + alpha * padded.unfold(1, size, 1).mean(-1).view_as(x)) ** beta
''',
    "advantage": '''def advantage(action, mu, matrix, size):
    """-1/2 (a - mu)^T L L^T (a - mu), L the lower triangle of a matrix, its diagonal through softplus."""
    square = matrix.reshape(len(matrix), size, size)
    lower = square.tril(-1) + functional.softplus(square.diagonal(dim1=1, dim2=2)).diag_embed()
    return -0.5 * ((action - mu).flatten(1).unsqueeze(1) @ lower).square().sum(2)
''',
    "draw": '''def draw(x):
    """A draw from Gaussians: mean + deviation * noise."""
    mean, stdev = x.chunk(2, dim=-1)
    return mean + stdev * torch.randn_like(mean)
''',
    "lstm": '''def lstm(layer, x):
    """The results of a layer, and the state behind it with the batch first."""
    output, (hidden, cell) = layer(x)
    return output, hidden.transpose(0, 1), cell.transpose(0, 1)
''',
    "gru": '''def gru(layer, x):
    """The results of a layer, and the state behind it with the batch first."""
    output, hidden = layer(x)
    return output, hidden.transpose(0, 1)
''',
    "resize": '''def resize(x, size):
    """Planes scaled to a height and width: bilinear, corners aligned."""
    if tuple(x.shape[2:]) == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
''',
    "Affine": '''class Affine(nn.Module):
    """w x + b, value by value."""

    def __init__(self, *shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return torch.addcmul(self.bias, x, self.weight)
''',
    "Statistics": '''class Statistics(nn.Module):
    """A mean and a deviation of the data."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("stdev", torch.tensor(1.0))
''',
}


def _list(values: Any) -> str:
    return ", ".join(str(int(value)) for value in values)


def _tuple(values: Any) -> str:
    return f"({_list(values)},)" if len(values) == 1 else f"({_list(values)})"


@_writes("Linear")
def _linear(p: Place) -> Layer:
    flat = ".flatten(1)" if len(p.shapes[0]) > 1 else ""
    return Layer(f"{p.me}({{0}}{flat})", f"nn.Linear({p.module.in_features}, {p.module.out_features})")


@_writes("Convolution", "FullConvolution")
def _convolution(p: Place) -> Layer:
    m = p.module
    transposed = "Transpose" if type(m).__name__ == "FullConvolution" else ""
    planes = f"{p.given['no_input_planes']}, {p.given['no_output_planes']}"
    make = f"nn.Conv{transposed}{m.axes}d({planes}, {_tuple(m.kernel)}, {_tuple(m.stride)}, {_tuple(m.pad)})"
    return Layer(_over_planes(m.axes, f"{p.me}({{}})"), make)


def _over_planes(axes: int, call: str) -> str:
    """A call on [planes, ...]; in one dimension, time comes first here."""
    return f"{call.format('{0}.transpose(1, 2)')}.transpose(1, 2)" if axes == 1 else call.format("{0}")


@_writes("MaxPooling")
def _max_pooling(p: Place) -> Layer:
    m = p.module
    size, stride = m.sizes(p.shapes[0][:1] if m.axes == 1 else p.shapes[0][1:])
    window = f"{_tuple(size)}, {_tuple(stride)}, {_tuple(m.pad)}"
    if not m.indices:
        return Layer(_over_planes(m.axes, f"functional.max_pool{m.axes}d({{}}, {window})"))
    call = f"functional.max_pool{m.axes}d({{}}, {window}, return_indices=True)"
    if m.axes == 1:
        return Layer(f"[part.transpose(1, 2) for part in {call.format('{0}.transpose(1, 2)')}]")
    return Layer(call.format("{0}"))


@_writes("AvgPooling")
def _mean_pooling(p: Place) -> Layer:
    m = p.module
    size, stride = m.sizes(p.shapes[0][:1] if m.axes == 1 else p.shapes[0][1:])
    window = f"{_tuple(size)}, {_tuple(stride)}, {_tuple(m.pad)}, count_include_pad=False"
    return Layer(_over_planes(m.axes, f"functional.avg_pool{m.axes}d({{}}, {window})"))


@_writes("MaxUnpooling")
def _unpooling(p: Place) -> Layer:
    m = p.module
    stride = tuple(step or one for step, one in zip(m.step, m.window, strict=True))
    window = f"{_tuple(m.window)}, {_tuple(stride)}, {_tuple(m.pad)}"
    if m.axes == 1:
        call = f"functional.max_unpool1d({{0}}.transpose(1, 2), {{1}}.transpose(1, 2), {window})"
        return Layer(f"{call}.transpose(1, 2)")
    return Layer(f"functional.max_unpool{m.axes}d({{0}}, {{1}}, {window})")


@_writes("MaskedMaxPooling")
def _masked(p: Place) -> Layer:
    size = prod(p.shapes[0])
    groups = [[int(index) for index in group.split(",")] for group in p.given["masks"].split(";")]
    rest = sorted(set(range(size)) - {index for group in groups for index in group})
    rows = [[int(index in group) for index in range(size)] for group in [*groups, rest]]
    return Layer(f"({{0}}.flatten(1).unsqueeze(1) * {{0}}.new_tensor({rows})).amax(2)")


@_writes("Narrow")
def _narrow(p: Place) -> Layer:
    return Layer(f"{{0}}[:, {', '.join(f'{index}:{index + size}' for index, size in p.module.parts)}]")


@_writes("Zeropad")
def _zeropad(p: Place) -> Layer:
    sides = [side for pad in reversed(p.module.pad) for side in (pad, pad)]
    return Layer(f"functional.pad({{0}}, {_tuple(sides)})")


@_writes("Scale", "Frame")
def _scale(p: Place) -> Layer:
    shape, m = p.shapes[0], p.module
    framed = type(m).__name__ == "Frame"
    factors = [] if framed else m.factors
    size = (
        [int(n * f) for n, f in zip(shape[-len(factors) :], factors, strict=True)]
        if factors
        else list(m.dims)
    )
    height, width = size[-2:]
    images = "{0}" if len(shape) == 3 else "{0}.unsqueeze(1)"
    planes = shape[0] if len(shape) == 3 else 1
    if framed:
        scale = min(shape[-1] / width, shape[-2] / height)
        crop = int(height * scale), int(width * scale)
        top, left = (shape[-2] - crop[0]) // 2, (shape[-1] - crop[1]) // 2
        images += f"[:, :, {top}:{top + crop[0]}, {left}:{left + crop[1]}]"
    call = f"resize({images}, {_tuple((height, width))})"
    if len(size) == 2:
        return Layer(call if len(shape) == 3 else f"{call}.squeeze(1)")
    if planes == size[0] or (framed and planes > size[0]):
        return Layer(call + ("" if planes == size[0] else f"[:, :{size[0]}]"))
    return Layer(f"{call}.expand(-1, {size[0]}, -1, -1)")


@_writes("Accumulate")
def _sum(p: Place) -> Layer:
    if len(p.shapes) > 2:
        return Layer("torch.stack(({all})).sum(0)")
    return Layer(" + ".join(f"{{{place}}}" for place in range(len(p.shapes))))


@_writes("Split")
def _split(p: Place) -> Layer:
    size = p.shapes[0][p.module.dim]
    parts = p.module.parts
    ends = [size // parts * (index + 1) for index in range(parts)] if parts else [*p.module.ends, size]
    pieces = [
        f"{{0}}.narrow({p.module.dim}, {s}, {e - s})" for s, e in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return Layer(f"[{', '.join(pieces)}]")


@_writes("Grid")
def _grid(p: Place) -> Layer:
    m = p.module
    cut = f"{{0}}.unfold(-2, {m.y}, {m.stride_y}).unfold(-2, {m.x}, {m.stride_x}).flatten(-4, -3)"
    return Layer(f"{cut}.transpose(1, 2)" if len(p.shapes[0]) == 3 else cut)


@_writes("BatchNormalization")
def _batch_normalization(p: Place) -> Layer:
    axes = max(len(p.shapes[0]) - 1, 1)
    return Layer(f"{p.me}({{0}})", f"nn.BatchNorm{axes}d({p.given['size']})")


@_writes("LSTM", "GRU")
def _recurrent(p: Place) -> Layer:
    cell = p.module.cell
    kind = type(cell).__name__
    more = f", {cell.num_layers}, batch_first=True"
    more += f", dropout={cell.dropout!r}" if cell.dropout else ""
    more += ", bidirectional=True" if cell.bidirectional else ""
    renamed = {f"cell.{name}": name for name, _ in cell.named_parameters()}
    make = f"nn.{kind}({cell.input_size}, {cell.hidden_size}{more})"
    return Layer(f"{kind.lower()}({p.me}, {{0}})" if p.ports else f"{p.me}({{0}})[0]", make, renamed)


@_writes("MultiheadAttention")
def _attention(p: Place) -> Layer:
    attention = p.module.attention
    dropout = f", dropout={attention.dropout!r}" if attention.dropout else ""
    make = f"nn.MultiheadAttention({attention.embed_dim}, {attention.num_heads}{dropout}, batch_first=True)"
    keys = "{1}" if len(p.shapes) > 1 else "{0}"
    renamed = {f"attention.{name}": name for name, _ in attention.named_parameters()}
    call = f"{p.me}({{0}}, {keys}, {keys}, need_weights={bool(p.ports)})"
    return Layer(call if p.ports else f"{call}[0]", make, renamed)


@_writes("MultivariateGaussian")
def _gaussian(p: Place) -> Layer:
    def act(name: str, value: str) -> str:
        function = {"sigmoid": "torch.sigmoid", "tanh": "torch.tanh", "softplus": "functional.softplus"}
        return f"{function[name.lower()]}({value})" if name else value

    halves = ("{0}", "{1}") if len(p.shapes) == 2 else ("{0}.chunk(2, dim=-1)[0]", "{0}.chunk(2, dim=-1)[1]")
    mean = act(p.given["mean_activation"], halves[0])
    stdev = act(p.given["stdev_activation"], halves[1])
    if not (p.given["mean_activation"] or p.given["stdev_activation"]) and len(p.shapes) == 1:
        return Layer("{0}")
    return Layer(f"torch.cat(({mean}, {stdev}), dim=-1)")
