"""ScheduleService: schedules that create pipeline jobs when they fall due on the sandbox's clock."""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2

from tests.sandbox.names import canonical, parent_of
from tests.sandbox.refusal import Refusal, invalid, precondition
from tests.sandbox.vertex import cron
from tests.sandbox.vertex.checks import apply_mask, check_display_name, copied, put
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.listing import page
from tests.sandbox.vertex.pipelines import ENDED, PipelineService

State = v1.Schedule.State
_KEYS = ("display_name", "state", "create_time", "update_time", "next_run_time", "start_time", "end_time")
_UPDATABLE = (
    *("display_name", "cron", "start_time", "end_time", "max_run_count", "create_pipeline_job_request"),
    *("max_concurrent_run_count", "allow_queueing"),
)


class ScheduleService:
    """The schedules, by name, and the runs that wait for a free place."""

    def __init__(self, context: Context, pipelines: PipelineService) -> None:
        self._context = context
        self._pipelines = pipelines
        self._schedules: dict[str, v1.Schedule] = {}
        self._queued: dict[str, list[dt.datetime]] = defaultdict(list)
        self._ids = itertools.count(1)
        pipelines.when_ended(self._a_job_ended)

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered."""
        return {
            "ScheduleService.CreateSchedule": self._create,
            "ScheduleService.GetSchedule": lambda request: copied(self._get(request.name)),
            "ScheduleService.ListSchedules": self._list,
            "ScheduleService.UpdateSchedule": self._update,
            "ScheduleService.PauseSchedule": self._pause,
            "ScheduleService.ResumeSchedule": self._resume,
            "ScheduleService.DeleteSchedule": self._delete,
        }

    def schedules(self) -> list[v1.Schedule]:
        """All of them."""
        return list(self._schedules.values())

    def next_due(self) -> dt.datetime | None:
        """The next time at which one falls due."""
        with self._context.lock:
            return min((each.next_run_time for each in self._schedules.values() if each.state == State.ACTIVE), default=None)

    def fire(self) -> None:
        """Run what is due by now."""
        with self._context.lock:
            now = self._context.now()
            for schedule in list(self._schedules.values()):
                while schedule.state == State.ACTIVE and schedule.next_run_time <= now:
                    due = schedule.next_run_time
                    schedule.next_run_time = cron.parse(schedule.cron).after(due)
                    self._due(schedule, due)
                    self._complete(schedule)

    def _due(self, schedule: v1.Schedule, due: dt.datetime) -> None:
        if self._running(schedule) < schedule.max_concurrent_run_count:
            self._run(schedule, due)
        elif schedule.allow_queueing:
            self._queued[schedule.name].append(due)
        else:
            self._responded(schedule, due, "SKIPPED: max_concurrent_run_count is reached and allow_queueing is false.")

    def _run(self, schedule: v1.Schedule, due: dt.datetime) -> None:
        request = copied(schedule.create_pipeline_job_request)
        spec_name = (
            request.pipeline_job.pipeline_spec["pipelineInfo"]["name"] if "pipelineInfo" in request.pipeline_job.pipeline_spec else "run"
        )
        request.pipeline_job_id = f"{spec_name[:80]}-{schedule.name.rpartition('/')[2]}-{due:%Y%m%d%H%M%S}"
        schedule.started_run_count += 1
        try:
            job = self._pipelines.create(request, schedule=schedule.name, scheduled=due)
        except Refusal as refusal:
            self._responded(schedule, due, f"{refusal.code}: {refusal.message}")
        else:
            self._responded(schedule, due, f"OK: {job.name}")

    def _responded(self, schedule: v1.Schedule, due: dt.datetime, text: str) -> None:
        put(schedule, last_scheduled_run_response=v1.Schedule.RunResponse(scheduled_run_time=due, run_response=text))
        self._context.say(f"schedule {schedule.display_name}, due {due:%Y-%m-%d %H:%M}: {text}")

    def _running(self, schedule: v1.Schedule) -> int:
        return sum(job.schedule_name == schedule.name and job.state not in ENDED for job in self._pipelines.jobs())

    def _a_job_ended(self, job: v1.PipelineJob) -> None:
        schedule = self._schedules.get(job.schedule_name)
        if schedule and schedule.state != State.PAUSED and self._queued[schedule.name]:
            self._run(schedule, self._queued[schedule.name].pop(0))

    def _complete(self, schedule: v1.Schedule) -> None:
        started = schedule.started_run_count + len(self._queued[schedule.name])
        over = schedule.end_time and schedule.next_run_time > schedule.end_time
        if over or (schedule.max_run_count and started >= schedule.max_run_count):
            schedule.state, schedule.next_run_time = State.COMPLETED, None

    def _create(self, request: Any) -> v1.Schedule:
        parent, schedule = parent_of(request.parent), copied(request.schedule)
        self._check(schedule)
        now = self._context.now()
        schedule.name = f"{parent}/schedules/{1000 + next(self._ids)}"
        put(schedule, create_time=now, update_time=now)
        schedule.start_time = schedule.start_time or now
        schedule.state, schedule.started_run_count = State.ACTIVE, 0
        schedule.next_run_time = self._following(schedule)
        self._complete(schedule)
        self._schedules[schedule.name] = schedule
        return copied(schedule)

    def _check(self, schedule: v1.Schedule) -> None:
        check_display_name(schedule.display_name, "schedule.display_name")
        cron.parse(schedule.cron)
        if schedule.max_concurrent_run_count < 1:
            raise invalid("schedule.max_concurrent_run_count: is required and at least 1.")
        if schedule.max_run_count < 0:
            raise invalid("schedule.max_run_count: should not be negative.")
        if schedule.end_time and schedule.end_time <= (schedule.start_time or self._context.now()):
            raise invalid("schedule.end_time: should be after start_time.")
        if not v1.Schedule.pb(schedule).HasField("create_pipeline_job_request"):
            raise invalid("schedule.create_pipeline_job_request: is required.")
        inner = schedule.create_pipeline_job_request
        parent_of(inner.parent)
        if inner.pipeline_job_id:
            raise invalid("schedule.create_pipeline_job_request.pipeline_job_id: should be empty; each run gets its own.")
        self._pipelines.checked(copied(inner.pipeline_job))

    def _following(self, schedule: v1.Schedule) -> dt.datetime:
        # A run may fall on the start time itself.
        return cron.parse(schedule.cron).after(max(self._context.now(), schedule.start_time - dt.timedelta(seconds=1)))

    def _get(self, name: str) -> v1.Schedule:
        schedule = self._schedules.get(canonical(name))
        if schedule is None:
            raise Refusal("NOT_FOUND", f"name: the Schedule {name!r} is not found.")
        return schedule

    def _list(self, request: Any) -> v1.ListSchedulesResponse:
        parent = parent_of(request.parent)
        mine = [each for each in self._schedules.values() if each.name.startswith(f"{parent}/")]
        schedules, token = page(mine, request, _KEYS)
        return v1.ListSchedulesResponse(schedules=schedules, next_page_token=token)

    def _update(self, request: Any) -> v1.Schedule:
        there = self._get(request.schedule.name)
        changed = copied(there)
        paths = apply_mask(changed, request.schedule, v1.UpdateScheduleRequest.pb(request).update_mask, _UPDATABLE)
        if there.state == State.COMPLETED:
            raise precondition(f"schedule.name: the Schedule {there.name!r} is COMPLETED and cannot be updated.")
        self._check(changed)
        put(changed, update_time=self._context.now())
        if paths & {"cron", "start_time", "end_time"}:
            changed.start_time = changed.start_time or changed.create_time
            changed.next_run_time = self._following(changed)
        self._complete(changed)
        self._schedules[there.name] = changed
        return copied(changed)

    def _pause(self, request: Any) -> empty_pb2.Empty:
        schedule = self._get(request.name)
        if schedule.state != State.ACTIVE:
            raise precondition(f"name: the Schedule {schedule.name!r} is {schedule.state.name}; only an ACTIVE one can be paused.")
        put(schedule, state=State.PAUSED, last_pause_time=self._context.now())
        return empty_pb2.Empty()

    def _resume(self, request: Any) -> empty_pb2.Empty:
        schedule = self._get(request.name)
        if schedule.state != State.PAUSED:
            raise precondition(f"name: the Schedule {schedule.name!r} is {schedule.state.name}; only a PAUSED one can be resumed.")
        put(schedule, state=State.ACTIVE, catch_up=request.catch_up, last_resume_time=self._context.now())
        if not request.catch_up:
            schedule.next_run_time = self._following(schedule)
        self._complete(schedule)
        return empty_pb2.Empty()

    def _delete(self, request: Any) -> Any:
        schedule = self._get(request.name)
        del self._schedules[schedule.name]
        self._queued.pop(schedule.name, None)
        return self._context.operations.done(schedule.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())
