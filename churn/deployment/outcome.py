"""The outcome of a run: a small JSON under the pipeline root that says what summary.json says. A scheduled run, which has no submit, leaves it too."""

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from churn.platform import storage
from churn.platform.notify import notify


@dataclass(frozen=True)
class Outcome:
    """What a run came to, under the names of summary.json. verdict: the judge's in one line."""

    run_id: str
    status: str
    error: str | None = None
    verdict: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    deployment: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def _uri(pipeline_root: str, run: str) -> str:
    return f"{pipeline_root.rstrip('/')}/outcomes/{run}.json"


def write_outcome(pipeline_root: str, outcome: Outcome) -> None:
    """Write it whole."""
    storage.write_text(_uri(pipeline_root, outcome.run_id), json.dumps(asdict(outcome), indent=1) + "\n")


def read_outcome(pipeline_root: str, run: str) -> Outcome | None:
    """The outcome of a run; None where it came to none."""
    text = storage.read_text(_uri(pipeline_root, run))
    return Outcome(**json.loads(text)) if text else None


def message(run: str, state: str, error: str, outcome: Outcome | None, job: str = "") -> str:
    """What people are told at the end of a run, in one line; `job`: its resource name on Vertex AI, for a link to where it can be seen."""
    if state != "SUCCEEDED":
        link = _link(job)
        return f"run {run} FAILED: {' '.join(error.split()) or 'see its log'}{f' {link}' if link else ''}"
    if outcome is None:
        return f"run {run} ended without an outcome"
    live, line = outcome.deployment["live"] or "nothing", outcome.deployment["line"]
    if outcome.deployment["deployed"]:
        return f"run {run}: {live} is live in {line}; {outcome.verdict}"
    return f"run {run}: held, {live} stays live in {line}; {outcome.verdict}"


def _link(job: str) -> str:
    match = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)/pipelineJobs/([^/]+)", job)
    if match is None:
        return ""
    project, region, name = match.groups()
    return f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{region}/runs/{name}?project={project}"


def notify_outcome(pipeline_root: str, run: str, state: str, error: str, *, webhook_env: str, job: str = "") -> str:
    """Say what a run came to, and leave that it failed where it did; gives the message."""
    outcome = read_outcome(pipeline_root, run)
    words = message(run, state, error, outcome, job)
    if state != "SUCCEEDED":
        # What a step before wrote (a promotion whose last call failed, say) stays in it, under a status that is true.
        kept = asdict(outcome) if outcome else {}
        write_outcome(pipeline_root, Outcome(**{**kept, "run_id": run, "status": "failed", "error": words}))
    notify(words, webhook_env=webhook_env)
    return words
