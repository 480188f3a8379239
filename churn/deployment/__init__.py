"""Releases, and what is live."""
