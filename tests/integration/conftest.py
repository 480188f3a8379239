"""What the tests of this folder share."""

from tests.clouds import impatient, inline_aws, inline_sandbox  # noqa: F401 (fixtures)
from tests.sandbox.conftest import gated_spec  # noqa: F401 (a fixture)
