"""Rows as a company has them in, one canonical history out."""
