"""churn schedule, over the wire: created, updated, paused, resumed, deleted by name, never doubled."""

import pytest

from churn.deployment.schedules import SchedulePolicy, Schedules
from churn.platform.errors import ConfigError, StateError
from tests.clouds import BUCKET, point_at

POLICY = SchedulePolicy(pipeline="training", cron="TZ=Europe/Berlin 0 4 2 * *")


@pytest.fixture(params=["rest", "grpc"])
def schedules(request, inline_sandbox, monkeypatch, impatient):
    inline_sandbox.reset()
    point_at(monkeypatch, inline_sandbox.environment(request.param))
    return Schedules("sandbox", "us-central1")


@pytest.fixture
def job(gated_spec):
    import yaml

    spec = yaml.safe_load(gated_spec.read_text())
    runtime = {"gcsOutputDirectory": f"gs://{BUCKET}/root", "parameterValues": {"value": 0.1}}
    return {"displayName": "churn-training", "pipelineSpec": spec, "runtimeConfig": runtime, "labels": {"churn_call": "one"}}


def there(schedules):
    return {name: [(each.state.name, each.cron) for each in found] for name, found in schedules.there().items()}


def actions(differences):
    return [each.action for each in differences]


def test_made_what_it_should_be_and_then_left_alone(schedules, job):
    assert actions(schedules.compare("training", POLICY, job)) == ["create"]
    assert there(schedules) == {}  # to compare changes nothing
    assert actions(schedules.sync("training", POLICY, job)) == ["create"]
    assert there(schedules) == {"training": [("ACTIVE", POLICY.cron)]}
    (made,) = schedules.there()["training"]
    assert (made.max_concurrent_run_count, made.allow_queueing) == (1, False)
    assert made.create_pipeline_job_request.pipeline_job.labels["churn_call"] == "one"
    (again,) = schedules.sync("training", POLICY, job)
    assert (again.action, len(schedules.there()["training"])) == ("none", 1)
    assert "active, TZ=Europe/Berlin 0 4 2 * *, 0 runs so far, next " in again.words


@pytest.mark.parametrize(
    ("change", "job_label", "expected", "words"),
    [
        ({"cron": "TZ=Europe/Berlin 0 5 2 * *"}, "one", ["update"], "cron TZ=Europe/Berlin 0 4 2 * * should be TZ=Europe/Berlin 0 5 2 * *"),
        ({"max_concurrent_runs": 2}, "one", ["update"], "1 runs at once should be 2"),
        ({}, "two", ["update"], "the spec or its parameters have changed"),
        ({"paused": True}, "one", ["pause"], "is active"),
        ({"paused": True, "cron": "0 0 * * 1"}, "one", ["update", "pause"], "should be 0 0 * * 1"),
    ],
)
def test_what_differs_is_said_and_mended(schedules, job, change, job_label, expected, words):
    schedules.sync("training", POLICY, job)
    policy = SchedulePolicy(**(POLICY.model_dump() | change))
    changed = job | {"labels": {"churn_call": job_label}}
    differences = schedules.compare("training", policy, changed)
    assert actions(differences) == expected
    assert words in differences[0].words
    assert actions(schedules.sync("training", policy, changed)) == expected
    assert actions(schedules.compare("training", policy, changed)) == ["none"]
    assert len(schedules.there()["training"]) == 1


def test_paused_from_the_start_and_resumed(schedules, job):
    paused = POLICY.model_copy(update={"paused": True})
    schedules.sync("training", paused, job)
    assert there(schedules)["training"][0][0] == "PAUSED"
    assert actions(schedules.sync("training", POLICY, job)) == ["resume"]
    assert there(schedules)["training"][0][0] == "ACTIVE"


def test_what_is_not_in_the_file_is_deleted_and_what_is_not_ours_is_not_touched(schedules, job):
    schedules.sync("training", POLICY, job)
    schedules._client.create_schedule(parent=schedules._parent, schedule=foreign(schedules, job))
    assert actions(schedules.sync("training", None, {})) == ["delete"]
    assert there(schedules) == {}
    names = [each.display_name for each in schedules._client.list_schedules(parent=schedules._parent)]
    assert names == ["somebody-elses"]


def foreign(schedules, job):
    other = schedules._message("x", POLICY, job)
    other.display_name = "somebody-elses"
    return other


def test_one_that_stands_twice_is_one_again(schedules, job):
    schedules.sync("training", POLICY, job)
    schedules._client.create_schedule(parent=schedules._parent, schedule=schedules._message("training", POLICY, job))
    assert actions(schedules.sync("training", POLICY, job)) == ["delete"]
    assert len(schedules.there()["training"]) == 1


@pytest.mark.parametrize("fault", ["cut-after", "cut-before", "503"])
def test_an_answer_that_was_lost_doubles_nothing(schedules, job, inline_sandbox, fault):
    inline_sandbox.faults.add("ScheduleService.CreateSchedule", fault)
    schedules.sync("training", POLICY, job)
    assert len(schedules.there()["training"]) == 1


@pytest.mark.parametrize("cron", ["0 4 2 *", "every month", "TZ=Berlin wall 0 4 2 * *", ""])
def test_a_cron_that_is_none_is_refused_before_anything_is_asked(cron):
    with pytest.raises(ConfigError, match="cron"):
        SchedulePolicy.of({"pipeline": "training", "cron": cron}, "configs/schedules.yaml: training")


def test_what_the_service_refuses_is_one_line(schedules, job):
    with pytest.raises(StateError, match=r"create the schedule training: Google Cloud says 400: .*") as refused:
        schedules.sync("training", POLICY.model_copy(update={"cron": "99 4 2 * *"}), job)
    assert "\n" not in str(refused.value)
