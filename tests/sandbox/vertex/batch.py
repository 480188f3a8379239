"""JobService: batch predictions, from JSON lines in a bucket to JSON lines in a bucket, through a real model server."""

import itertools
import json
import re
import threading
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import empty_pb2
from google.rpc import status_pb2

from tests.sandbox.names import canonical, parent_of
from tests.sandbox.refusal import Refusal, invalid, precondition
from tests.sandbox.storage.buckets import StorageRefusal, split
from tests.sandbox.vertex.checks import check_display_name, check_labels, copied, put
from tests.sandbox.vertex.context import Context
from tests.sandbox.vertex.listing import page
from tests.sandbox.vertex.predictions import understood
from tests.sandbox.vertex.registry import ModelService
from tests.sandbox.vertex.servers import ModelServer, Servers

State = v1.JobState
ENDED = (State.JOB_STATE_SUCCEEDED, State.JOB_STATE_FAILED, State.JOB_STATE_CANCELLED)
_KEYS = ("display_name", "model", "state", "labels", "create_time", "update_time", "end_time")
_BATCH = 64


class BatchService:
    """The jobs, by name."""

    def __init__(self, context: Context, models: ModelService, servers: Servers) -> None:
        self._context = context
        self._models = models
        self._servers = servers
        self._jobs: dict[str, v1.BatchPredictionJob] = {}
        self._stops: dict[str, threading.Event] = {}
        self._ids = itertools.count(5_000_001)

    def calls(self) -> dict[str, Callable[[Any], Any]]:
        """What is answered."""
        return {
            "JobService.CreateBatchPredictionJob": self._create,
            "JobService.GetBatchPredictionJob": lambda request: copied(self._get(request.name)),
            "JobService.ListBatchPredictionJobs": self._list,
            "JobService.CancelBatchPredictionJob": self._cancel,
            "JobService.DeleteBatchPredictionJob": self._delete,
        }

    def jobs(self) -> list[v1.BatchPredictionJob]:
        """All of them."""
        return list(self._jobs.values())

    def busy(self) -> bool:
        """Whether one runs."""
        with self._context.lock:
            return any(job.state not in ENDED for job in self._jobs.values())

    def close(self) -> None:
        """End them all."""
        for stop in list(self._stops.values()):
            stop.set()

    def _create(self, request: Any) -> v1.BatchPredictionJob:
        parent, job = parent_of(request.parent), copied(request.batch_prediction_job)
        self._check(job)
        model = self._models.find(job.model)
        job.name = f"{parent}/batchPredictionJobs/{next(self._ids)}"
        job.model, job.model_version_id = model.name, model.version_id
        now = self._context.now()
        put(job, create_time=now, update_time=now)
        job.state = State.JOB_STATE_PENDING
        self._jobs[job.name] = job
        self._stops[job.name] = stop = threading.Event()
        copy = copied(model)
        self._context.beside(lambda: self._run(job, copy, stop))
        return copied(job)

    def _check(self, job: v1.BatchPredictionJob) -> None:
        check_display_name(job.display_name, "batch_prediction_job.display_name")
        check_labels(job.labels, "batch_prediction_job.labels")
        for field, value in (
            ("input_config.instances_format", job.input_config.instances_format),
            ("output_config.predictions_format", job.output_config.predictions_format),
        ):
            if value != "jsonl":
                raise invalid(f"batch_prediction_job.{field}: the sandbox knows jsonl, not {value!r}.")
        if not job.input_config.gcs_source.uris:
            raise invalid("batch_prediction_job.input_config.gcs_source.uris: is required.")
        prefix = job.output_config.gcs_destination.output_uri_prefix
        if not prefix.startswith("gs://") or split(prefix)[0] not in self._context.buckets.names():
            raise invalid(
                f"batch_prediction_job.output_config.gcs_destination.output_uri_prefix: {prefix!r} is not in a bucket that exists."
            )
        if not job.dedicated_resources.machine_spec.machine_type:
            raise invalid("batch_prediction_job.dedicated_resources.machine_spec.machine_type: is required for a custom container.")

    def _run(self, job: v1.BatchPredictionJob, model: v1.Model, stop: threading.Event) -> None:
        server = None
        try:
            self._move(job, State.JOB_STATE_RUNNING, start_time=self._context.now())
            lines = self._lines(job)
            server = self._servers.start(model, stop)
            good, bad = self._predict(job, server, lines, stop)
            if stop.is_set():
                self._move(job, State.JOB_STATE_CANCELLED, end_time=self._context.now())
                return
            self._write(job, model, good, bad)
            state = State.JOB_STATE_SUCCEEDED if good or not bad else State.JOB_STATE_FAILED
            error = (
                None
                if good or not bad
                else status_pb2.Status(code=9, message=f"All {len(bad)} instances failed: {bad[0]['error']['message']}")
            )
            stats = v1.CompletionStats(successful_count=len(good), failed_count=len(bad))
            self._move(job, state, end_time=self._context.now(), completion_stats=stats, error=error)
        except (Refusal, StorageRefusal) as refusal:
            ended = State.JOB_STATE_CANCELLED if stop.is_set() else State.JOB_STATE_FAILED
            self._move(job, ended, end_time=self._context.now(), error=status_pb2.Status(code=9, message=refusal.message))
        finally:
            if server:
                self._servers.stop(server)

    def _lines(self, job: v1.BatchPredictionJob) -> list[str]:
        lines: list[str] = []
        for uri in job.input_config.gcs_source.uris:
            bucket, name = split(uri)
            names = [name]
            if "*" in name:
                pattern = re.compile(".*".join(re.escape(part) for part in name.split("*")))
                names = [each.name for each in self._context.buckets.objects(bucket) if pattern.fullmatch(each.name)]
            for each in names:
                text = self._context.buckets.get(bucket, each).data.decode()
                lines += [line for line in text.split("\n") if line.strip()]
        return lines

    def _predict(
        self, job: v1.BatchPredictionJob, server: ModelServer, lines: list[str], stop: threading.Event
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        size = job.manual_batch_tuning_parameters.batch_size or _BATCH
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        instances = []
        for line in lines:
            try:
                instances.append(json.loads(line))
            except ValueError:
                bad.append(_failure(line, 3, "The line is not JSON."))
        for start in range(0, len(instances), size):
            if stop.is_set():
                break
            part = instances[start : start + size]
            try:
                predictions = understood(*server.predict(json.dumps({"instances": part}).encode()))["predictions"]
                if len(predictions) != len(part):
                    raise Refusal("INTERNAL", f"{len(part)} instances were sent and {len(predictions)} predictions came back.")
                good += [{"instance": one, "prediction": other} for one, other in zip(part, predictions, strict=True)]
            except Refusal as refusal:
                # A batch fails as a whole, as the service's does.
                bad += [_failure(each, refusal.grpc, refusal.message) for each in part]
        return good, bad

    def _write(self, job: v1.BatchPredictionJob, model: v1.Model, good: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
        prefix = job.output_config.gcs_destination.output_uri_prefix.rstrip("/")
        folder = f"{prefix}/prediction-{model.display_name}-{job.create_time:%Y_%m_%dT%H_%M_%S}_{job.create_time.microsecond // 1000:03}Z"
        for name, rows in (("prediction.results", good), ("prediction.errors_stats", bad)):
            bucket, path = split(f"{folder}/{name}-00000-of-00001")
            self._context.buckets.put(bucket, path, "".join(json.dumps(row) + "\n" for row in rows).encode())
        with self._context.lock:
            job.output_info = v1.BatchPredictionJob.OutputInfo(gcs_output_directory=folder)

    def _move(self, job: v1.BatchPredictionJob, state: State, **changes: Any) -> None:
        with self._context.lock:
            put(job, state=state, update_time=self._context.now(), **changes)
            self._context.say(f"batch prediction {job.display_name}: {state.name} {job.error.message}".rstrip())

    def _get(self, name: str) -> v1.BatchPredictionJob:
        job = self._jobs.get(canonical(name))
        if job is None:
            raise Refusal("NOT_FOUND", f"name: the BatchPredictionJob {name!r} is not found.")
        return job

    def _list(self, request: Any) -> v1.ListBatchPredictionJobsResponse:
        parent = parent_of(request.parent)
        mine = [job for job in self._jobs.values() if job.name.startswith(f"{parent}/")]
        jobs, token = page(mine, request, _KEYS)
        return v1.ListBatchPredictionJobsResponse(batch_prediction_jobs=jobs, next_page_token=token)

    def _cancel(self, request: Any) -> empty_pb2.Empty:
        job = self._get(request.name)
        if job.state in ENDED:
            raise precondition(f"name: the BatchPredictionJob {job.name!r} is in state {job.state.name} and cannot be cancelled.")
        job.state = State.JOB_STATE_CANCELLING
        self._stops[job.name].set()
        return empty_pb2.Empty()

    def _delete(self, request: Any) -> Any:
        job = self._get(request.name)
        if job.state not in ENDED:
            raise precondition(f"name: the BatchPredictionJob {job.name!r} is in state {job.state.name}; cancel it before it is deleted.")
        del self._jobs[job.name]
        return self._context.operations.done(job.name, empty_pb2.Empty(), v1.DeleteOperationMetadata())


def _failure(instance: Any, code: int, message: str) -> dict[str, Any]:
    return {"instance": instance, "error": {"code": code, "message": message}}
