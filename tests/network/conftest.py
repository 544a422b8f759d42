"""A workspace for networks that a test writes."""

import pytest
import torch

import dianne


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors of a few values are slower in several threads than in one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def describe(tmp_path_factory):
    """Writes networks/NAME.yaml into a workspace of its own and returns the checked network."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "networks").mkdir()
    workspace = dianne.Workspace(folder)

    def written(text, name="Mine", **parameters):
        (folder / "networks" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return workspace.describe(name, **parameters)

    return written
