"""The catalog as documentation: told from the code, complete and current."""

from __future__ import annotations

from pathlib import Path

import pytest

from dianne.errors import UsageError
from dianne.network import reference
from dianne.network.catalog import FAMILIES, MODULES

PAGE = Path(__file__).parents[2] / "docs" / "modules.md"


def test_the_page_of_all_modules_is_current():
    assert PAGE.read_text(encoding="utf-8") == reference.markdown(), "run: dianne modules --markdown"


def test_every_type_has_an_entry():
    assert sorted(entry.name for entry in reference.entries()) == sorted(name for name, _ in MODULES.items())


@pytest.mark.parametrize("name", [name for name, _ in MODULES.items()])
def test_every_argument_has_a_kind_and_a_meaning(name):
    entry = reference.entry(name)
    assert entry.text
    assert entry.family
    for argument in entry.arguments:
        assert argument.meaning, argument.key
        assert argument.kind not in ("", "any value"), argument.key


def test_no_docstring_explains_an_argument_that_there_is_not():
    for entry in reference.entries():
        meanings = reference._meanings(MODULES.get(entry.name))
        assert meanings.keys() == {argument.key for argument in entry.arguments}, entry.name


def test_an_entry_tells_what_is_required_inferred_and_assumed():
    arguments = {argument.key: argument for argument in reference.entry("Convolution").arguments}
    assert arguments["noOutputPlanes"].default is None
    assert arguments["noInputPlanes"].default == "inferred"
    assert (arguments["strideX"].default, arguments["strideX"].kind) == ("1", "whole number, above 0")
    assert (arguments["pad"].default, arguments["pad"].kind) == ("false", "true or false")
    assert arguments["kernelWidth"].meaning == "extent along the last axis (time, for one dimension)."


def test_an_entry_names_the_parts_of_a_result():
    assert reference.entry("LSTM").results == ("output", "hidden", "cell")
    assert reference.entry("ReLU").results == ()


def test_the_families_follow_each_other():
    families = list(dict.fromkeys(entry.family for entry in reference.entries()))
    assert len(families) == len(FAMILIES)


def test_any_case_is_understood_and_a_wrong_name_gets_the_nearest():
    assert reference.entry("relu").name == "ReLU"
    with pytest.raises(UsageError) as refused:
        reference.entry("Convolutio")
    assert str(refused.value) == "unknown module type 'Convolutio'; did you mean 'Convolution'?"
