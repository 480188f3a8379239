"""summary.json: what a run came to, as one pure function over the record of its tasks."""

from dataclasses import dataclass
from typing import Any

from pipelines.submit.local import TaskRecord

UNFINISHED = "the run has not ended: it is running still, or it was killed"


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first task."""

    run_id: str
    pipeline: str
    target: str
    parameters: dict[str, Any]
    git_commit: str
    spec_sha256: str
    image: str
    tasks: list[str]


def summarize(facts: RunFacts, records: list[TaskRecord], *, ended: bool, error: str = "") -> dict[str, Any]:
    """The summary of a run from the record of its tasks.

    Args:
        facts: what was known before it began.
        records: of the tasks that have ended, in that order.
        ended: whether the run has; until then it counts as failed, so that a killed run never reads as a good one.
        error: what the orchestrator said, where it failed itself.
    """
    by_name = {record.name: record for record in records}
    failed = [record for record in records if record.state == "failed"]
    why = error or (f"{failed[0].name}: {failed[0].error}" if failed else "" if ended else UNFINISHED)
    judgement = _metadata(by_name, "judge", "judgement")
    auc_pr = _output(by_name, "evaluate", "Output")
    threshold = facts.parameters.get("min_auc_pr")
    return {
        "run_id": facts.run_id,
        "pipeline": facts.pipeline,
        "target": facts.target,
        "status": "succeeded" if ended and not why else "failed",
        "error": why or None,
        "metrics": _metrics(by_name),
        "gate": {"passed": _passed(judgement, auc_pr, threshold), "threshold": threshold, "reasons": list(judgement.get("reasons", []))},
        "deployment": _deployment(facts, by_name),
        "data": _data(facts, by_name),
        "tasks": [_task(by_name.get(name, TaskRecord(name, "skipped"))) for name in _order(facts.tasks, records)],
        "provenance": {
            "git_commit": facts.git_commit,
            "spec_sha256": facts.spec_sha256,
            "image": facts.image,
            "data_fingerprint": _output(by_name, "fingerprint", "content"),
            "model_sha256": _output(by_name, "train", "Output"),
        },
        "parameters": facts.parameters,
    }


def _order(expected: list[str], records: list[TaskRecord]) -> list[str]:
    ended = [record.name for record in records]
    waiting = [name for name in expected if name not in ended]
    return ended + waiting


def _task(record: TaskRecord) -> dict[str, Any]:
    task = {"name": record.name, "state": record.state, "seconds": round(record.seconds, 3)}
    return task | ({"error": record.error} if record.error else {})


def _output(by_name: dict[str, TaskRecord], task: str, key: str) -> Any:
    return by_name[task].outputs.get(key) if task in by_name else None


def _metadata(by_name: dict[str, TaskRecord], task: str, key: str) -> dict[str, Any]:
    artifact = _output(by_name, task, key)
    return dict(artifact["metadata"]) if artifact else {}


def _metrics(by_name: dict[str, TaskRecord]) -> dict[str, Any]:
    """The evaluation's figures; the ones that everybody asks for are there even where they are undefined (null)."""
    always = dict.fromkeys(("auc_pr", "auc_roc", "f1_optimal", "recall_top10pct", "base_rate"))
    trained = _metadata(by_name, "train", "metrics")
    chosen = {name: trained[name] for name in ("rounds", "validation_auc_pr") if name in trained}
    return always | {name: value for name, value in _metadata(by_name, "evaluate", "metrics").items() if name != "display_name"} | chosen


def _passed(judgement: dict[str, Any], auc_pr: Any, threshold: Any) -> bool:
    reaches = auc_pr is not None and threshold is not None and auc_pr >= threshold
    return bool(reaches and judgement.get("approved") is True)


def _deployment(facts: RunFacts, by_name: dict[str, TaskRecord]) -> dict[str, Any]:
    live = _output(by_name, "find-champion", "release") or None
    promoted = _output(by_name, "promote", "Output") is True
    release = _output(by_name, "deploy", "Output")
    return {
        "deployed": promoted,
        "target": facts.parameters.get("target", facts.target),
        "line": _output(by_name, "find-champion", "line"),
        "release": release if promoted else None,
        "live": release if promoted else live,
        "was_live": live,
        "registered_version": _output(by_name, "register", "Output") or None,
        "tracked_run": _output(by_name, "track", "Output") or None,
    }


def _data(facts: RunFacts, by_name: dict[str, TaskRecord]) -> dict[str, Any]:
    counts = _metadata(by_name, "prepare", "metrics")
    said = _metadata(by_name, "prepare", "history")
    names = ("rows", "rejected_rows", "duplicate_rows", "customers", "purchases")
    return {
        "source": facts.parameters.get("source"),
        **{name: int(counts[name]) if name in counts else None for name in names},
        "fingerprint": _output(by_name, "fingerprint", "content"),
        "known_until": said.get("known_until"),
        "warnings": list(said.get("warnings", [])),
    }
