"""Vertex AI and Cloud Storage on loopback: the real wire protocols, with no account, executing what is submitted."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Looked up when it is asked for: a job's process (tests.sandbox.execute) is in this package too, and needs none of the cloud SDKs.
    if name == "Sandbox":
        from tests.sandbox.sandbox import Sandbox

        return Sandbox
    raise AttributeError(name)
