"""A job whose own folder cannot be written learns and stores its weights all the same."""

import pytest
from killing import workspace_in
from workspaces import Notes


@pytest.mark.parametrize(
    ("options", "no_record", "no_checkpoint"),
    [
        ("size=1m,ro", "unable to open database file", "Read-only file system"),
        ("size=40k", "database or disk is full", "No space left on device"),
    ],
    ids=["read-only", "full"],
)
def test_weights_are_stored_without_a_record_or_a_checkpoint(
    tmp_path, mounted, options, no_record, no_checkpoint
):
    workspace, watcher = workspace_in(tmp_path), Notes()
    state = workspace.folder.state
    with mounted(state, options):
        result = workspace.learn(
            "Classifier", "Small", tag="t", seed=1, batchSize=16, maxIterations=12, watcher=watcher
        )
    assert watcher.notes == [
        f"{state / 'jobs.db'}: the job's record cannot be written: {no_record}",
        f"{state / 'jobs' / result.job}: a checkpoint cannot be written: {no_checkpoint}; the job goes on",
    ]
    assert workspace.tags("Classifier")["t"].iteration == 12
    assert workspace.verify().faults == {}
