"""A job's task details, as they grow on Vertex."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format, struct_pb2
from google.rpc import status_pb2

from tests.sandbox.vertex import specs

State = v1.PipelineTaskDetail.State
# What Vertex calls a task that the local runner took from its cache, and the others.
STATES = {"succeeded": State.SUCCEEDED, "failed": State.FAILED, "cached": State.SKIPPED}


class TaskDetails:
    """One detail a task, in the order in which they began."""

    def __init__(self, spec: dict[str, Any], now: Callable[[], dt.datetime]) -> None:
        self._components = specs.tasks(spec)
        self._now = now
        self._details: list[v1.PipelineTaskDetail] = []

    def all(self) -> list[v1.PipelineTaskDetail]:
        """As they are now."""
        return list(self._details)

    def started(self, task: str) -> None:
        """A task begins."""
        now = self._now()
        self._details.append(self._new(task, State.RUNNING, create_time=now, start_time=now))

    def ended(self, record: dict[str, Any]) -> None:
        """A task ended."""
        detail = next(each for each in reversed(self._details) if each.task_name == record["name"])
        detail.state, detail.end_time = STATES[record["state"]], self._now()
        if record["error"]:
            detail.error = status_pb2.Status(code=9, message=f"The replica workerpool0-0 exited with a non-zero status: {record['error']}")
        component = self._components.get(record["name"], {})
        schemas = component.get("outputDefinitions", {}).get("artifacts", {})
        execution = v1.Execution(display_name=record["name"], schema_title="system.ContainerExecution")
        metadata = {}
        for key, value in record["outputs"].items():
            if isinstance(value, dict) and "uri" in value and key in schemas:
                detail.outputs[key] = v1.PipelineTaskDetail.ArtifactList(artifacts=[_artifact(key, value, schemas[key])])
            else:
                metadata[f"output:{key}"] = value
        execution.metadata = json_format.ParseDict(metadata, struct_pb2.Struct())
        execution.state = v1.Execution.State.FAILED if record["state"] == "failed" else v1.Execution.State.COMPLETE
        detail.execution = execution

    def closed(self, cancelled: bool) -> list[v1.PipelineTaskDetail]:
        """At the job's end: what still ran was cancelled (or lost), what never began was not triggered."""
        now = self._now()
        for detail in self._details:
            if detail.state == State.RUNNING:
                detail.state, detail.end_time = State.CANCELLED if cancelled else State.FAILED, now
        begun = {detail.task_name for detail in self._details}
        never = [self._new(task, State.NOT_TRIGGERED, create_time=now, end_time=now) for task in self._components if task not in begun]
        self._details += never
        return self.all()

    def _new(self, task: str, state: State, **times: dt.datetime) -> v1.PipelineTaskDetail:
        return v1.PipelineTaskDetail(task_id=len(self._details) + 1, task_name=task, state=state, **times)


def _artifact(key: str, value: dict[str, Any], schema: dict[str, Any]) -> v1.Artifact:
    title = schema.get("artifactType", {}).get("schemaTitle", "system.Artifact")
    metadata = json_format.ParseDict(value.get("metadata") or {}, struct_pb2.Struct())
    return v1.Artifact(display_name=key, uri=value["uri"], schema_title=title, metadata=metadata, state=v1.Artifact.State.LIVE)
