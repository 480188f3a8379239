"""Vertex AI's state and rules, one module a service; the fronts stand before it."""
