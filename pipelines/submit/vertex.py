"""A run on Vertex AI Pipelines: built with the SDK's PipelineJob, sent with its service client, watched task by task.

PipelineJob.submit is not used: it looks for the bucket, makes one that is missing and edits its permissions in silence, and it has no key against doubling.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from churn.platform import storage
from churn.platform.errors import ConfigError, StateError
from churn.platform.files import sha256_file, sha256_json
from churn.platform.google import asked, sdk, timeout, vertex_client
from churn.platform.retries import retried
from churn.platform.settings import VertexEnvironment
from pipelines.submit.local import TaskRecord
from pipelines.submit.record import RunRecord, notify_failed
from pipelines.submit.spec import Spec

_CALL = "churn_call"  # the label that says which spec with which parameters a job runs
_STATES = {"SUCCEEDED": "succeeded", "SKIPPED": "cached", "FAILED": "failed", "CANCELLED": "failed"}
_OVER = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")
_LONGEST_POLL = 10.0  # seconds
_SOURCES = ("source", "tickets_source")


@dataclass(frozen=True)
class Request:
    """What is sent: the parent, the pipeline job as JSON, and the hash that says which spec with which parameters it is."""

    parent: str
    job: dict[str, Any]
    call: str


def sources_in_bucket(values: dict[str, Any], environment: VertexEnvironment) -> tuple[dict[str, Any], dict[str, str]]:
    """The parameters with each local source under its hash in the bucket; and which file goes to which object.

    Raises:
        ConfigError: a local source that is not there.
    """
    values, uploads = dict(values), {}
    for name in _SOURCES:
        path = values.get(name, "")
        if not path or storage.is_remote(path):
            continue
        if not Path(path).is_file():
            raise ConfigError(f"{name}: {path} is no file; give one, or a gs:// URI, with --param {name}=…")
        values[name] = f"gs://{environment.bucket}/sources/{sha256_file(path)}/{Path(path).name}"
        uploads[path] = values[name]
    return values, uploads


def build(spec: Spec, values: dict[str, Any], environment: VertexEnvironment, *, labels: dict[str, str], caching: bool) -> Request:
    """The pipeline job for a spec and its parameters.

    Args:
        spec: with the references of real images.
        values: every parameter.
        environment: project, region, bucket, service account, network, key, failure policy.
        labels: more labels: commit, reason.
        caching: False runs every step again.
    """
    from google.auth.credentials import AnonymousCredentials

    # The bucket and the key are part of what a call is: the same run for another environment is another run.
    places = {name: getattr(environment, name) for name in ("project", "region", "pipeline_root", "service_account", "kms_key")}
    call = sha256_json([spec.text, values, places, caching])[:16]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(spec.text)
        file.flush()
        job = (
            sdk("aiplatform")
            .PipelineJob(
                display_name=f"churn-{spec.name}",
                template_path=file.name,
                pipeline_root=environment.pipeline_root,
                parameter_values=values,
                # None leaves each task its own setting; True would switch on what must never be cached.
                enable_caching=None if caching else False,
                encryption_spec_key_name=environment.kms_key or None,
                labels=labels | {_CALL: call},
                failure_policy=environment.failure_policy,
                project=environment.project,
                location=environment.region,
                credentials=AnonymousCredentials(),  # it is built, not sent
            )
            .to_dict()
        )
    more = {"serviceAccount": environment.service_account, "network": environment.network}
    return Request(f"projects/{environment.project}/locations/{environment.region}", job | {k: v for k, v in more.items() if v}, call)


class VertexJobs:
    """The pipeline jobs of a project and region."""

    def __init__(self, environment: VertexEnvironment) -> None:
        self._environment = environment
        with asked("look at Vertex AI"):
            self._client = vertex_client("PipelineServiceClient", environment.region)

    def of_call(self, request: Request) -> list[Any]:
        """The jobs that ran this spec with these parameters, the newest first."""
        query = {"parent": request.parent, "filter": f"labels.{_CALL}={request.call}"}
        found = _ask("list pipeline jobs", lambda: list(self._client.list_pipeline_jobs(query, retry=None, timeout=timeout())))
        return sorted(found, key=lambda job: job.create_time.timestamp(), reverse=True)

    def create(self, request: Request, job_id: str) -> tuple[Any, bool]:
        """Create the job under its id; gives it, and False where it is there already: by a call whose answer was lost, or by another."""
        from google.api_core.exceptions import Conflict
        from google.cloud.aiplatform_v1 import PipelineJob
        from google.protobuf import json_format

        job = PipelineJob.wrap(json_format.ParseDict(request.job, PipelineJob.pb(PipelineJob())))
        what = f"submit {job_id}"
        with asked(what, Conflict):
            try:
                call = {"parent": request.parent, "pipeline_job": job, "pipeline_job_id": job_id}
                return retried(lambda: self._client.create_pipeline_job(call, retry=None, timeout=timeout())), True
            except Conflict:
                return self.get(f"{request.parent}/pipelineJobs/{job_id}"), False

    def get(self, name: str) -> Any:
        """A job as it is now."""
        return _ask(
            f"look at {name.rsplit('/', 1)[1]}",
            lambda: self._client.get_pipeline_job({"name": name}, retry=None, timeout=timeout()),
        )

    def cancel(self, name: str) -> None:
        """Ask for its end."""
        _ask("cancel", lambda: self._client.cancel_pipeline_job({"name": name}, retry=None, timeout=timeout()))


def _ask(what: str, call: Callable[[], Any]) -> Any:
    with asked(what):
        return retried(call)


def next_id(spec: Spec, request: Request, before: list[Any]) -> str:
    """The id of the next job of this call: two people who submit the same at once ask for the same id, and one job comes of it."""
    stem = f"{spec.name}-{request.call}-"
    numbers = [
        name.removeprefix(stem) for job in before if (name := job.name.rsplit("/", 1)[1]).startswith(stem)
    ]  # a schedule names its own
    return f"{stem}{1 + max((int(number) for number in numbers if number.isdigit()), default=0)}"


def under_way(jobs: list[Any]) -> Any | None:
    """The job that has not ended, if there is one."""
    return next((job for job in jobs if job.state.name not in _OVER), None)


def console_url(request: Request, job_id: str) -> str:
    """Where a person looks at a run."""
    _, project, _, region = request.parent.split("/")
    return f"https://console.cloud.google.com/vertex-ai/pipelines/locations/{region}/runs/{job_id}?project={project}"


def watch(jobs: VertexJobs, name: str, record: RunRecord) -> str:
    """Follow a job until it ends, telling each task as it does; gives '' where the pipeline ran, else why it did not.

    Ctrl-C asks whether to leave it running or to cancel it.
    """
    wait = 0.2
    while True:
        try:
            job = jobs.get(name)
            tell(job, record)
            if job.state.name in _OVER:
                return _why(job, record)
            time.sleep(wait)
            wait = min(_LONGEST_POLL, wait * 1.3)
        except KeyboardInterrupt:
            if not _leave():
                jobs.cancel(name)
                print("  cancelling", flush=True)
                continue
            raise


def _leave() -> bool:
    if not sys.stdin.isatty():
        return True
    print("\n  leave it running, or cancel it? [L/c] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() not in {"c", "cancel"}


def tell(job: Any, record: RunRecord) -> None:
    """Tell what is new of a job's tasks."""
    told = {each.name for each in record.records}
    details = sorted(job.job_detail.task_details, key=lambda each: each.end_time.timestamp() if each.end_time else float("inf"))
    for detail in details:
        if detail.task_name in record.facts.tasks and detail.task_name not in told and detail.state.name in _STATES:
            record.ended(task_record(detail))


def task_record(detail: Any) -> TaskRecord:
    """What Vertex AI says of a task, in the words of a local run's record."""
    from google.protobuf import json_format

    said = json_format.MessageToDict(type(detail).pb(detail))
    state = _STATES[detail.state.name]
    outputs: dict[str, Any] = {
        key.removeprefix("output:"): value
        for key, value in said.get("execution", {}).get("metadata", {}).items()
        if key.startswith("output:")
    }
    for key, held in said.get("outputs", {}).items():
        for artifact in held.get("artifacts", [])[:1]:
            outputs[key] = {"uri": artifact.get("uri", ""), "metadata": artifact.get("metadata", {})}
    seconds = (detail.end_time - detail.start_time).total_seconds() if state == "succeeded" and detail.start_time else 0.0
    error = detail.error.message.strip().splitlines()[-1] if state == "failed" and detail.error.message else ""
    return TaskRecord(detail.task_name, state, seconds, outputs, error or ("cancelled" if detail.state.name == "CANCELLED" else ""))  # type: ignore[arg-type]


def _why(job: Any, record: RunRecord) -> str:
    if job.state.name == "PIPELINE_STATE_SUCCEEDED":
        return ""
    failed = [f"{each.name}: {each.error}" for each in record.records if each.state == "failed" and each.error]
    said = " ".join(job.error.message.split())
    return failed[0] if failed else said or f"the job ended as {job.state.name.removeprefix('PIPELINE_STATE_').lower()}"


def finish(record: RunRecord, error: str) -> dict[str, Any]:
    """Write the last summary, keep what a person wants, and speak where no exit handler did; gives the summary."""
    summary = record.write(ended=True, error=error)
    record.keep()
    spoke = any(each.name == "notify" and each.state == "succeeded" for each in record.records)
    if error and not spoke:
        notify_failed(record, error)
    return summary


def upload_sources(uploads: dict[str, str], environment: VertexEnvironment) -> None:
    """Upload what is not there yet, each once under its hash.

    Raises:
        InputError: the bucket is not there.
        StateError: a file changed meanwhile.
    """
    storage.check_bucket(f"{environment.pipeline_root}/")
    for path, uri in uploads.items():
        new = storage.upload_once(path, uri)
        if sha256_file(path) not in uri:
            raise StateError(f"{path} changed while it was uploaded; submit again")
        print(f"  {'uploaded' if new else 'there already:'} {uri}", flush=True)
