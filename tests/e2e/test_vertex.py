"""The cloud path whole, over the wire and with the real SDKs: compile, submit, the pipeline executed, both sides of the gate, console clones, schedules."""

import json
import os
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from churn.deployment.outcome import read_outcome
from churn.deployment.releases import Traffic
from churn.deployment.targets import releases
from churn.platform import storage
from churn.platform.google import vertex_client
from churn.platform.settings import Environment
from pipelines.submit.main import main as submit
from tests.clouds import BUCKET, point_at
from tests.pipelines.conftest import QUICK, shop_dataset, shop_log, spec  # noqa: F401 (a fixture)
from tests.sandbox import Sandbox

PARENT = "projects/sandbox/locations/us-central1"
LINE = "shop-30d"
# Enough of a canary to be one, in a test's time.
CANARY = ["canary.percent=25", "canary.min_answers=5", "canary.max_p95_ms=5000"]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("sandbox"), servers="process") as sandbox:
        yield sandbox


@dataclass
class Cloud:
    """A shop's data, and submit --target vertex over it."""

    sandbox: Sandbox
    root: Path
    dataset: Path
    spec: Path

    def submit(self, *params: str, flags: tuple[str, ...] = ("--wait",)) -> int:
        given = [f"dataset={self.dataset}", *QUICK, *CANARY, *params]
        return submit([str(self.spec), "--target", "vertex", *(word for each in given for word in ("--param", each)), *flags])

    def run(self, *params: str) -> dict:
        status = self.submit(*params)
        summary = json.loads((self.root / "runs" / "latest" / "summary.json").read_text())
        assert status == 0, summary["error"]
        return summary

    @property
    def store(self):
        environment = Environment.read("vertex")
        return releases("vertex", environment.releases, LINE, environment.places()["serving"])

    def calls(self, name: str) -> int:
        return list(self.sandbox.calls).count(name)


@pytest.fixture
def cloud(sandbox, tmp_path, monkeypatch, spec, request):  # noqa: F811
    sandbox.reset()
    point_at(monkeypatch, sandbox.environment(getattr(request, "param", "rest")))
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    log = shop_log(tmp_path / "data" / "log.csv")
    return Cloud(sandbox, tmp_path, shop_dataset(tmp_path, log), spec)


def states(summary: dict) -> dict[str, str]:
    return {task["name"]: task["state"] for task in summary["tasks"]}


def outcome_matches(summary: dict) -> None:
    """The outcome under the pipeline root says what summary.json says."""
    left = read_outcome(f"gs://{BUCKET}/pipeline", summary["run_id"])
    assert (left.status, left.error) == (summary["status"], summary["error"])
    assert left.gate == summary["gate"]
    assert left.deployment == summary["deployment"]
    assert left.data == summary["data"]
    for name, value in left.metrics.items():
        assert summary["metrics"].get(name) == pytest.approx(value) if value is not None else summary["metrics"].get(name) is None
    assert {name: summary["provenance"][name] for name in left.provenance} == left.provenance


@pytest.mark.parametrize("cloud", ["rest", "grpc"], indirect=True)
def test_from_a_log_to_predictions_of_the_endpoint(cloud):
    """Gate open: version uploaded, canary beside the champion, promoted; the SDK's endpoint answers what the local model answers."""
    first = cloud.run("min_auc_pr=0.1")
    assert first["gate"]["passed"] and first["deployment"]["deployed"]
    assert states(first)["canary"] == "succeeded"
    outcome_matches(first)
    second = cloud.run("min_auc_pr=0.1", "min_gain=-1", "seed=9")
    assert states(second)["prepare"] == "cached"
    assert second["deployment"]["was_live"] == first["deployment"]["live"] != second["deployment"]["live"]
    outcome_matches(second)
    store = cloud.store
    assert store.traffic() == Traffic(second["deployment"]["release"])
    assert [entry["action"] for entry in store.history()] == ["promote", "canary", "promote"]
    versions = sorted(
        vertex_client("ModelServiceClient", "us-central1").list_model_versions(name=store._model), key=lambda each: each.version_id
    )
    assert [each.labels["release"] for each in versions] == [run["deployment"]["release"] for run in (first, second)]
    assert "live" in versions[1].version_aliases
    assert versions[1].labels["run"] == second["run_id"]
    assert cloud.calls("ModelService.UploadModel") == 2
    the_sdk_agrees_with_the_local_model(cloud, store.live())
    a_run_that_has_ended_goes_again(cloud, second)


def the_sdk_agrees_with_the_local_model(cloud: Cloud, release) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    from churn.serving.contract import answer
    from churn.training.model import ChurnModel

    where = {"project": "sandbox", "location": "us-central1", "credentials": AnonymousCredentials()}
    aiplatform.init(**where, api_endpoint=os.environ["CHURN_VERTEX_API_ENDPOINT"], api_transport=os.environ["CHURN_VERTEX_TRANSPORT"])
    (endpoint,) = aiplatform.Endpoint.list(filter=f'display_name="churn-{LINE}"')
    instances = [each | {"customer_id": f"c-{number}"} for number, each in enumerate(release.probe["instances"])]
    said = endpoint.predict(instances).predictions
    here = answer(ChurnModel.load(release.model), {"instances": instances})["predictions"]
    assert len(said) == len(here) == 20
    for remote, local in zip(said, here, strict=True):
        assert dict(remote) == local


def a_run_that_has_ended_goes_again(cloud: Cloud, before: dict) -> None:
    """As another job of the same call, which finds its model live already."""
    again = cloud.run("min_auc_pr=0.1", "min_gain=-1", "seed=9")
    stem, _, number = again["run_id"].rpartition("-")
    assert (stem, number) == (before["run_id"].rpartition("-")[0], "2")
    assert any("live already" in reason for reason in again["gate"]["reasons"])
    assert cloud.calls("ModelService.UploadModel") == 2


@pytest.mark.parametrize("cloud", ["rest", "grpc"], indirect=True)
def test_a_closed_gate_uploads_nothing(cloud):
    summary = cloud.run("min_auc_pr=0.999")
    assert summary["status"] == "succeeded"
    assert (summary["gate"]["passed"], summary["deployment"]["deployed"], summary["deployment"]["live"]) == (False, False, None)
    assert {states(summary)[name] for name in ("register", "deploy", "smoke-test", "canary", "promote")} == {"skipped"}
    outcome_matches(summary)
    touched = (
        "ModelService.UploadModel",
        "EndpointService.CreateEndpoint",
        "EndpointService.DeployModel",
        "EndpointService.UpdateEndpoint",
    )
    assert {name: cloud.calls(name) for name in touched} == dict.fromkeys(touched, 0)
    assert (cloud.root / "runs" / "latest" / "report.html").read_text().startswith("<!doctype html>")


def test_a_run_is_not_doubled_and_goes_again_only_when_told(cloud, capsys):
    assert cloud.submit("min_auc_pr=0.999", flags=()) == 0
    first = job_of(capsys.readouterr().out)
    assert cloud.submit("min_auc_pr=0.999", flags=("--wait",)) == 0
    out = capsys.readouterr().out
    assert job_of(out) == first
    assert "is under way; --again starts another" in out
    assert cloud.submit("min_auc_pr=0.999", flags=("--again", "--wait", "--reason", "a look")) == 0
    second = job_of(capsys.readouterr().out)
    assert (second, cloud.calls("PipelineService.CreatePipelineJob")) != (first, 1)
    jobs = list(vertex_client("PipelineServiceClient", "us-central1").list_pipeline_jobs(parent=PARENT))
    assert len(jobs) == 2
    assert {job.labels.get("reason", "") for job in jobs} == {"", "a-look"}


def test_a_run_that_fails_exits_1_with_the_step_and_its_reason(cloud, capsys):
    assert cloud.submit("as_of=never") == 1
    summary = json.loads((cloud.root / "runs" / "latest" / "summary.json").read_text())
    assert (summary["status"], states(summary)["features"], states(summary)["notify"]) == ("failed", "failed", "succeeded")
    assert "features: " in summary["error"] and "as_of: 'never' is no moment" in summary["error"]
    assert summary["deployment"]["deployed"] is False
    said = capsys.readouterr().out
    assert f"/runs/{summary['run_id']}?project=sandbox" in said.partition("logs")[2]
    assert read_outcome(f"gs://{BUCKET}/pipeline", summary["run_id"]).status == "failed"


def job_of(said: str) -> str:
    return next(line.split()[1] for line in said.splitlines() if line.startswith("run "))


def test_a_clone_from_the_console_with_one_parameter_changed_works(cloud):
    """The console has the stored job and nothing of ours: its spec is sent again with one value changed."""
    from google.cloud.aiplatform_v1 import PipelineJob

    held = cloud.run("min_auc_pr=0.999")
    jobs = vertex_client("PipelineServiceClient", "us-central1")
    stored = jobs.get_pipeline_job(name=f"{PARENT}/pipelineJobs/{held['run_id']}")
    runtime = stored.runtime_config
    runtime.parameter_values["min_auc_pr"] = 0.1
    clone = PipelineJob(display_name="a clone", pipeline_spec=stored.pipeline_spec, runtime_config=runtime)
    made = jobs.create_pipeline_job(parent=PARENT, pipeline_job=clone, pipeline_job_id="cloned-1")
    cloud.sandbox.wait()
    assert jobs.get_pipeline_job(name=made.name).state.name == "PIPELINE_STATE_SUCCEEDED"
    left = read_outcome(f"gs://{BUCKET}/pipeline", "cloned-1")
    assert (left.gate["passed"], left.gate["threshold"], left.deployment["deployed"]) == (True, 0.1, True)
    assert cloud.store.live_name() == left.deployment["release"]
    # And a wrong value is refused by the steps, for no submit has looked at it.
    runtime.parameter_values["min_auc_pr"] = 1.5
    wrong = PipelineJob(display_name="a clone", pipeline_spec=stored.pipeline_spec, runtime_config=runtime)
    jobs.create_pipeline_job(parent=PARENT, pipeline_job=wrong, pipeline_job_id="cloned-2")
    cloud.sandbox.wait()
    assert jobs.get_pipeline_job(name=f"{PARENT}/pipelineJobs/cloned-2").state.name == "PIPELINE_STATE_FAILED"
    left = read_outcome(f"gs://{BUCKET}/pipeline", "cloned-2")
    assert left.status == "failed"
    assert "cloned-2 FAILED" in left.error
    assert "/runs/cloned-2?project=" in left.error  # what woke somebody says where to look


def test_a_spec_of_the_repository_runs_with_the_values_that_were_uploaded(cloud, capsys):
    assert cloud.submit("min_auc_pr=0.999", flags=("--upload",)) == 0
    address = next(word for word in capsys.readouterr().out.split() if "/kfp/" in word)
    stored = yaml.safe_load(download(address))
    defaults = {name: each["defaultValue"] for name, each in stored["root"]["inputDefinitions"]["parameters"].items()}
    assert (defaults["target"], defaults["min_auc_pr"], defaults["releases"]) == ("vertex", 0.999, f"gs://{BUCKET}/releases")
    assert all("/" in executor["container"]["image"] for executor in stored["deploymentSpec"]["executors"].values())
    # As the console starts it: the spec by its address, nothing but its defaults.
    from google.cloud.aiplatform_v1 import PipelineJob

    jobs = vertex_client("PipelineServiceClient", "us-central1")
    job = PipelineJob(display_name="by hand", template_uri=address, runtime_config={"gcs_output_directory": f"gs://{BUCKET}/pipeline"})
    jobs.create_pipeline_job(parent=PARENT, pipeline_job=job, pipeline_job_id="by-hand-1")
    cloud.sandbox.wait()
    assert read_outcome(f"gs://{BUCKET}/pipeline", "by-hand-1").gate["threshold"] == 0.999
    cloud.spec = address
    assert cloud.run("min_auc_pr=0.999")["status"] == "succeeded"


def download(address: str) -> str:
    with urllib.request.urlopen(address) as answer:
        return answer.read().decode()


def test_a_scheduled_run_knows_its_time_and_trains_on_new_data_though_no_parameter_changed(cloud):
    from google.cloud.aiplatform_v1 import CreatePipelineJobRequest, PipelineJob, Schedule
    from google.protobuf import json_format

    from pipelines.submit.parameters import resolve
    from pipelines.submit.spec import Spec
    from pipelines.submit.vertex import build

    source = f"gs://{BUCKET}/shop/log.csv"
    rows = (cloud.root / "data" / "log.csv").read_text().splitlines()
    early = rows[: len(rows) * 4 // 5]
    storage.write_text(source, "\n".join(early) + "\n")
    environment = Environment.read("vertex")
    spec = Spec.read(str(cloud.spec), cloud.root).with_repository(environment.image_repository)  # noqa: F811
    given = [f"dataset={cloud.dataset}", f"source={source}", "min_auc_pr=0.1", "min_gain=-1", *QUICK, *CANARY]
    request = build(spec, resolve(spec, environment, given, None, ""), environment, labels={}, caching=True)
    job = PipelineJob.wrap(json_format.ParseDict(request.job, PipelineJob.pb(PipelineJob())))
    cloud.sandbox.clock.set(moment("2024-03-02T00:30:00+00:00"))
    client = vertex_client("ScheduleServiceClient", "us-central1")
    schedule = client.create_schedule(
        parent=PARENT,
        schedule=Schedule(
            display_name="churn-training",
            cron="TZ=UTC 0 4 * * *",
            max_concurrent_run_count=1,
            create_pipeline_job_request=CreatePipelineJobRequest(parent=PARENT, pipeline_job=job),
        ),
    )
    outcomes = []
    for content in (early, rows):
        storage.write_text(source, "\n".join(content) + "\n")
        cloud.sandbox.clock.advance(24 * 3600)
        cloud.sandbox.wait()
        jobs = vertex_client("PipelineServiceClient", "us-central1").list_pipeline_jobs(parent=PARENT)
        (last,) = [each for each in jobs if each.name.rsplit("/", 1)[1] not in {left.run_id for left in outcomes}]
        assert (last.state.name, last.schedule_name.rsplit("/", 1)[1]) == ("PIPELINE_STATE_SUCCEEDED", schedule.name.rsplit("/", 1)[1])
        outcomes.append(read_outcome(f"gs://{BUCKET}/pipeline", last.name.rsplit("/", 1)[1]))
        (features,) = [each for each in last.job_detail.task_details if each.task_name == "fingerprint"]
        scheduled = dict(features.execution.metadata)["output:as_of"]
        assert scheduled.startswith(f"2024-03-0{1 + len(outcomes)}T04:00:00")
    old, new = outcomes
    assert (old.data["rows"], new.data["rows"]) == (len(early) - 1, len(rows) - 1)
    assert new.provenance["model_sha256"] != old.provenance["model_sha256"]
    assert new.deployment["was_live"] == old.deployment["live"] != new.deployment["live"]


def moment(text: str):
    return datetime.fromisoformat(text)
