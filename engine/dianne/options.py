"""Options: the typed classes in which every consumer declares what it reads.

Keys are spelled as users know them (`batchSize`), fields as Python does (`batch_size`); either is
understood. `dianne.binding` is where `key=value` meets these classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from dianne.errors import UsageError
from dianne.registry import Registry

_MOST = 2**63 - 1  # what torch and databases can hold


def _held(number: int) -> int:
    if number > _MOST:
        raise ValueError(f"expected at most {_MOST:,}, found {number}")
    return number


PositiveInt = Annotated[int, Field(gt=0), AfterValidator(_held)]
NonNegativeInt = Annotated[int, Field(ge=0), AfterValidator(_held)]
Threads = Annotated[int, Field(gt=0, le=1024)]
"""On the CPU; torch ends the process where it cannot start some of ten thousand."""
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _label(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # a class may be called true
    if not isinstance(value, str | int):
        raise ValueError(f"expected text or a whole number, found {value}")  # noqa: TRY004  # for pydantic
    return str(value)


Label = Annotated[
    str, BeforeValidator(_label), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]})
]
"""The name of a class: text, or a number that is read as text."""


def _parts(value: object) -> object:
    """The parts of `a,b`; one number alone is a list too."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return [value] if isinstance(value, int | float) else value


def _listed(kind: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": kind}}]})


Names = Annotated[list[str], _listed("string"), BeforeValidator(_parts)]
WholeNumbers = Annotated[list[NonNegativeInt], _listed("integer"), BeforeValidator(_parts)]
Probabilities = Annotated[list[Probability], _listed("number"), BeforeValidator(_parts)]
"""Lists that can be typed with commas: `a,b`."""


class Options(BaseModel):
    """Base of every options class: fields with a type, a default and a docstring each."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        defer_build=True,
        validate_default=False,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_as_number(cls, value: object, info: ValidationInfo) -> object:
        inside = value if isinstance(value, list) else [value]
        if info.field_name and any(isinstance(item, bool) for item in inside):
            annotation = cls.model_fields[info.field_name].annotation
            if bool not in (annotation, *get_args(annotation)) and (
                kind := _kind(annotation, inside is value)
            ):
                found = next(item for item in inside if isinstance(item, bool))
                raise ValueError(f"expected {kind}, found {str(found).lower()}")
        return value


@dataclass(frozen=True)
class Choice:
    """Marks a text option that names a registered component: `Annotated[str, Choice(METHODS)]`.

    Any case is understood, and the component's own options join the job's.

    Attributes:
        registry: the components; each has a class `Options` of its own.
        each_network: whether every network of the job may have its own (`Discriminator.method=SGD`).
    """

    registry: Registry[Any]
    each_network: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._spelled, handler(source))

    def _spelled(self, name: str) -> str:
        try:
            return self.registry.spelling(name)
        except UsageError as error:
            raise ValueError(str(error)) from None


def keys(options: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of an options class by the key that users type."""
    return {info.alias or name: info for name, info in options.model_fields.items()}


def default_of(info: FieldInfo) -> Any:
    """The default of a field, None if it must be given."""
    return None if info.is_required() else info.get_default(call_default_factory=True)


# ---------------------------------------------------------------------------------------------- messages


def _kind(annotation: Any, items: bool) -> str:
    """What the numbers of a type are called, or "" if it has none; `items` looks into lists."""
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    waiting = [annotation]
    while waiting:
        part = waiting.pop(0)
        if part is int or part is float:
            return names[part]
        if items or get_origin(part) is not list:
            waiting += get_args(part)
    return ""


def shown(value: object) -> str:
    """A value as messages show it."""
    if isinstance(value, str):
        return f"'{value}'"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if not isinstance(value, dict) else "keys and values"


def explain(error: ErrorDetails) -> str:
    """One pydantic error as our sentence: what was expected, what was found."""
    found = shown(error["input"])
    limits = error.get("ctx", {})
    kind = error["type"]
    if kind == "value_error":
        return str(limits["error"])
    if kind == "missing":
        return "is missing and has no default"
    if kind.startswith("int_"):
        return f"expected a whole number, found {found}"
    if kind.startswith("float_"):
        return f"expected a number, found {found}"
    if kind.startswith("bool_"):
        return f"expected true or false, found {found}"
    if kind.startswith("string_"):
        return f"expected text, found {found}"
    if kind.startswith(("list_", "tuple_", "iterable_")):
        return f"expected a list, found {found}"
    if kind.startswith(("dict_", "model_", "mapping_")):
        return f"expected keys and values, found {found}"
    if kind in ("too_short", "too_long"):
        bound, word = ("min_length", "least") if kind == "too_short" else ("max_length", "most")
        items = "item" if limits[bound] == 1 else "items"
        return f"expected at {word} {limits[bound]} {items}, found {found}"
    words = {
        "greater_than": "more than {gt}",
        "greater_than_equal": "at least {ge}",
        "less_than": "less than {lt}",
        "less_than_equal": "at most {le}",
        "literal_error": "{expected}",
        "finite_number": "a finite number",
    }
    if kind in words:
        return f"expected {words[kind].format(**limits)}, found {found}"
    return f"{error['msg']}, found {found}"
