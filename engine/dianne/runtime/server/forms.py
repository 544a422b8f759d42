"""The forms of what is asked and answered over HTTP, for the routes and for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return text


_Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
Name = Annotated[_Text, Field(description="a name, as files and tags have it")]
PathName = Annotated[Name, Path()]
Scalar = str | bool | int | float | None
OptionValues = dict[str, Scalar | list[Scalar]]


class Form(BaseModel):
    """Keys are camelCase, as options are; unknown ones are refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Fault(Form):
    """What went wrong."""

    error: str


class Submission(Form):
    """A job, as on the command line."""

    kind: Literal["learn", "evaluate"] = "learn"
    networks: Name | Annotated[list[Name], Field(min_length=1, max_length=20)]
    dataset: Name
    options: OptionValues = Field(default_factory=dict)


class Changes(Form):
    """Options that replace those of a job."""

    options: OptionValues = Field(default_factory=dict)


class Deployment(Form):
    """What to deploy."""

    network: Name
    tag: Name
    name: Name | None = None


class Submitted(Form):
    """The job that was queued."""

    id: str


class InstanceForm(Form):
    """A deployed network, and the weights that it has now."""

    name: str
    network: str
    tag: str
    manifest: str
    iteration: int
    dataset: str | None
    input_dims: list[int]
    labels: list[str] | None


class Version(Form):
    """Weights that a tag names, or named before."""

    manifest: str
    iteration: int
    loss: dict[str, float]
    metrics: dict[str, float]
    created: str
    job: dict[str, Any]
