"""Options: who reads which key, and what is said of the others."""

import contextlib
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianne.binding import TYPED, Consumer, Given, bind, parse_pairs
from dianne.errors import ConfigError, UsageError
from dianne.options import (
    Choice,
    NonNegativeFloat,
    Options,
    PositiveFloat,
    PositiveInt,
    Probability,
    default_of,
    keys,
)
from dianne.registry import Registry

METHODS = Registry("method")


@METHODS.register("ADAM")
class Adam:
    class Options(Options):
        learning_rate: PositiveFloat = 0.001
        beta1: Probability = 0.9


@METHODS.register("SGD")
class Sgd:
    class Options(Options):
        learning_rate: PositiveFloat = 0.1


class Training(Options):
    batch_size: PositiveInt = 128
    """Samples in a batch."""
    tag: str | None = None
    clean: bool = False
    decay: NonNegativeFloat = 0.0
    rate: Probability = 0.5
    sizes: list[int] = [1]  # noqa: RUF012  # pydantic copies it
    order: Literal["rows", "columns"] = "rows"


class Alone(Options):
    method: Annotated[str, Choice(METHODS)] = "ADAM"


class ForEach(Options):
    method: Annotated[str, Choice(METHODS, each_network=True)] = "ADAM"


class Hidden(Options):
    hidden: int = 512


class Latent(Hidden):
    latent_dims: int = 2


JOB = [Consumer("job", Training)]
NETWORKS = [
    Consumer("Encoder", Hidden, ("Encoder", "encoder")),
    Consumer("Decoder", Latent, ("Decoder", "decoder")),
]
GAN = [("generator", "G"), ("discriminator", "D")]


def bound(consumers, networks=(), **given):
    return bind("learn", consumers, typed(given), networks)


def typed(given):
    return {key: value if isinstance(value, Given) else Given(value, TYPED) for key, value in given.items()}


def complaint(consumers, given, networks=()):
    """The whole text of the fault."""
    with pytest.raises(ConfigError) as fault:
        bind("learn", consumers, typed(given), networks)
    return str(fault.value)


def resolved(found):
    """What `--dry-run` shows: key, value, origin, readers."""
    return {s.key: (s.value, s.origin, s.readers) for s in found.settings}


# ------------------------------------------------------------------------------------------------- words


def test_words_are_split_at_the_first_sign_and_the_last_of_equal_keys_counts():
    assert parse_pairs(["tag=a=b", " range =0,9", "tag=", "x.y=1", "tag=c"]) == {
        "tag": "c",
        "range": "0,9",
        "x.y": "1",
    }


def test_blanks_belong_to_texts_and_numbers_are_read_with_them():
    class Prompted(Options):
        prompt: str
        n: PositiveInt

    given = {key: Given(value, TYPED) for key, value in parse_pairs(["prompt= and ", "n= 3 "]).items()}
    found = bind("generate", [Consumer("generate", Prompted)], given).of("generate", Prompted)
    assert (found.prompt, found.n) == (" and ", 3)


@pytest.mark.parametrize("word", ["tag", "=3", " =3", ""])
def test_a_word_that_is_no_option_is_refused(word):
    with pytest.raises(UsageError) as fault:
        parse_pairs(["a=1", word])
    assert str(fault.value) == f"'{word}' is no option; write key=value"


# ------------------------------------------------------------------------------------------------ values


def test_defaults_hold_for_what_is_left_out():
    found = bound(JOB)
    assert found.of("job", Training) == Training()
    assert found.given() == {}
    assert {origin for _, origin, _ in resolved(found).values()} == {"default"}


@pytest.mark.parametrize("key", ["batchSize", "batch_size"])
def test_keys_may_be_spelled_for_people_and_for_python(key):
    assert bound(JOB, **{key: "64"}).of("job", Training).batch_size == 64


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("batchSize", "64", 64), ("batchSize", "64.0", 64), ("batchSize", 64.0, 64),
        ("decay", "1e-4", 1e-4), ("decay", 0, 0.0), ("rate", 1, 1.0),
        ("clean", "true", True), ("clean", "FALSE", False), ("clean", True, True),
        ("tag", "7", "7"), ("tag", None, None), ("sizes", [3, "4"], [3, 4]), ("order", "columns", "columns"),
    ],
)  # fmt: skip
def test_values_are_converted_by_the_kind_of_their_field(key, given, value):
    found = getattr(bound(JOB, **{key: given}).of("job", Training), {"batchSize": "batch_size"}.get(key, key))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batchSize", "many", "expected a whole number, found 'many'"),
        ("batchSize", 12.5, "expected a whole number, found 12.5"),
        ("batchSize", None, "expected a whole number, found nothing"),
        ("batchSize", True, "expected a whole number, found true"),
        ("batchSize", {"a": 1}, "expected a whole number, found keys and values"),
        ("batchSize", "0", "expected more than 0, found '0'"),
        ("decay", "little", "expected a number, found 'little'"),
        ("decay", "inf", "expected a finite number, found 'inf'"),
        ("decay", "nan", "expected a finite number, found 'nan'"),
        ("decay", False, "expected a number, found false"),
        ("decay", -1, "expected at least 0.0, found -1"),
        ("rate", "1.5", "expected at most 1.0, found '1.5'"),
        ("clean", "maybe", "expected true or false, found 'maybe'"),
        ("tag", 3, "expected text, found 3"),
        ("tag", True, "expected text, found true"),
        ("sizes", "3", "expected a list, found '3'"),
        ("sizes", ["x"], "expected a whole number, found 'x'"),
        ("sizes", [True], "expected a whole number, found true"),
        ("order", "diagonal", "expected 'rows' or 'columns', found 'diagonal'"),
        ("order", True, "expected 'rows' or 'columns', found true"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_was_expected_and_what_was_found(key, value, message):
    assert complaint(JOB, {key: value}) == f"learn: 1 problem\n  option '{key}': {message}"


@pytest.mark.parametrize("field", ["batch_size", "decay", "rate", "tag", "sizes", "order"])
@pytest.mark.parametrize("value", [True, False])
def test_booleans_are_no_numbers_and_no_texts(field, value):
    assert "learn: 1 problem\n" in complaint(JOB, {field: value})


def test_an_option_without_default_must_be_given():
    class Needy(Options):
        strategy: str

    assert complaint([Consumer("job", Needy)], {}) == (
        "learn: 1 problem\n  option 'strategy': is missing and has no default"
    )


def test_an_options_class_lists_keys_defaults_and_meanings():
    fields = keys(Training)
    assert list(fields) == ["batchSize", "tag", "clean", "decay", "rate", "sizes", "order"]
    assert (default_of(fields["batchSize"]), fields["batchSize"].description) == (128, "Samples in a batch.")


# ------------------------------------------------------------------------------------------------- keys


def test_unknown_keys_are_refused_with_the_nearest_known_one():
    assert complaint([*JOB, *NETWORKS], {"batchsize": 1, "batchSise": 2, "latent_dim": 3}) == (
        "learn: 3 problems\n"
        "  option 'batchsize': nothing here reads 'batchsize'; did you mean 'batchSize'?\n"
        "  option 'batchSise': nothing here reads 'batchSise'; did you mean 'batchSize'?\n"
        "  option 'latent_dim': nothing here reads 'latent_dim'; did you mean 'latentDims'?"
    )


def test_an_unknown_key_that_is_near_to_none_gets_the_whole_list():
    assert complaint(NETWORKS, {"zzz": 1}) == (
        "learn: 1 problem\n  option 'zzz': nothing here reads 'zzz'; options: hidden, latentDims"
    )


def test_all_problems_are_said_at_once():
    given = {
        "batchSize": "none",
        "Encodr.hidden": 3,
        "decoder.hiddn": 3,
        "hidden": "x",
        "beta": Given(2, "MyStrategy"),
        "method": "adm",
    }
    assert complaint([*JOB, *NETWORKS, Consumer("strategy", Alone)], given) == (
        "learn: 6 problems\n"
        "  option 'batchSize': expected a whole number, found 'none'\n"
        "  option 'hidden': expected a whole number, found 'x'\n"
        "  option 'method': unknown method 'adm'; did you mean 'ADAM'?\n"
        "  option 'Encodr.hidden': nothing here is called 'Encodr'; did you mean 'Encoder'?\n"
        "  option 'decoder.hiddn': nothing here reads 'hiddn'; did you mean 'hidden'?\n"
        "  option 'beta' (MyStrategy): nothing here reads 'beta'; did you mean 'beta1'?"
    )


@given(
    st.text(max_size=12) | st.sampled_from(["batchSize", "encoder.hidden", "G.method", "tag", "X.tag"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
)
def test_any_key_and_value_binds_or_gives_a_config_error(key, value):
    known = {
        *keys(Training),
        *Training.model_fields,
        "hidden",
        "latentDims",
        "latent_dims",
        "method",
        "beta1",
    }
    with contextlib.suppress(ConfigError):
        bind("learn", [*JOB, *NETWORKS, Consumer("strategy", ForEach)], {key: Given(value, TYPED)}, GAN)
        assert key.rpartition(".")[2] in {*known, "learningRate", "learning_rate"}


# -------------------------------------------------------------------------------------------- consumers


def test_a_key_reaches_everyone_who_declares_it():
    found = bound(NETWORKS, hidden="64", latentDims=3)
    assert found.of("Encoder", Hidden).hidden == found.of("Decoder", Latent).hidden == 64
    assert resolved(found) == {
        "hidden": (64, "command line", ["Encoder", "Decoder"]),
        "latentDims": (3, "command line", ["Decoder"]),
    }


@pytest.mark.parametrize("aim", ["Encoder", "encoder"])
def test_a_key_can_be_aimed_at_one_consumer_by_name_and_by_role(aim):
    found = bound(NETWORKS, **{f"{aim}.hidden": 64})
    assert found.of("Encoder", Hidden).hidden == 64
    assert found.of("Decoder", Latent).hidden == 512
    assert resolved(found) == {
        f"{aim}.hidden": (64, "command line", ["Encoder"]),
        "hidden": (512, "default", ["Decoder"]),
        "latentDims": (2, "default", ["Decoder"]),
    }


@pytest.mark.parametrize("order", [["hidden", "Decoder.hidden"], ["Decoder.hidden", "hidden"]])
def test_an_aimed_key_counts_more_than_a_plain_one_whatever_their_order(order):
    values = {"hidden": 8, "Decoder.hidden": 16}
    found = bound(NETWORKS, **{key: values[key] for key in order})
    assert (found.of("Encoder", Hidden).hidden, found.of("Decoder", Latent).hidden) == (8, 16)


def test_an_aimed_key_may_be_spelled_as_python_does():
    assert bound(NETWORKS, **{"Decoder.latent_dims": 5}).of("Decoder", Latent).latent_dims == 5


def test_a_key_aimed_at_someone_who_does_not_read_it_is_refused_and_who_does_is_said():
    given = {"Encoder.batchSize": 3, "Encoder.latentDims": 3}
    assert complaint([*JOB, *NETWORKS], given) == (
        "learn: 2 problems\n"
        "  option 'Encoder.batchSize': nothing of 'Encoder' reads 'batchSize'; write it without 'Encoder.'\n"
        "  option 'Encoder.latentDims': nothing of 'Encoder' reads 'latentDims'; 'Decoder' does"
    )


@pytest.mark.parametrize("keys", [("batchSize", "batch_size"), ("batch_size", "batchSize")])
def test_of_two_spellings_of_one_option_the_later_counts(keys):
    # A strategy sets its defaults first, so that what the user gives has the last word.
    found = bound(JOB, **{keys[0]: Given(3, "MyStrategy"), keys[1]: 4})
    assert found.of("job", Training).batch_size == 4
    assert [s.origin for s in found.settings if s.value == 4] == [TYPED]


@pytest.mark.parametrize("keys", [("Encoder.hidden", "encoder.hidden"), ("encoder.hidden", "Encoder.hidden")])
def test_of_name_and_role_the_later_counts(keys):
    assert bound(NETWORKS, **{keys[0]: 3, keys[1]: 4}).of("Encoder", Hidden).hidden == 4


def test_consumers_with_different_defaults_are_told_apart():
    class Small(Options):
        hidden: int = 8

    found = bound([Consumer("Encoder", Hidden), Consumer("Probe", Small)])
    assert resolved(found) == {
        "hidden": (512, "default", ["Encoder"]),
        "Probe.hidden": (8, "default", ["Probe"]),
    }


def test_every_value_remembers_where_it_came_from():
    found = bound(JOB, batchSize=Given(64, "MyStrategy"), tag="a")
    settings = resolved(found)
    assert settings["batchSize"] == (64, "MyStrategy", ["job"])
    assert settings["tag"] == ("a", "command line", ["job"])
    assert settings["decay"] == (0.0, "default", ["job"])
    assert found.given() == {"batchSize": 64, "tag": "a"}


def test_what_was_given_binds_to_the_same_job_again():
    given = {"D.method": "sgd", "learningRate": "0.5", "Decoder.hidden": 3}
    consumers = [Consumer("strategy", ForEach), *NETWORKS]
    first = bound(consumers, GAN, **given)
    assert resolved(bound(consumers, GAN, **first.given())) == resolved(first)


# ---------------------------------------------------------------------------------------------- choices


def test_a_choice_brings_the_options_of_what_was_chosen():
    found = bound([Consumer("job", Alone)], method="sgd", learningRate="0.5")
    assert found.of("job", Alone).method == "SGD"
    assert found.of("SGD", Sgd.Options).learning_rate == 0.5
    assert resolved(found) == {
        "method": ("SGD", "command line", ["job"]),
        "learningRate": (0.5, "command line", ["SGD"]),
    }


def test_options_of_what_was_not_chosen_are_refused():
    assert complaint([Consumer("job", Alone)], {"method": "SGD", "beta1": 0.5}) == (
        "learn: 1 problem\n  option 'beta1': nothing here reads 'beta1'; options: learningRate, method"
    )


def test_what_a_strategy_sets_for_a_method_that_was_not_chosen_is_left_out():
    consumers = [Consumer("MyStrategy", ForEach)]
    preset = {"beta1": Given(0.5, "MyStrategy"), "learningRate": Given(0.2, "MyStrategy")}
    chosen = bound(consumers, [("network", "N")], **preset)
    assert resolved(chosen)["beta1"] == (0.5, "MyStrategy", ["network.ADAM"])
    found = bound(consumers, [("network", "N")], **preset, method="SGD")
    assert "beta1" not in resolved(found)
    assert found.get("network.SGD").learning_rate == 0.2


def test_an_unknown_choice_is_said_once_even_where_every_network_has_one():
    assert complaint([Consumer("job", ForEach)], {"method": "sdg"}, GAN) == (
        "learn: 1 problem\n  option 'method': unknown method 'sdg'; did you mean 'SGD'?"
    )


def test_each_network_may_have_a_choice_of_its_own():
    found = bound([Consumer("job", ForEach)], GAN, **{"D.method": "sgd", "G.learningRate": 0.01})
    assert found.of("generator.ADAM", Adam.Options) == Adam.Options(learning_rate=0.01)
    assert found.of("discriminator.SGD", Sgd.Options) == Sgd.Options(learning_rate=0.1)
    assert resolved(found) == {
        "method": ("ADAM", "default", ["job", "generator.method"]),
        "D.method": ("SGD", "command line", ["discriminator.method"]),
        "G.learningRate": (0.01, "command line", ["generator.ADAM"]),
        "beta1": (0.9, "default", ["generator.ADAM"]),
        "learningRate": (0.1, "default", ["discriminator.SGD"]),
    }


def test_the_choice_for_all_networks_holds_where_none_has_its_own():
    found = bound([Consumer("job", ForEach)], GAN, method="SGD", learningRate=0.2)
    for role in ("generator", "discriminator"):
        assert found.of(f"{role}.SGD", Sgd.Options).learning_rate == 0.2
    assert resolved(found)["learningRate"] == (0.2, "command line", ["generator.SGD", "discriminator.SGD"])


def test_options_objects_can_be_made_in_python_and_know_their_keys():
    assert Training(batch_size=3) == Training(batchSize=3) == Training(batchSize="3")
    with pytest.raises(ValueError, match="batchsize"):
        Training(batchsize=3)


def test_options_objects_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        bound(JOB).of("job", Training).batch_size = 3
