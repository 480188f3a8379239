"""Schedules, on a clock that the test moves."""

import datetime as dt

import pytest
import yaml
from google.api_core import exceptions
from google.cloud import aiplatform_v1 as v1

from tests.sandbox.conftest import BUCKET, PARENT
from tests.sandbox.vertex import cron

START = dt.datetime(2031, 3, 1, 5, 30, tzinfo=dt.UTC)


@pytest.fixture
def client(sandbox, gapic):
    sandbox.clock.set(START)
    return gapic("ScheduleService")


def schedule(client, spec, **changes):
    job = {
        "display_name": "gated",
        "pipeline_spec": yaml.safe_load(spec.read_text()),
        "runtime_config": {"gcs_output_directory": f"gs://{BUCKET}/root", "parameter_values": {"value": 0.7}},
    }
    given = {"display_name": "hourly", "cron": "0 * * * *", "max_concurrent_run_count": 1} | changes
    request = {"parent": PARENT, "pipeline_job": job}
    return client.create_schedule(parent=PARENT, schedule={**given, "create_pipeline_job_request": request})


def jobs(gapic):
    listed = gapic("PipelineService").list_pipeline_jobs({"parent": PARENT, "order_by": "create_time"})
    return [job.name.rpartition("-")[2] for job in listed]


def test_a_run_at_its_time_knows_that_time(sandbox, gapic, client, gated_spec, bucket):
    made = schedule(client, gated_spec)
    assert (made.state, made.next_run_time) == (v1.Schedule.State.ACTIVE, dt.datetime(2031, 3, 1, 6, tzinfo=dt.UTC))
    sandbox.clock.advance(29 * 60)
    assert jobs(gapic) == []
    sandbox.clock.advance(60)
    sandbox.wait()
    assert jobs(gapic) == ["20310301060000"]
    now = client.get_schedule(name=made.name)
    assert (now.started_run_count, now.next_run_time.hour) == (1, 7)
    assert "OK" in now.last_scheduled_run_response.run_response
    [job] = gapic("PipelineService").list_pipeline_jobs({"parent": PARENT, "filter": f'schedule_name="{made.name}"'})
    act = next(task for task in job.job_detail.task_details if task.task_name == "act")
    assert act.execution.metadata["output:Output"] == f"gs://{BUCKET}/root 2031-03-01T06:00:00.000000Z"


@pytest.mark.parametrize(("queueing", "count"), [(False, 1), (True, 3)])
def test_no_more_run_at_once_than_it_allows(sandbox, gapic, client, gated_spec, queueing, count):
    schedule(client, gated_spec, allow_queueing=queueing, max_run_count=3)
    sandbox.clock.advance(3 * 3600)
    while len(jobs(gapic)) < count:
        sandbox.wait()
    sandbox.wait()
    assert len(jobs(gapic)) == count
    [now] = client.list_schedules(parent=PARENT)
    assert ("SKIPPED" in now.last_scheduled_run_response.run_response) is not queueing


def test_a_reset_starts_no_queued_run(sandbox, gapic, client, gated_spec):
    schedule(client, gated_spec, allow_queueing=True)
    sandbox.clock.advance(3 * 3600)
    assert len(jobs(gapic)) == 1
    old = sandbox.vertex
    sandbox.reset()
    assert len(old.pipelines.jobs()) == 1
    assert not old.busy()


def test_paused_and_resumed_with_and_without_catching_up(sandbox, gapic, client, gated_spec):
    made = schedule(client, gated_spec, max_concurrent_run_count=10)
    client.pause_schedule(name=made.name)
    with pytest.raises(exceptions.BadRequest, match="PAUSED"):
        client.pause_schedule(name=made.name)
    sandbox.clock.advance(3 * 3600)
    assert jobs(gapic) == []
    client.resume_schedule(name=made.name)
    assert client.get_schedule(name=made.name).next_run_time.hour == 9
    client.pause_schedule(name=made.name)
    sandbox.clock.advance(2 * 3600)
    client.resume_schedule(name=made.name, catch_up=True)
    sandbox.clock.advance(1)
    assert jobs(gapic) == ["20310301090000", "20310301100000"]


def test_it_ends_with_its_count_and_with_its_end(sandbox, gapic, client, gated_spec):
    counted = schedule(client, gated_spec, max_run_count=1)
    ended = schedule(client, gated_spec, cron="0 12 * * *", end_time=START + dt.timedelta(days=1))
    sandbox.clock.advance(3 * 86400)
    assert sorted(jobs(gapic)) == ["20310301060000", "20310301120000"]
    for name in (counted.name, ended.name):
        assert client.get_schedule(name=name).state == v1.Schedule.State.COMPLETED
    with pytest.raises(exceptions.BadRequest, match="COMPLETED"):
        client.update_schedule(schedule={"name": counted.name, "display_name": "x"}, update_mask={"paths": ["display_name"]})


def test_updated_listed_and_deleted(client, gated_spec):
    made = schedule(client, gated_spec)
    change = {"name": made.name, "cron": "TZ=Europe/London 0 6 1 * *", "display_name": "monthly"}
    now = client.update_schedule(schedule=change, update_mask={"paths": ["cron", "display_name"]})
    assert now.next_run_time == dt.datetime(2031, 3, 1, 6, tzinfo=dt.UTC)
    assert [each.name for each in client.list_schedules({"parent": PARENT, "filter": 'display_name="monthly" AND state=ACTIVE'})] == [
        made.name
    ]
    client.delete_schedule(name=made.name).result()
    with pytest.raises(exceptions.NotFound):
        client.get_schedule(name=made.name)


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("30 4 * * *", "2031-03-01T04:30", "2031-03-02T04:30"),
        ("*/15 * * * *", "2031-03-01T04:31", "2031-03-01T04:45"),
        ("0 6 1 */3 *", "2031-03-01T04:31", "2031-04-01T06:00"),
        ("0 6 * * mon-fri", "2031-03-01T04:31", "2031-03-03T06:00"),
        ("0 6 * * 7", "2031-03-01T04:31", "2031-03-02T06:00"),
        ("0 6 13 * 5", "2031-03-08T04:31", "2031-03-13T06:00"),
        ("0 0 29 2 *", "2031-03-01T00:00", "2032-02-29T00:00"),
        ("TZ=America/New_York 0 6 * * *", "2031-07-01T00:00", "2031-07-01T10:00"),
    ],
)
def test_cron(text, after, due):
    found = cron.parse(text).after(dt.datetime.fromisoformat(after + "+00:00"))
    assert f"{found:%Y-%m-%dT%H:%M}" == due
