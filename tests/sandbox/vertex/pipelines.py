"""PipelineService: jobs, checked as the service checks them, and executed."""

import datetime as dt
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2, json_format
from google.rpc import status_pb2

from tests.sandbox.names import PROJECT_NUMBER, canonical, parent_of
from tests.sandbox.refusal import Refusal, invalid, precondition
from tests.sandbox.storage.buckets import split
from tests.sandbox.vertex import specs
from tests.sandbox.vertex.checks import check_display_name, check_labels, copied, put
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.executor import Executor
from tests.sandbox.vertex.listing import page
from tests.sandbox.vertex.tasks import TaskDetails

State = v1.PipelineState
ENDED = (State.PIPELINE_STATE_SUCCEEDED, State.PIPELINE_STATE_FAILED, State.PIPELINE_STATE_CANCELLED)
_ID = re.compile(r"[a-z][a-z0-9-]{0,127}")
_KEYS = (
    "name",
    "display_name",
    "pipeline_name",
    "state",
    "create_time",
    "update_time",
    "end_time",
    "start_time",
    "labels",
    "schedule_name",
)


class PipelineService:
    """The jobs, by name."""

    def __init__(self, context: Context, executor: Executor, template: Callable[[str], tuple[dict[str, Any], str]]) -> None:
        self._context = context
        self._executor = executor
        self._template = template
        self._jobs: dict[str, v1.PipelineJob] = {}
        self._ended: list[Callable[[v1.PipelineJob], None]] = []

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered."""
        return {
            "PipelineService.CreatePipelineJob": self.create,
            "PipelineService.GetPipelineJob": lambda request: copied(self._get(request.name)),
            "PipelineService.ListPipelineJobs": self._list,
            "PipelineService.CancelPipelineJob": self._cancel,
            "PipelineService.DeletePipelineJob": self._delete,
        }

    def when_ended(self, told: Callable[[v1.PipelineJob], None]) -> None:
        """Whom to tell of each job's end."""
        self._ended.append(told)

    def jobs(self) -> list[v1.PipelineJob]:
        """All of them."""
        return list(self._jobs.values())

    def busy(self) -> bool:
        """Whether one runs."""
        with self._context.lock:
            return any(job.state not in ENDED for job in self._jobs.values())

    def create(self, request: Any, schedule: str = "", scheduled: dt.datetime | None = None) -> v1.PipelineJob:
        """CreatePipelineJob; with a schedule's name and the time that it stood for, where it is the schedule that calls."""
        parent = parent_of(request.parent)
        job = copied(request.pipeline_job)
        spec, values = self.checked(job)
        if request.pipeline_job_id and not _ID.fullmatch(request.pipeline_job_id):
            raise invalid(f"pipeline_job_id: {request.pipeline_job_id!r} should match {_ID.pattern}.")
        identity = request.pipeline_job_id or f"{spec['pipelineInfo']['name'][:100]}-{random.randrange(10**12)}"
        name = f"{parent}/pipelineJobs/{identity}"
        if name in self._jobs:
            raise Refusal("ALREADY_EXISTS", f"pipeline_job_id: the PipelineJob {name!r} already exists.")
        now = self._context.now()
        put(job, name=name, schedule_name=schedule, create_time=now, update_time=now)
        put(job, state=State.PIPELINE_STATE_PENDING, pipeline_spec=spec)
        self._start(job, spec, values, scheduled or now)
        self._jobs[name] = job
        return copied(job)

    def checked(self, job: v1.PipelineJob) -> tuple[dict[str, Any], dict[str, Any]]:
        """The spec and every parameter's value.

        Raises:
            Refusal: the job is not one that can be run.
        """
        check_display_name(job.display_name, "pipeline_job.display_name")
        check_labels(job.labels, "pipeline_job.labels")
        raw = v1.PipelineJob.pb(job)
        if job.template_uri and not raw.pipeline_spec.fields:
            template, version = self._template(job.template_uri)
            json_format.ParseDict(template, raw.pipeline_spec)
            job.template_metadata.version = version
        spec = specs.parsed(raw.pipeline_spec)
        root = job.runtime_config.gcs_output_directory or spec.get("defaultPipelineRoot", "")
        if not re.fullmatch(r"gs://[^/]+(/.*)?", root):
            raise invalid(f"pipeline_job.runtime_config.gcs_output_directory: should be gs://BUCKET/FOLDER, not {root!r}.")
        if split(root)[0] not in self._context.buckets.names():
            raise precondition(f"pipeline_job.runtime_config.gcs_output_directory: the bucket of {root!r} does not exist.")
        job.runtime_config.gcs_output_directory = root
        if raw.runtime_config.parameters:
            raise invalid("pipeline_job.runtime_config.parameters: is for schema 2.0.0 before KFP 2; use parameter_values.")
        given = {name: json_format.MessageToDict(value) for name, value in raw.runtime_config.parameter_values.items()}
        return spec, specs.arguments(spec, given)

    def _start(self, job: v1.PipelineJob, spec: dict[str, Any], values: dict[str, Any], scheduled: dt.datetime) -> None:
        root, identity = job.runtime_config.gcs_output_directory.rstrip("/"), job.name.rpartition("/")[2]
        placeholders = {
            "pipeline_root": root,
            "pipeline_job_name": identity,
            "pipeline_job_resource_name": job.name,
            "pipeline_job_uuid": str(uuid.uuid4().int % 10**19),
            "pipeline_job_create_time_utc": _stamp(job.create_time),
            "pipeline_job_schedule_time_utc": _stamp(scheduled),
        }
        watcher = _JobWatcher(self, job, TaskDetails(spec, self._context.now))
        outputs = f"{root}/{PROJECT_NUMBER}/{identity}"
        job.start_time, job.state = self._context.now(), State.PIPELINE_STATE_RUNNING
        self._executor.start(identity, specs.filled(spec, placeholders), values, outputs, watcher)
        self._context.say(f"pipeline job {identity} started")

    def change(self, job: v1.PipelineJob, details: TaskDetails) -> None:
        """A task began or ended."""
        with self._context.lock:
            job.job_detail.task_details = details.all()
            put(job, update_time=self._context.now())

    def finish(self, job: v1.PipelineJob, details: TaskDetails, error: str | None) -> None:
        """The job's process ended."""
        with self._context.lock:
            cancelled = job.state == State.PIPELINE_STATE_CANCELLING
            job.job_detail.task_details = details.closed(cancelled)
            failed = [detail.task_name for detail in job.job_detail.task_details if detail.state == v1.PipelineTaskDetail.State.FAILED]
            if cancelled:
                job.state, job.error = State.PIPELINE_STATE_CANCELLED, status_pb2.Status(code=1, message="The pipeline job was cancelled.")
            elif failed or error:
                why = f"The DAG failed because some tasks failed. The failed tasks are: [{', '.join(failed)}]." if failed else error
                text = (
                    f"{why}; Job (project_id = {PROJECT_NUMBER}, job_id = {job.name.rpartition('/')[2]}) is failed due to the above error."
                )
                job.state, job.error = State.PIPELINE_STATE_FAILED, status_pb2.Status(code=9, message=text)
            else:
                job.state = State.PIPELINE_STATE_SUCCEEDED
            now = self._context.now()
            put(job, end_time=now, update_time=now)
            self._context.say(f"pipeline job {job.name.rpartition('/')[2]} ended: {job.state.name} {job.error.message}".rstrip())
            for told in self._ended:
                told(job)

    def _get(self, name: str) -> v1.PipelineJob:
        job = self._jobs.get(canonical(name))
        if job is None:
            raise Refusal("NOT_FOUND", f"name: the PipelineJob {name!r} is not found.")
        return job

    def _list(self, request: Any) -> v1.ListPipelineJobsResponse:
        parent = parent_of(request.parent)
        mine = [job for job in self._jobs.values() if job.name.startswith(f"{parent}/")]
        jobs, token = page(mine, request, _KEYS)
        return v1.ListPipelineJobsResponse(pipeline_jobs=jobs, next_page_token=token)

    def _cancel(self, request: Any) -> empty_pb2.Empty:
        job = self._get(request.name)
        if job.state in ENDED:
            raise precondition(f"name: the PipelineJob {job.name!r} is in state {job.state.name} and cannot be cancelled.")
        if job.state != State.PIPELINE_STATE_CANCELLING:
            job.state = State.PIPELINE_STATE_CANCELLING
            self._context.beside(lambda: self._executor.end(job.name.rpartition("/")[2]))
        return empty_pb2.Empty()

    def _delete(self, request: Any) -> Any:
        job = self._get(request.name)
        if job.state not in ENDED:
            raise precondition(f"name: the PipelineJob {job.name!r} is in state {job.state.name}; cancel it before it is deleted.")
        del self._jobs[job.name]
        return self._context.operations.done(job.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())


class _JobWatcher:
    """Writes what the executor says of a job into it."""

    def __init__(self, service: PipelineService, job: v1.PipelineJob, details: TaskDetails) -> None:
        self._service = service
        self._job = job
        self._details = details

    def started(self, task: str) -> None:
        self._details.started(task)
        self._service.change(self._job, self._details)

    def ended(self, record: dict[str, Any]) -> None:
        self._details.ended(record)
        self._service.change(self._job, self._details)

    def finished(self, error: str | None) -> None:
        self._service.finish(self._job, self._details, error)


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
