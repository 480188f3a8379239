"""Looks: what the sources hold now."""

from components.base import pipeline_component


@pipeline_component("data")
def fingerprint(source: str, tickets_source: str) -> str:
    """Fingerprint the sources' content, so that the cached steps behind it run again when a source has changed in place."""
    from churn.data.prepare import fingerprint_sources

    return fingerprint_sources(source, tickets_source)
