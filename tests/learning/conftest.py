"""A workspace that learns Iris."""

import pytest
from workspaces import workspace_of


@pytest.fixture
def workspace(tmp_path):
    return workspace_of(tmp_path)
