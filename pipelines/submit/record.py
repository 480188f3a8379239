"""A run's folder on the machine that submitted it: summary.json as tasks end, and what a person wants to keep."""

import contextlib
import json
import shutil
from typing import Any

from churn.platform import storage
from churn.platform.errors import ChurnError
from churn.platform.files import replace_link, write_json
from churn.platform.settings import workspace
from pipelines.submit.console import Progress
from pipelines.submit.local import TaskRecord
from pipelines.submit.summary import RunFacts, summarize

_KEPT = (("report", "report.html"), ("quality", "quality.html"), ("rejects", "rejected_rows.csv"))


class RunRecord:
    """runs/RUN_ID/, and runs/latest, which points at it."""

    def __init__(self, facts: RunFacts) -> None:
        self.facts = facts
        self.folder = workspace() / "runs" / facts.run_id
        self.records: list[TaskRecord] = []
        self.progress = Progress()

    def begin(self) -> None:
        """Write the summary of a run that has not ended, and make it the latest."""
        self.write(ended=False)
        replace_link(self.folder.parent / "latest", self.facts.run_id)

    def ended(self, record: TaskRecord) -> None:
        """A task ended."""
        self.records.append(record)
        self.progress.ended(record)
        self.write(ended=False)

    def write(self, *, ended: bool, error: str = "") -> dict[str, Any]:
        """Write summary.json whole; gives it."""
        summary = summarize(self.facts, self.records, ended=ended, error=error)
        write_json(self.folder / "summary.json", summary)
        return summary

    def keep(self) -> None:
        """What a person wants of a run, beside its summary: the report, the page on the data, the bad rows, an example request."""
        for record in self.records:
            for key, name in _KEPT:
                if isinstance(artifact := record.outputs.get(key), dict):
                    with contextlib.suppress(OSError, ChurnError):
                        self._copy(artifact["uri"], name)
            if isinstance(artifact := record.outputs.get("evaluation"), dict):
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ChurnError):
                    probe = json.loads(storage.read_text(f"{artifact['uri']}/probe.json") or "")
                    write_json(self.folder / "example.json", {"instances": probe["instances"][:2]})

    def _copy(self, uri: str, name: str) -> None:
        path = storage.fetch(uri, self.folder / ".fetched")
        shutil.move(path, self.folder / name) if storage.is_remote(uri) else shutil.copyfile(path, self.folder / name)
        shutil.rmtree(self.folder / ".fetched", ignore_errors=True)


def notify_failed(record: RunRecord, error: str) -> None:
    """Where the orchestrator itself died no exit handler ran."""
    from churn.platform.notify import notify

    notify(f"run {record.facts.run_id} FAILED: {error}", webhook_env=str(record.facts.parameters.get("webhook_env", "")))
