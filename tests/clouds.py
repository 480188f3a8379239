"""The clouds on loopback as fixtures: one sandbox for a session, emptied for each test that asks for it."""

import time
from types import SimpleNamespace

import pytest

from churn.platform.retries import Backoff
from tests.sandbox import Sandbox
from tests.sandbox.aws import Aws

PROJECT = {"project": "sandbox", "region": "us-central1", "image": "us-central1-docker.pkg.dev/sandbox/churn/churn-server:1"}
BUCKET = "sandbox-bucket"


@pytest.fixture(scope="session")
def inline_sandbox(tmp_path_factory):
    """Vertex AI and Cloud Storage whose deployed models answer without a process."""
    with Sandbox(tmp_path_factory.mktemp("sandbox"), servers="inline") as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def inline_aws(tmp_path_factory):
    """SageMaker and S3, likewise."""
    with Aws(tmp_path_factory.mktemp("aws"), servers="inline") as aws:
        yield aws


@pytest.fixture
def impatient(monkeypatch):
    """Retries that do not wait, and polls that hardly do."""
    sleep = time.sleep
    monkeypatch.setattr(Backoff, "wait", lambda self, number: 0.0)
    monkeypatch.setattr(
        "churn.platform.retries.time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda wait: sleep(min(wait, 0.005)))
    )
    monkeypatch.setenv("CHURN_API_TIMEOUT", "5")


def point_at(monkeypatch, variables: dict[str, str]) -> None:
    """Point this process at a cloud."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
