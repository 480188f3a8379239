"""What the tests of this folder share."""

import contextlib

import pytest

from tests.sandbox import Sandbox

ENVIRONMENTS = ("my-churn-dev", "my-churn-staging", "my-churn-production")


@pytest.fixture(scope="session")
def clouds(tmp_path_factory):
    """A cloud for each environment, by its project: they share nothing."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(Sandbox(tmp_path_factory.mktemp(name), servers="inline")) for name in ENVIRONMENTS}
