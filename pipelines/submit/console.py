"""What a person sees of a run: a line for each task as it ends, and a summary at a glance."""

import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

from pipelines.submit.local import TaskRecord

_MARKS = {"succeeded": "✓", "cached": "↺", "failed": "✗", "skipped": "·"}


class Progress:
    """Live progress by task."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._live = self._out.isatty()

    def started(self, name: str) -> None:
        """A task began: shown only where the line can be written over."""
        if self._live:
            self._say(f"\r  … {name:<14}", end="")

    def ended(self, record: TaskRecord) -> None:
        """A task ended."""
        time = "cached" if record.state == "cached" else f"{record.seconds:6.1f} s"
        error = f"  {record.error}" if record.error else ""
        self._say(f"{chr(13) if self._live else ''}  {_MARKS[record.state]} {record.name:<14} {time:>8}{error}")

    def _say(self, text: str, end: str = "\n") -> None:
        print(text, end=end, file=self._out, flush=True)


def glance(summary: dict[str, Any], folder: Path, seconds: float, *, logs: str = "") -> str:
    """The summary of a run, for a person; `logs`: where its logs are, if not in its folder."""
    lines = [""]
    skipped = [task["name"] for task in summary["tasks"] if task["state"] == "skipped"]
    if skipped:
        lines.append(f"  not run: {', '.join(skipped)}")
    lines += [f"  {name:<10} {text}" for name, text in _parts(summary, folder, seconds, logs or str(folder / "logs")) if text]
    return "\n".join(lines)


def _parts(summary: dict[str, Any], folder: Path, seconds: float, logs: str) -> list[tuple[str, str]]:
    deployment, data = summary["deployment"], summary["data"]
    parts = [("run", f"{summary['run_id']}: {summary['status']} in {seconds:.1f} s")]
    if summary["error"]:
        parts += [("error", summary["error"]), ("logs", logs)]
    parts += [("data", _data(data)), *(("", warning) for warning in data["warnings"]), ("model", _model(summary["metrics"]))]
    parts += [("verdict", _verdict(summary))]
    parts += [
        ("live", f"{deployment['live'] or 'nothing'} in {deployment['line']}" + _moved(deployment)) if deployment["line"] else ("", "")
    ]
    if (folder / "report.html").exists():
        parts.append(("report", str(folder / "report.html")))
    if deployment["live"] and (folder / "example.json").exists():
        commands = _try(summary, folder / "example.json")
        parts += [("" if number else "try it", command) for number, command in enumerate(commands)]
    return parts


def _try(summary: dict[str, Any], example: Path) -> list[str]:
    """How to ask the model that is live, on its target."""
    line, target = summary["deployment"]["line"], summary["deployment"]["target"]
    if target == "local":
        body = shlex.quote(f"@{example}")
        return [f"churn serve --line {line} &", f"curl -s -H 'Content-Type: application/json' -d {body} http://127.0.0.1:8080/predict"]
    listed = f"churn release list --line {line} --target {target}"
    serving = summary["parameters"].get("serving", {})
    if target == "vertex":
        where = f"--project {serving.get('project')} --region {serving.get('region')}"
        return [listed, f"gcloud ai endpoints predict churn-{line} {where} --json-request {shlex.quote(str(example))}"]
    return [listed]


def _moved(deployment: dict[str, Any]) -> str:
    if not deployment["deployed"]:
        return " (unchanged)" if deployment["live"] else ""
    if deployment["was_live"] == deployment["live"]:
        return " (already live)"
    return f" (was {deployment['was_live'] or 'nothing'})"


def _data(data: dict[str, Any]) -> str:
    if data["rows"] is None:
        return ""
    bad = f", {data['rejected_rows']:,} bad set aside" if data["rejected_rows"] else ""
    repeated = f", {data['duplicate_rows']:,} repeats dropped" if data["duplicate_rows"] else ""
    return f"{data['rows']:,} rows{bad}{repeated}, {data['customers']:,} customers, known until {data['known_until'][:10]}"


def _model(metrics: dict[str, Any]) -> str:
    if metrics["auc_pr"] is None:
        return "auc_pr undefined" if metrics["base_rate"] is not None else ""
    span = f" [{metrics['auc_pr_low']:.4f}, {metrics['auc_pr_high']:.4f}]" if metrics.get("auc_pr_low") is not None else ""
    return f"auc_pr {metrics['auc_pr']:.4f}{span} · recency alone {metrics['recency_auc_pr']:.4f} · base rate {metrics['base_rate']:.4f}"


def _verdict(summary: dict[str, Any]) -> str:
    gate = summary["gate"]
    return f"gate {'open' if gate['passed'] else 'closed'}: {'; '.join(gate['reasons'])}" if gate["reasons"] else ""
