"""Mutated network files: each is either fine or refused with a message, and never ends in a traceback.

python -m benchmarks.fuzz [count=10000] [seed=0]
"""

from __future__ import annotations

import random
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

from rich.console import Console

from dianne.binding import parse_pairs
from dianne.document import parse
from dianne.errors import UsageError
from dianne.network.check import check_network
from dianne.network.file import read_document
from dianne.network.library import Library
from dianne.network.resolve import resolve
from dianne.workspace import Folder, shipped

WORDS = (
    "null", "~", "true", "-1", "0", "1.5", "1e30", "9999999999999", ".nan", ".inf", "[]", "{}", "[1, 2]",
    "{a: 1}", '"${1 / 0}"', '"${hidden"', '"${hidden * 2}"', '"${"', "*x", "&x 3", "!!python/none 1", "<<",
    "Linear", "Input", "Output", "Residual", "Memory", "Split", "LSTMCell", "torch.nn.Linear",
    "torch.nn.LSTM", "a:b", "x.1", "repeat: 3", "share: hidden1", "after: image", "after: [image, image]",
    "é", "\x07", "\t", "",
)  # fmt: skip
HOSTS = {
    "ConvLayer": ("[3, 8, 8]", "noOutputPlanes: 4, kernelWidth: 3, kernelHeight: 3"),
    "Residual": ("[3, 8, 8]", "noInputPlanes: 3, noOutputPlanes: 5"),
    "Residual_b": ("[3, 8, 8]", "noInputPlanes: 3, noFilters: 2, noOutputPlanes: 5"),
    "Inception_v1": ("[3, 8, 8]", "1x1: 2, 3x3reduce: 2, 3x3: 2, 5x5reduce: 2, 5x5: 2, poolproj: 2"),
    "Inception_v2": ("[3, 8, 8]", "1x1: 2, 3x3reduce: 2, 3x3: 2, 5x5reduce: 2, 5x5: 2, poolproj: 2"),
    "Fractal-3": ("[3, 8, 8]", "noInputPlanes: 3, noOutputPlanes: 3"),
    "LSTMCell": ("[3]", "output: 4"),
    "GRUCell": ("[3]", "output: 4"),
}
"""For files that are made to be used inside others: a shape that comes in, and parameters."""
Mutation = Callable[[random.Random, str], str]


def _cut(rng: random.Random, text: str) -> str:
    start = rng.randrange(len(text))
    return text[:start] + text[start + rng.randint(1, 12) :]


def _insert(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    return text[:place] + rng.choice((*WORDS, *"{}[],:#'\"\n $")) + text[place:]


def _double_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return "".join(lines)


def _drop_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _swap_lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


def _replace_word(rng: random.Random, text: str) -> str:
    words = list(re.finditer(r"[\w.$-]+", text))
    if not words:
        return text
    word = rng.choice(words)
    other = rng.choice((*WORDS, rng.choice(words)[0]))
    return text[: word.start()] + other + text[word.end() :]


def _add_key(rng: random.Random, text: str) -> str:
    ends = [place for place, sign in enumerate(text) if sign == "}"]
    if not ends:
        return text
    place = rng.choice(ends)
    keys = ("repeat", "share", "after", "type", "output", "shape", "size")
    names = re.findall(r"^  (\w+):", text, re.MULTILINE) or ["a"]
    value = rng.choice((*WORDS, *names, f"{rng.choice(names)}.{rng.randint(0, 2)}"))
    return f"{text[:place]}, {rng.choice(keys)}: {value}{text[place:]}"


MUTATIONS: tuple[Mutation, ...] = (
    _cut, _insert, _double_line, _drop_line, _swap_lines, _replace_word, _replace_word, _add_key, _add_key,
)  # fmt: skip


def mutated(seed: int, files: dict[str, str]) -> tuple[str, str]:
    """Name and text of one of some files, changed in one to four places; the same for the same seed."""
    rng = random.Random(seed)
    name = rng.choice(list(files))
    text = files[name]
    for _ in range(rng.randint(1, 4)):
        text = rng.choice(MUTATIONS)(rng, text) or text
    return name, text


def verdict(name: str, text: str, folder: Folder) -> str:
    """ "fine" or "refused"; whatever else is raised is a defect."""
    library = Library(folder, {name: text})
    try:
        file = library.file(name)
        assert file is not None
        if name in HOSTS:
            check_network(file, library)
            shape, parameters = HOSTS[name]
            host = f"modules:\n  x: {{type: Input, shape: {shape}}}\n  b: {{type: {name}, {parameters}}}\n"
            file = read_document(parse(host + "  y: {type: Output}\n", "Host"), "Host")
        resolve(file, {}, library).build_without_data()
    except UsageError:
        return "refused"
    return "fine"


def main() -> int:
    """Report; 1 if there was a traceback or anything took longer than a second."""
    options = {"count": "10000", "seed": "0", **parse_pairs(sys.argv[1:])}
    console = Console(stderr=False, soft_wrap=True)
    files = {
        path.stem: path.read_text(encoding="utf-8") for path in sorted(shipped("networks").rglob("*.yaml"))
    }
    folder = Folder(shipped("networks").parent)
    verdict("MLP", files["MLP"], folder)  # the first network takes half a second of loading
    found: Counter[str] = Counter()
    slowest, begin = (0.0, 0), time.perf_counter()
    first = int(options["seed"])
    for seed in range(first, first + int(options["count"])):
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found[verdict(*mutated(seed, files), folder)] += 1
        except Exception as error:  # noqa: BLE001 - finding these is what this is for
            found["traceback"] += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = f"seed {seed}: {type(error).__name__}: {error} ({last.name}, line {last.lineno})"
            console.print(message, markup=False, highlight=False)
        slowest = max(slowest, (time.perf_counter() - start, seed))
    total = time.perf_counter() - begin
    counts = ", ".join(f"{count:,} {word}" for word, count in sorted(found.items()))
    console.print(
        f"{counts}; {total:.0f} s, the slowest {slowest[0]:.2f} s (seed {slowest[1]})", markup=False
    )
    return 1 if found["traceback"] or slowest[0] > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
