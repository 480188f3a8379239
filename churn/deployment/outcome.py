"""The outcome of a run: a small JSON under the pipeline root, written by promote and hold, read by notify. A scheduled run leaves it too."""

import json
from dataclasses import asdict, dataclass, field

from churn.platform import storage
from churn.platform.notify import notify


@dataclass(frozen=True)
class Outcome:
    """What a run came to. deployed: its model is live. reasons: why, or why not."""

    run: str
    line: str
    deployed: bool
    release: str
    live: str
    verdict: str
    reasons: list[str] = field(default_factory=list)


def _uri(pipeline_root: str, run: str) -> str:
    return f"{pipeline_root.rstrip('/')}/outcomes/{run}.json"


def write_outcome(pipeline_root: str, outcome: Outcome) -> None:
    """Write it whole."""
    storage.write_text(_uri(pipeline_root, outcome.run), json.dumps(asdict(outcome), indent=1) + "\n")


def read_outcome(pipeline_root: str, run: str) -> Outcome | None:
    """The outcome of a run; None where it came to none."""
    text = storage.read_text(_uri(pipeline_root, run))
    return Outcome(**json.loads(text)) if text else None


def message(run: str, state: str, error: str, outcome: Outcome | None) -> str:
    """What people are told at the end of a run, in one line."""
    if state != "SUCCEEDED":
        return f"run {run} FAILED: {' '.join(error.split()) or 'see its log'}"
    if outcome is None:
        return f"run {run} ended without an outcome"
    if outcome.deployed:
        return f"run {run}: {outcome.release} is live in {outcome.line}; {outcome.verdict}"
    return f"run {run}: held, {outcome.live or 'nothing'} stays live in {outcome.line}; {outcome.verdict}"


def notify_outcome(pipeline_root: str, run: str, state: str, error: str, *, webhook_env: str) -> str:
    """Say what a run came to; gives the message."""
    words = message(run, state, error, read_outcome(pipeline_root, run))
    notify(words, webhook_env=webhook_env)
    return words
