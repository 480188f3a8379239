"""Pipeline jobs, through the SDK: created, executed, followed, cancelled, listed."""

import time

import pytest
from google.api_core import exceptions

from tests.sandbox.conftest import BUCKET

ROOT = f"gs://{BUCKET}/root"


def job(sdk, spec, identity, **values):
    return sdk.PipelineJob(
        display_name="gated", template_path=str(spec), job_id=identity, pipeline_root=ROOT, parameter_values=values, labels={"line": "shop"}
    )


def states(sdk, name):
    done = sdk.PipelineJob.get(name)
    return done, {task.task_name: task.state.name for task in done.task_details}


def test_a_job_is_executed_and_its_artifacts_are_in_the_bucket(sandbox, sdk, gated_spec, bucket):
    job(sdk, gated_spec, "first", value=0.7).submit()
    sandbox.wait()
    done, found = states(sdk, "first")
    assert done.state.name == "PIPELINE_STATE_SUCCEEDED", done.gca_resource.error
    assert found == {"draw": "SUCCEEDED", "act": "SUCCEEDED"}
    draw = next(task for task in done.task_details if task.task_name == "draw")
    artifact = draw.outputs["out"].artifacts[0]
    assert draw.execution.metadata["output:Output"] == 0.7
    assert artifact.uri == f"{ROOT}/123456789012/first/draw/out"
    assert artifact.schema_title == "system.Dataset"
    assert artifact.metadata["value"] == 0.7
    said = bucket.blob("root/123456789012/first/draw/out/said.txt").download_as_text()
    assert said == f"{ROOT} {done.gca_resource.create_time.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}"


def test_a_false_condition_is_not_triggered(sandbox, sdk, gated_spec):
    job(sdk, gated_spec, "closed", value=0.2).submit()
    sandbox.wait()
    assert states(sdk, "closed")[1] == {"draw": "SUCCEEDED", "act": "NOT_TRIGGERED"}


def test_a_failing_step_fails_the_job_and_says_why(sandbox, sdk, gated_spec):
    job(sdk, gated_spec, "fails", value=-1.0).submit()
    sandbox.wait()
    done, found = states(sdk, "fails")
    assert done.state.name == "PIPELINE_STATE_FAILED"
    assert "The failed tasks are: [draw]" in done.gca_resource.error.message
    assert found == {"draw": "FAILED", "act": "NOT_TRIGGERED"}
    assert "a negative number" in done.task_details[0].error.message


def test_a_job_is_cancelled(sandbox, sdk, gated_spec):
    slow = job(sdk, gated_spec, "slow", value=600.0)
    slow.submit()
    while not any(task.state.name == "RUNNING" for task in sdk.PipelineJob.get("slow").task_details):
        time.sleep(0.05)
    with pytest.raises(exceptions.BadRequest, match="cancel it before"):
        slow.delete()
    slow.cancel()
    sandbox.wait(20)
    assert states(sdk, "slow")[1] == {"draw": "CANCELLED", "act": "NOT_TRIGGERED"}
    assert slow.state.name == "PIPELINE_STATE_CANCELLED"
    slow.delete()
    assert sdk.PipelineJob.list() == []


def test_an_id_is_used_once(sandbox, sdk, gated_spec):
    job(sdk, gated_spec, "once", value=0.1).submit()
    with pytest.raises(exceptions.Conflict, match="already exists"):
        job(sdk, gated_spec, "once", value=0.1).submit()


def test_a_second_run_takes_the_artifact_of_the_first_from_the_cache(sandbox, sdk, cacheable_spec, bucket):
    uris = {}
    for identity, state in (("first", "SUCCEEDED"), ("second", "SKIPPED")):
        job(sdk, cacheable_spec, identity).submit()
        sandbox.wait()
        [detail] = sdk.PipelineJob.get(identity).task_details
        assert (detail.state.name, detail.execution.metadata["output:Output"]) == (state, 5)
        uris[identity] = detail.outputs["out"].artifacts[0].uri
    assert uris["first"] == uris["second"] == f"{ROOT}/123456789012/first/write/out"
    assert bucket.blob("root/123456789012/first/write/out").download_as_text() == "hello"
    uncached = sdk.PipelineJob(
        display_name="x", template_path=str(cacheable_spec), job_id="third", pipeline_root=ROOT, enable_caching=False
    )
    uncached.submit()
    sandbox.wait()
    assert [detail.state.name for detail in sdk.PipelineJob.get("third").task_details] == ["SUCCEEDED"]


def test_jobs_are_found_by_state_label_and_order(sandbox, sdk, cacheable_spec, gated_spec):
    for identity, spec, values in (("one", cacheable_spec, {}), ("two", gated_spec, {"value": -1.0}), ("three", cacheable_spec, {})):
        job(sdk, spec, identity, **values).submit()
        sandbox.wait()
    done = sdk.PipelineJob.list(filter="state=PIPELINE_STATE_SUCCEEDED AND labels.line=shop", order_by="create_time")
    assert [each.name for each in done] == ["one", "three"]
    assert [each.name for each in sdk.PipelineJob.list(filter='display_name="gated" AND state!=PIPELINE_STATE_SUCCEEDED')] == ["two"]
    assert sdk.PipelineJob.list(filter="labels.line=other") == []
    after = done[0].create_time.isoformat()
    assert {each.name for each in sdk.PipelineJob.list(filter=f'create_time>"{after}"')} == {"two", "three"}


def test_a_reset_ends_what_runs_and_forgets_all(sandbox, sdk, gated_spec, bucket):
    job(sdk, gated_spec, "slow", value=600.0).submit()
    bucket.blob("x").upload_from_string("y")
    begin = time.monotonic()
    sandbox.reset()
    assert time.monotonic() - begin < 5
    assert (sdk.PipelineJob.list(), [*bucket.list_blobs()]) == ([], [])
    sandbox.wait(1)
    assert sandbox.calls == ["PipelineService.ListPipelineJobs", "storage.objects.list"]
