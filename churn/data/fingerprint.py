"""What the sources hold now, and until when a run may know it."""

from datetime import datetime

from churn.platform import storage


def fingerprint_sources(source: str, tickets_source: str) -> str:
    """The content of the sources, as one string that changes with either."""
    return " ".join(storage.fingerprint(uri) for uri in (source, tickets_source) if uri)


def last_moment(as_of: str, scheduled: str, created: str) -> str:
    """The last moment of knowledge: what is asked for, else the scheduled time of a scheduled run, else '' for the end of the data.

    Args:
        as_of: the parameter.
        scheduled: the time for which the run was scheduled, as the orchestrator puts it in; where the run was not scheduled, it is the time of its
            creation, or nothing that is a time.
        created: the time of the run's creation, likewise.
    """
    return as_of or (scheduled if _is_moment(scheduled) and scheduled != created else "")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
