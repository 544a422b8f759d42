"""Small workspaces, and what their jobs tell a user."""

from collections.abc import Mapping
from pathlib import Path

from dianne import Workspace
from dianne.jobs.learn import LearnWatcher

NETWORK = """
modules:
  features: {type: Input, shape: [4]}
  hidden: {type: Linear, output: 5}
  tanh: {type: Tanh}
  scores: {type: Linear, output: 3}
  classes: {type: LogSoftmax}
  output: {type: Output}
"""
IRIS = "{type: sklearn, loader: load_iris, labels: [setosa, versicolor, virginica]}"
FILES = {"networks/Net.yaml": NETWORK, "datasets/Iris.yaml": IRIS}


def workspace_of(folder: Path, files: Mapping[str, str] = FILES) -> Workspace:
    """A workspace in a folder, with these texts in files."""
    for file, text in files.items():
        (folder / file).parent.mkdir(exist_ok=True, parents=True)
        (folder / file).write_text(text)
    return Workspace(folder)


class Notes(LearnWatcher):
    """What the user is told."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)
