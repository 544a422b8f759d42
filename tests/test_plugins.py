"""Strategies are found by name, and what goes wrong in them is said with their line."""

import sys
import time

import pytest

from dianne.errors import DianneError, UsageError
from dianne.plugins import EVALUATION, LEARNING, StrategyError, find, strategies, user_code
from dianne.workspace import Folder, shipped

STRATEGY = '''\
from dianne import LearningStrategy, LearnProgress


class {name}(LearningStrategy):
    """{summary}

    At length.
    """

    def setup(self, job):
        pass

    def process_iteration(self, i):
        return LearnProgress(i)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty workspace, which is the working directory; modules that it imports are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield Folder(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder, path, text=None, name="MineLearningStrategy", summary="Mine."):
    file = folder.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(STRATEGY.format(name=name, summary=summary) if text is None else text)
    return file


def refused(folder, name, kind=LEARNING, error=UsageError):
    """The text of what is raised."""
    with pytest.raises(DianneError) as fault:
        find(folder, name, kind)
    assert type(fault.value) is error
    return str(fault.value)


# ----------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize(
    "name",
    [
        "FeedForwardLearningStrategy",
        "FeedForward",
        "Feed-Forward",
        "be.iminds.iot.dianne.nn.learn.strategy.FeedForwardLearningStrategy",
    ],
)
def test_a_shipped_strategy_is_found_with_and_without_suffix(folder, name):
    assert find(folder, name, LEARNING).__name__ == "FeedForwardLearningStrategy"


@pytest.mark.parametrize("name", ["ClassificationEvaluationStrategy", "Classification"])
def test_the_suffix_is_that_of_the_kind_asked_for(folder, name):
    assert find(folder, name, EVALUATION).__name__ == "ClassificationEvaluationStrategy"


@pytest.mark.parametrize(
    "name",
    [
        "MineLearningStrategy",
        "Mine",
        "strategies/mine.py:MineLearningStrategy",
        "mine_package.mine:MineLearningStrategy",
    ],
)
def test_a_strategy_of_the_workspace_is_found_by_name_file_and_module(folder, name):
    write(folder, "strategies/mine.py")
    write(folder, "mine_package/mine.py")
    write(folder, "mine_package/__init__.py", "")
    found = find(folder, name, LEARNING)
    assert (found.__name__, found.__doc__.split("\n")[0]) == ("MineLearningStrategy", "Mine.")


def test_a_class_need_not_bear_the_suffix(folder):
    write(folder, "strategies/deep/mine.py", name="Mine")
    assert find(folder, "Mine", LEARNING).__name__ == "Mine"


def test_a_strategy_of_the_workspace_hides_the_shipped_one_of_its_name(folder):
    theirs = find(folder, "FeedForward", LEARNING)
    file = write(folder, "strategies/mine.py", name="FeedForwardLearningStrategy")
    mine = find(folder, "FeedForward", LEARNING)
    assert mine is not theirs
    assert mine.__doc__.startswith("Mine.")
    assert strategies(folder)["FeedForwardLearningStrategy"].path == file


def test_a_file_of_the_workspace_hides_no_strategy_that_it_does_not_declare(folder):
    write(folder, "strategies/feed_forward.py")  # the name of a shipped file
    found = strategies(folder)
    assert {"MineLearningStrategy", "FeedForwardLearningStrategy"} <= set(found)


def test_files_of_one_name_in_different_folders_are_all_read(folder):
    write(folder, "strategies/a/strategy.py", name="One")
    write(folder, "strategies/b/strategy.py", name="Two")
    assert {"One", "Two"} <= set(strategies(folder))


def test_a_changed_file_is_read_again(folder):
    write(folder, "strategies/mine.py")
    find(folder, "Mine", LEARNING)
    write(folder, "strategies/mine.py", summary="Changed, and longer than before.")
    assert find(folder, "Mine", LEARNING).__doc__.startswith("Changed")


# ----------------------------------------------------------------------------------------------- listing


def test_strategies_are_listed_with_their_kind_sentence_and_file(folder):
    file = write(folder, "strategies/mine.py")
    found = strategies(folder)
    assert list(found) == sorted(found)
    mine, theirs = found["MineLearningStrategy"], found["ClassificationEvaluationStrategy"]
    assert (mine.kind, mine.summary, mine.path) == (LEARNING, "Mine.", file)
    assert (theirs.kind, theirs.path.parent) == (EVALUATION, shipped("strategies"))


def test_listing_runs_no_code(folder):
    write(
        folder,
        "strategies/bomb.py",
        'raise RuntimeError("ran")\n' + STRATEGY.format(name="Bomb", summary="B."),
    )
    write(folder, "strategies/broken.py", "class Broken(LearningStrategy:\n")
    write(folder, "strategies/latin.py").write_bytes("# café\n".encode("latin-1"))
    assert strategies(folder)["Bomb"].summary == "B."


KINDS = """\
import dianne
from dianne import EvaluationStrategy as E, LearningStrategy

class Base(dianne.LearningStrategy): ...
class Derived(Base): ...
class Judge(dianne.EvaluationStrategy): ...
class _Private(Base): ...
class Options: ...
class Circle(Circle2): ...
class Circle2(Circle): ...
class Self(Self): ...
class Outer:
    class Inner(LearningStrategy): ...
"""


def test_what_counts_as_a_strategy_is_judged_by_its_bases(folder):
    theirs = set(strategies(folder))
    write(folder, "strategies/kinds.py", KINDS)
    found = {name: entry.kind for name, entry in strategies(folder).items() if name not in theirs}
    assert found == {"Base": LEARNING, "Derived": LEARNING, "Judge": EVALUATION}


def test_classes_that_inherit_in_circles_are_listed_quickly(folder):
    names = ["A", "B", "C"]
    lines = [f"class {name}({', '.join(other for other in names if other != name)}): ...\n" for name in names]
    write(folder, "strategies/circles.py", "".join(lines))
    start = time.perf_counter()
    assert not {*names} & set(strategies(folder))
    assert time.perf_counter() - start < 5


# ------------------------------------------------------------------------------------------------ faults


def test_a_misspelled_name_gets_the_nearest(folder):
    assert refused(folder, "FeedFoward") == (
        "there is no LearningStrategy 'FeedFoward' in strategies/ or among those that ship; "
        "did you mean 'FeedForward'?"
    )
    assert refused(folder, "FeedFowardLearningStrategy") == (
        "there is no LearningStrategy 'FeedFowardLearningStrategy' in strategies/ or among those that ship; "
        "did you mean 'FeedForwardLearningStrategy'?"
    )


def test_a_strategy_of_the_other_kind_is_refused(folder):
    assert refused(folder, "ClassificationEvaluationStrategy") == (
        "ClassificationEvaluationStrategy is an EvaluationStrategy, and this needs a LearningStrategy"
    )
    assert refused(folder, "FeedForwardLearningStrategy", EVALUATION) == (
        "FeedForwardLearningStrategy is a LearningStrategy, and this needs an EvaluationStrategy"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("strategies/other.py:Mine", "there is no file strategies/other.py"),
        ("nowhere:Mine", "there is no Python module 'nowhere'; is it installed here?"),
        ("json.nowhere:Mine", "there is no Python module 'json.nowhere'; is it installed here?"),
        (":Mine", "there is no Python module ''; is it installed here?"),
        (".mine:Mine", "there is no Python module '.mine'; is it installed here?"),
        ("json:Decoder", "json has no class 'Decoder'; did you mean 'JSONDecoder'?"),
    ],
)
def test_a_module_or_class_that_is_not_there_is_said(folder, name, message):
    assert refused(folder, name) == message


def test_a_class_that_is_not_in_its_file_is_said_with_the_file(folder):
    write(folder, "strategies/mine.py")
    assert refused(folder, "strategies/mine.py:MinLearningStrategy") == (
        "strategies/mine.py has no class 'MinLearningStrategy'; did you mean 'MineLearningStrategy'?"
    )


def test_a_module_without_specification_is_no_crash(folder):
    with pytest.raises(UsageError):
        find(folder, "__main__:Nothing", LEARNING)


def test_a_syntax_error_is_named_with_its_line(folder):
    write(folder, "strategies/mine.py", "import dianne\n\nx = = 1\n")
    assert refused(folder, "Mine", error=StrategyError) == (
        "strategies/mine.py:3: not valid Python: invalid syntax"
    )


@pytest.mark.parametrize("content", [b"# caf\xe9\n", b"x = 1\x00\n"], ids=["latin-1", "zero"])
def test_a_file_that_is_no_text_is_named(folder, content):
    write(folder, "strategies/mine.py").write_bytes(content)
    text = refused(folder, "Mine", error=StrategyError)
    assert text.startswith("strategies/mine.py")
    assert "None" not in text


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import nothing_there\n", "1: ModuleNotFoundError: No module named 'nothing_there'"),
        ("def f():\n    return 1 / 0\n\nf()\n", "2: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('')\n", "2: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        ("raise ValueError('one\\ntwo')\n", "1: ValueError: one"),
    ],
)
def test_code_that_fails_on_import_is_named_with_its_own_line(folder, code, fault):
    write(folder, "strategies/mine.py", code + STRATEGY.format(name="Mine", summary="Mine."))
    expected = f"importing strategies/mine.py: strategies/mine.py:{fault}"
    assert refused(folder, "Mine", error=StrategyError) == expected
    assert refused(folder, "strategies/mine.py:Mine", error=StrategyError) == expected


def test_a_package_that_fails_on_import_is_named_with_its_own_line(folder):
    write(folder, "mine_package/__init__.py", "x = 1\nx / 0\n")
    write(folder, "mine_package/mine.py")
    for module in ("mine_package", "mine_package.mine"):
        assert refused(folder, f"{module}:Mine", error=StrategyError) == (
            f"importing {module}: mine_package/__init__.py:2: ZeroDivisionError: division by zero"
        )


def test_a_syntax_error_in_what_a_strategy_imports_is_named_with_its_file(folder):
    write(folder, "helper.py", "x = 1\ny = = 2\n")
    write(folder, "strategies/mine.py", "import helper\n" + STRATEGY.format(name="Mine", summary="Mine."))
    text = refused(folder, "Mine", error=StrategyError)
    assert text.startswith("importing strategies/mine.py: helper.py:2: SyntaxError: invalid syntax")


def test_what_fails_inside_a_strategy_is_named_with_its_line(folder):
    write(
        folder,
        "strategies/mine.py",
        STRATEGY.replace("pass", "job.missing").format(name="Mine", summary="M."),
    )
    strategy = find(folder, "Mine", LEARNING)()
    with pytest.raises(StrategyError) as fault, user_code("setting up Mine"):
        strategy.setup(None)
    assert str(fault.value) == (
        "setting up Mine: strategies/mine.py:11: AttributeError: 'NoneType' object has no attribute 'missing'"
    )
    assert isinstance(fault.value.__cause__, AttributeError)
    assert fault.value.exit_code == 1


def test_what_a_strategy_says_itself_is_left_as_it_is():
    with pytest.raises(UsageError) as fault, user_code("setting up Mine"):
        raise UsageError("takes images only")
    assert str(fault.value) == "takes images only"


def test_a_stop_from_the_keyboard_passes_through():
    with pytest.raises(KeyboardInterrupt), user_code("setting up Mine"):
        raise KeyboardInterrupt
