"""Every test works in a workspace of its own, and reaches no service."""

import os

import pytest

for name in ("MLFLOW_TRACKING_URI", "CHURN_TARGET", "CHURN_WORKSPACE", "CHURN_WEBHOOK_URL"):
    os.environ.pop(name, None)
# No test asks a cloud's metadata server for credentials.
os.environ["NO_GCE_CHECK"] = "true"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    return tmp_path
