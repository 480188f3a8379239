"""Looks: what the sources hold now."""

from typing import NamedTuple

from components.base import pipeline_component


@pipeline_component("data")
def fingerprint(source: str, tickets_source: str, as_of: str, scheduled: str, created: str) -> NamedTuple(
    "Looked", [("content", str), ("as_of", str)]
):  # type: ignore[valid-type]
    """Fingerprint the sources' content, so that the cached steps behind it run again when a source has changed in place, and settle as_of.

    Args:
        source: the transactions.
        tickets_source: the support tickets, or empty.
        as_of: the last moment of knowledge, or empty.
        scheduled: the time for which the run was scheduled.
        created: the time at which it was created.
    """
    from churn.data.fingerprint import fingerprint_sources, last_moment

    return (fingerprint_sources(source, tickets_source), last_moment(as_of, scheduled, created))
