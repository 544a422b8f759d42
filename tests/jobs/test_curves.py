"""The record of a job is found by its identifier or by what it made; files of before are taken over."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dianne.errors import DianneError, UsageError
from dianne.jobs.curves import Curve, read_record
from dianne.jobs.queue import Queue
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
    assert (record.id, record.job["networks"], record.job["tag"]) == ("abc123", ["Encoder"], "abc123")
    assert record.terms["loss"] == Curve([20, 1000], [151.2, 140.0])
    assert record.terms["kl"].iterations == [20, 1000]
    assert record.terms["kl"].values[0] == 3.2
    assert record.terms["kl"].values[1] != record.terms["kl"].values[1]
    assert record.validations == {"negative ELBO": Curve([1000], [150.1])}


@pytest.mark.parametrize(
    "end", ["", "\n", '\n{"iteration": 1020, "ter', "\n\n5\n{\n", '\n{"terms": {"loss": 1}}\n']
)
def test_a_line_that_is_spoilt_is_left_out(end):
    write("abc123", end=end)
    record = read_record(FOLDER, "abc123")
    assert record.terms["loss"].iterations == [20, 1000]
    assert (record.job["networks"], record.job["options"]) == ([], {})


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
    assert refused("Encoder:old") == ("the job 'fed999', which made Encoder:old, left no record in .dianne/")
    assert refused("Encoder:vea") == "Encoder has no tag 'vea'; did you mean 'vae'?"


def test_a_job_that_is_nowhere_is_reported_with_the_nearest():
    assert refused("abc") == "there is no job 'abc'; nothing was learned or submitted here yet"
    assert not Path(".dianne").exists()
    write("abc123")
    assert refused("bc123") == "there is no job 'bc123'; did you mean 'abc123'?"
    assert refused("") == "there is no job ''; jobs: abc123"


def test_a_job_that_has_noted_nothing_has_an_empty_record():
    write("abc123", lines=[])
    record = read_record(FOLDER, "abc123")
    assert (record.terms, record.validations) == ({}, {})


def test_old_records_become_jobs_once_in_the_order_in_which_they_ran():
    asked = {
        "id": "late", "command": "learn", "networks": ["Net"], "dataset": "Iris", "strategy": "S",
        "options": {"hidden": 3}, "seed": 7, "tag": "t",
    }  # fmt: skip
    write("late", job=asked)
    write("early", job="{")
    os.utime(".dianne/jobs/early", (1000, 1000))
    early, late = Queue(FOLDER).jobs()
    assert (early.id, early.status, early.iteration, early.terms["loss"]) == ("early", "finished", 1000, 140)
    assert (late.id, late.kind, late.tag, late.options) == ("late", "learn", "t", {"hidden": 3, "seed": 7})
    write("later")  # by an older dianne: not seen any more
    assert [job.id for job in Queue(FOLDER).jobs()] == ["early", "late"]
    assert len(Queue(FOLDER).progress("late")) == 3


def test_a_database_of_a_newer_dianne_is_refused():
    Queue(FOLDER).database.connect().close()
    with closing(sqlite3.connect(".dianne/jobs.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert refused("abc", DianneError) == (
        ".dianne/jobs.db: was written by a newer dianne (version 99, this one reads up to 1); upgrade dianne"
    )


def test_a_spoilt_database_is_reported():
    Path(".dianne").mkdir()
    Path(".dianne/jobs.db").write_text("no database" * 100)
    assert refused("abc", DianneError) == ".dianne/jobs.db: cannot be used: file is not a database"
