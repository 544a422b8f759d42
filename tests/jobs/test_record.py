"""The record of a job is found by its identifier or by what it made, and read as far as it goes."""

import json
from pathlib import Path

import pytest

from dianne.errors import DianneError, UsageError
from dianne.jobs.record import Curve, read_record
from dianne.store import Manifest, Store
from dianne.workspace import Folder

FOLDER = Folder(Path())
LINES = [
    {"iteration": 20, "seconds": 1.2, "terms": {"loss": 151.2, "kl": 3.2}},
    {"iteration": 1000, "seconds": 9.0, "terms": {"loss": 140, "kl": float("nan")}},
    {"iteration": 1000, "seconds": 9.1, "validation": {"negative ELBO": 150.1}},
]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(identifier, lines=LINES, end="\n", job=None):
    place = Path(".dianne/jobs") / identifier
    place.mkdir(parents=True)
    (place / "progress.jsonl").write_text("\n".join(map(json.dumps, lines)) + end)
    if job is not None:
        (place / "job.json").write_text(json.dumps(job))


def refused(job, kind=UsageError):
    with pytest.raises(DianneError) as fault:
        read_record(FOLDER, job)
    assert type(fault.value) is kind
    return str(fault.value)


def test_terms_and_validations_are_read_in_order():
    write("abc123", job={"id": "abc123", "networks": ["Encoder"]})
    record = read_record(FOLDER, "abc123")
    assert (record.id, record.job) == ("abc123", {"id": "abc123", "networks": ["Encoder"]})
    assert record.terms["loss"] == Curve([20, 1000], [151.2, 140.0])
    assert record.terms["kl"].iterations == [20, 1000]
    assert record.terms["kl"].values[0] == 3.2
    assert record.terms["kl"].values[1] != record.terms["kl"].values[1]
    assert record.validations == {"negative ELBO": Curve([1000], [150.1])}


@pytest.mark.parametrize("end", ["", "\n", '\n{"iteration": 1020, "ter', '\n{"iteration": 1020', "\n{"])
def test_a_line_that_is_still_being_written_is_left_out(end):
    write("abc123", end=end)
    assert read_record(FOLDER, "abc123").terms["loss"].iterations == [20, 1000]
    assert read_record(FOLDER, "abc123").job == {}


@pytest.mark.parametrize("line", ["", "{", "5", '{"terms": {"loss": 1}}', '{"iteration": 1, "terms": [1]}'])
def test_a_spoilt_line_before_the_last_is_named(line):
    write("abc123", end=f"\n{line}\n")
    assert refused("abc123", DianneError) == (
        f".dianne/jobs/abc123/progress.jsonl:4: is no line of a record: '{line}'"
    )


def test_the_beginning_of_one_identifier_is_enough():
    for identifier in ("abc123", "abd456", "ab"):
        write(identifier)
    assert read_record(FOLDER, "abc").id == "abc123"
    assert read_record(FOLDER, "ab").id == "ab"
    assert refused("a") == "several jobs begin with 'a': ab, abc123, abd456"


def test_a_job_is_found_by_what_it_made():
    write("abc123")
    Store(FOLDER.models).put("vae", Manifest("Encoder", "", {}, job={"id": "abc123"}), {})
    Store(FOLDER.models).put("old", Manifest("Encoder", "", {}, job={"id": "fed999"}), {})
    assert read_record(FOLDER, "Encoder:vae").id == "abc123"
    assert refused("Encoder:old") == (
        "the job 'fed999', which made Encoder:old, left no record in .dianne/jobs/"
    )
    assert refused("Encoder:vea") == "Encoder has no tag 'vea'; did you mean 'vae'?"


def test_a_job_that_is_nowhere_is_reported_with_the_nearest():
    assert refused("abc") == "there is no record of a job 'abc' in .dianne/jobs/"
    write("abc123")
    assert refused("bc123") == "there is no record of a job 'bc123' in .dianne/jobs/; did you mean 'abc123'?"
    assert refused("") == "there is no record of a job '' in .dianne/jobs/; jobs: abc123"


def test_a_job_that_has_noted_nothing_has_an_empty_record():
    Path(".dianne/jobs/abc123").mkdir(parents=True)
    record = read_record(FOLDER, "abc123")
    assert (record.terms, record.validations, record.job) == ({}, {}, {})


def test_a_spoilt_description_is_reported():
    write("abc123")
    Path(".dianne/jobs/abc123/job.json").write_text("{")
    assert refused("abc123", DianneError) == ".dianne/jobs/abc123/job.json: its content was changed"
