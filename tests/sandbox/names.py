"""Resource names: what was asked for by project id or number is one thing, and is answered with the number, as the service does."""

import re

from tests.sandbox.refusal import invalid

PROJECT = "sandbox"
PROJECT_NUMBER = "123456789012"
REGION = "us-central1"
BUCKET = "sandbox-bucket"
MANAGED = "sandbox-managed"  # the service's own


def canonical(name: str) -> str:
    """A resource's name with the project's number."""
    return re.sub(r"^projects/[^/]+/", f"projects/{PROJECT_NUMBER}/", name)


def parent_of(parent: str) -> str:
    """A parent, checked."""
    if not re.fullmatch(r"projects/[^/]+/locations/[a-z0-9-]+", parent):
        raise invalid(f"parent: {parent!r} should be projects/PROJECT/locations/LOCATION.")
    return canonical(parent)
