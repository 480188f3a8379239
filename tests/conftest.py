"""Every test works in a workspace of its own, and reaches no service."""

import os

import pytest

for name in [each for each in os.environ if each.startswith(("CHURN_", "MLFLOW_TRACKING", "STORAGE_EMULATOR", "AWS_", "GOOGLE_"))]:
    os.environ.pop(name)
# No test asks a cloud's metadata server for credentials.
os.environ["NO_GCE_CHECK"] = "true"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    return tmp_path
