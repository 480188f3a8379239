"""Vertex AI and Cloud Storage on loopback: the real wire protocols, with no account, executing what is submitted."""

from tests.sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]
