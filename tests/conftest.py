"""Every test works in a workspace of its own, and reaches no service."""

import os
from pathlib import Path

import pytest

from tools.counted import least, too_few

for name in [each for each in os.environ if each.startswith(("CHURN_", "MLFLOW_TRACKING", "STORAGE_EMULATOR", "AWS_", "GOOGLE_"))]:
    os.environ.pop(name)
# No test asks a cloud's metadata server for credentials.
os.environ["NO_GCE_CHECK"] = "true"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    return tmp_path


def pytest_collection_finish(session):
    """A whole run that finds fewer tests than there were fails: a suite that is collected wrongly is green, and says nothing."""
    asked = [Path(each).resolve() for each in session.config.args]
    chosen = session.config.option.keyword or session.config.option.markexpr or session.config.option.collectonly
    if asked != [Path(__file__).parent] or chosen:
        return
    if wrong := too_few(len(session.items), least()):
        raise pytest.UsageError(wrong)
