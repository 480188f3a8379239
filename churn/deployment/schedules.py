"""Schedules on Vertex AI: made what configs/schedules.yaml says, known by their names, never doubled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import Field

from churn.platform.checked import Checked
from churn.platform.google import asked, timeout, vertex_client
from churn.platform.retries import retried

T = TypeVar("T")
_PREFIX = "churn-"
_CRON = r"^(TZ=[A-Za-z_]+(/[A-Za-z_+-]+)* |CRON_TZ=[A-Za-z_]+(/[A-Za-z_+-]+)* )?(\S+ ){4}\S+$"


class SchedulePolicy(Checked):
    """One schedule of configs/schedules.yaml. cron: five fields, with TZ=ZONE before them. params: over what submit would send."""

    pipeline: str
    cron: str = Field(pattern=_CRON)
    max_concurrent_runs: int = Field(1, ge=1)
    paused: bool = False
    params: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """What a schedule is there, what it should be, and what a sync does about it."""

    name: str
    action: Literal["create", "update", "pause", "resume", "delete", "none"]
    words: str


class Schedules:
    """The schedules of this project, by name."""

    def __init__(self, project: str, region: str) -> None:
        self._parent = f"projects/{project}/locations/{region}"
        with asked("look at Vertex AI"):
            self._client = vertex_client("ScheduleServiceClient", region)

    def there(self) -> dict[str, list[Any]]:
        """Those that are there and ours, by name; more than one of a name only where somebody made them by hand."""
        found = self._call(
            "list schedules", lambda: list(self._client.list_schedules({"parent": self._parent}, retry=None, timeout=timeout()))
        )
        named: dict[str, list[Any]] = {}
        for schedule in sorted(found, key=lambda each: each.create_time.timestamp() if each.create_time else 0):
            if schedule.display_name.startswith(_PREFIX) and schedule.state.name != "COMPLETED":
                named.setdefault(schedule.display_name.removeprefix(_PREFIX), []).append(schedule)
        return named

    def compare(self, name: str, policy: SchedulePolicy | None, job: dict[str, Any]) -> list[Difference]:
        """What a sync of one schedule would do; without a policy, what is there is one too many."""
        found = self.there().get(name, [])
        if policy is None:
            return [Difference(name, "delete", "is not in configs/schedules.yaml")] if found else []
        differences = [Difference(name, "delete", "stands twice")] if len(found) > 1 else []
        if not found:
            return [Difference(name, "create", f"is not there; {policy.cron}")]
        return differences + _differences(name, found[0], policy, job) or [
            Difference(name, "none", f"is as it should be; {_state(found[0])}")
        ]

    def sync(self, name: str, policy: SchedulePolicy | None, job: dict[str, Any]) -> list[Difference]:
        """Do it; gives what was done."""
        done = self.compare(name, policy, job)
        for difference in done:
            found = self.there().get(name, [])
            self._act(difference.action, name, policy, job, found)
        return done

    def _act(self, action: str, name: str, policy: SchedulePolicy | None, job: dict[str, Any], found: list[Any]) -> None:
        if action == "delete":
            for extra in found if policy is None else found[1:]:
                self._call(
                    f"delete the schedule {name}",
                    lambda extra=extra: self._client.delete_schedule({"name": extra.name}, retry=None, timeout=timeout()).result(60),  # type: ignore[misc]
                )
            return
        if policy is None or action == "none":
            return
        if action == "create":
            self._call(f"create the schedule {name}", lambda: self._create(name, policy, job))
            found = self.there()[name]
            action = "pause" if policy.paused else "none"
        request = {"name": found[0].name}
        if action == "update":
            self._call(f"update the schedule {name}", lambda: self._update(found[0], policy, job))
        if action == "pause":
            self._call(f"pause the schedule {name}", lambda: self._client.pause_schedule(request, retry=None, timeout=timeout()))
        if action == "resume":
            self._call(f"resume the schedule {name}", lambda: self._client.resume_schedule(request, retry=None, timeout=timeout()))

    def _create(self, name: str, policy: SchedulePolicy, job: dict[str, Any]) -> None:
        if not self.there().get(name):  # a call whose answer was lost has made it
            schedule = self._message(name, policy, job)
            self._client.create_schedule(parent=self._parent, schedule=schedule, retry=None, timeout=timeout())

    def _update(self, there: Any, policy: SchedulePolicy, job: dict[str, Any]) -> None:
        changed = self._message(there.display_name.removeprefix(_PREFIX), policy, job)
        changed.name = there.name
        paths = ["cron", "max_concurrent_run_count", "create_pipeline_job_request"]
        self._client.update_schedule(schedule=changed, update_mask={"paths": paths}, retry=None, timeout=timeout())

    def _message(self, name: str, policy: SchedulePolicy, job: dict[str, Any]) -> Any:
        from google.cloud import aiplatform_v1 as api

        return api.Schedule(
            display_name=f"{_PREFIX}{name}",
            cron=policy.cron,
            max_concurrent_run_count=policy.max_concurrent_runs,
            allow_queueing=False,
            create_pipeline_job_request=api.CreatePipelineJobRequest(parent=self._parent, pipeline_job=_job(job)),
        )

    def _call(self, what: str, call: Callable[[], T]) -> T:
        with asked(what):
            return retried(call)


def _job(job: dict[str, Any]) -> Any:
    from google.cloud import aiplatform_v1 as api
    from google.protobuf import json_format

    return api.PipelineJob.wrap(json_format.ParseDict(job, api.PipelineJob.pb(api.PipelineJob())))


def _differences(name: str, there: Any, policy: SchedulePolicy, job: dict[str, Any]) -> list[Difference]:
    wrong = []
    if there.cron != policy.cron:
        wrong.append(f"cron {there.cron} should be {policy.cron}")
    if there.max_concurrent_run_count != policy.max_concurrent_runs:
        wrong.append(f"{there.max_concurrent_run_count} runs at once should be {policy.max_concurrent_runs}")
    before, after = there.create_pipeline_job_request.pipeline_job, _job(job)
    if before.labels.get("churn_call") != after.labels.get("churn_call"):
        wrong.append("the spec or its parameters have changed")
    updates = [Difference(name, "update", "; ".join(wrong))] if wrong else []
    paused = there.state.name == "PAUSED"
    if paused != policy.paused:
        updates.append(Difference(name, "resume" if paused else "pause", f"is {'paused' if paused else 'active'}"))
    return updates


def _state(there: Any) -> str:
    upcoming = f", next {there.next_run_time.isoformat(timespec='minutes')}" if there.next_run_time else ""
    return (
        f"{there.state.name.lower()}, {there.cron}, {there.started_run_count} runs so far{upcoming if there.state.name == 'ACTIVE' else ''}"
    )
