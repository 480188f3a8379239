"""submit --target vertex: what is sent, what is refused before anything is, who is asked at Ctrl-C; the jobs themselves do not run here."""

import json
import signal

import pytest

from churn.cli.main import main as churn
from churn.platform.google import vertex_client
from pipelines.submit import vertex
from pipelines.submit.main import main as submit
from tests.clouds import BUCKET, point_at
from tests.pipelines.conftest import shop_dataset, shop_log, spec  # noqa: F401 (a fixture)

PARENT = "projects/sandbox/locations/us-central1"


@pytest.fixture
def shop(inline_sandbox, workspace, monkeypatch, impatient, spec):  # noqa: F811
    inline_sandbox.reset()
    point_at(monkeypatch, inline_sandbox.environment("rest"))
    monkeypatch.setattr("tests.sandbox.vertex.executor.Executor.start", lambda *_: None)  # the job is taken, and never begins
    log = shop_log(workspace / "log.csv", customers=30)
    return inline_sandbox, [str(spec), "--target", "vertex", "--param", f"dataset={shop_dataset(workspace, log)}"]


def jobs():
    return list(vertex_client("PipelineServiceClient", "us-central1").list_pipeline_jobs(parent=PARENT))


def test_everything_of_the_environment_is_in_the_job(shop, monkeypatch, capsys):
    _, command = shop
    account, network = "churn-pipeline@sandbox.iam.gserviceaccount.com", "projects/123456789012/global/networks/default"
    key = "projects/sandbox/locations/us-central1/keyRings/churn/cryptoKeys/churn"
    for name, value in {"SERVICE_ACCOUNT": account, "NETWORK": network, "KMS_KEY": key, "FAILURE_POLICY": "slow"}.items():
        monkeypatch.setenv(f"CHURN_{name}", value)
    monkeypatch.setenv("CHURN_TRACKING_URI", "http://mlflow.internal:5000")
    assert submit([*command, "--reason", "New prices, again!", "--param", "seed=3"]) == 0
    (job,) = jobs()
    assert (job.service_account, job.network, job.encryption_spec.kms_key_name) == (account, network, key)
    assert job.runtime_config.failure_policy.name == "PIPELINE_FAILURE_POLICY_FAIL_SLOW"
    assert job.runtime_config.gcs_output_directory == f"gs://{BUCKET}/pipeline"
    assert job.labels["reason"] == "new-prices--again-"
    values = dict(job.runtime_config.parameter_values)
    assert (values["target"], values["releases"], values["seed"]) == ("vertex", f"gs://{BUCKET}/releases", 3)
    assert values["tracking_uri"] == "http://mlflow.internal:5000"
    assert values["source"].startswith(f"gs://{BUCKET}/sources/")
    assert values["serving"]["kms_key"] == key
    images = {each["container"]["image"] for each in dict(job.pipeline_spec)["deploymentSpec"]["executors"].values()}
    assert all(image.startswith("us-central1-docker.pkg.dev/sandbox/churn/churn-") for image in images)
    assert values["serving"]["image"].startswith("us-central1-docker.pkg.dev/sandbox/churn/churn-server:")
    said = capsys.readouterr().out
    assert "https://console.cloud.google.com/vertex-ai/pipelines/locations/us-central1/runs/training-" in said
    assert "estimated at about" in said


def test_a_source_is_uploaded_once(shop):
    sandbox, command = shop
    assert submit([*command]) == submit([*command, "--again"]) == 0
    uploads = [name for name in sandbox.calls if name == "storage.objects.insert"]
    assert (len(uploads), len(jobs())) == (1, 2)


def test_a_dry_run_prints_what_would_be_sent_and_sends_nothing(shop, capsys):
    sandbox, command = shop
    assert submit([*command, "--dry-run"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(sandbox.calls) == []
    assert said["pipeline_job"]["runtimeConfig"]["parameterValues"]["target"] == "vertex"
    assert next(iter(said["uploads"].values())).startswith(f"gs://{BUCKET}/sources/")
    assert said["estimate_usd"] > 0
    assert submit(command) == 0
    (job,) = jobs()
    assert job.labels["churn_call"] == said["pipeline_job"]["labels"]["churn_call"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--param", "sede=3"], "parameter 'sede' is not one of the pipeline training; did you mean seed?"),
        (["--param", "seed=three"], "parameter seed: should be a whole number (given: 'three')"),
        (["--param", "min_auc_pr=1.5"], "min_auc_pr"),
        (["--param", "canary.percent=60"], "parameter canary: percent"),
        (["--param", "serving.min_replicas=0"], "parameter serving: min_replicas"),
        (["--param", "serving.color=red"], "parameter serving: color is not a setting here"),
        (["--param", "release_line=Shop!"], "release line 'Shop!'"),
        (["--param", f"release_line={'x' * 60}"], "57 characters"),
        (["--param", "source=nowhere.csv"], "is no file; give one, or a gs:// URI"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_nothing_is_sent(shop, capsys, given, message):
    sandbox, command = shop
    assert submit([*command, *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(sandbox.calls) == []


def test_a_job_that_does_not_say_what_code_it_runs_is_not_sent(shop, capsys):
    sandbox, command = shop
    assert submit([*command, "--param", "git_commit="]) == 2
    assert "the job has no label commit: submit from a git checkout, or say what code it is" in capsys.readouterr().err
    assert list(sandbox.calls) == []
    assert submit([*command, "--param", "git_commit=abc123"]) == 0
    assert jobs()[0].labels["commit"] == "abc123"


def test_above_the_ceiling_nothing_is_sent(shop, capsys, monkeypatch):
    sandbox, command = shop
    monkeypatch.setenv("CHURN_MAX_COST_USD", "0.01")
    assert submit(command) == 2
    assert "above max_cost_usd 0.01; raise CHURN_MAX_COST_USD" in capsys.readouterr().err
    assert list(sandbox.calls) == []


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"CHURN_BUCKET": "no-such-bucket"}, "gs://no-such-bucket/: Cloud Storage says 404"),
        ({"CHURN_VERTEX_API_ENDPOINT": "http://127.0.0.1:9"}, "Google Cloud does not answer"),
        ({"CHURN_VERTEX_API_ENDPOINT": "http://vertex.example"}, "http://vertex.example is not encrypted"),
    ],
)
def test_a_cloud_that_is_not_there_is_one_line(shop, capsys, monkeypatch, variables, message):
    _, command = shop
    point_at(monkeypatch, variables)
    assert submit(command) in {1, 2}
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_credentials_it_says_how_to_get_some(shop, capsys, monkeypatch):
    _, command = shop
    for name in ("CHURN_VERTEX_API_ENDPOINT", "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    assert submit(command) == 1
    error = capsys.readouterr().err
    assert "run gcloud auth application-default login" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("answers", "cancelled"), [(["\n"], False), (["l\n"], False), (["c\n", "\n"], True), (["cancel\n", "l\n"], True)])
def test_ctrl_c_asks_whether_to_leave_it_or_to_cancel_it(shop, monkeypatch, capsys, answers, cancelled):
    """One that is being cancelled is followed to its end; Ctrl-C asks again."""
    sandbox, command = shop
    interrupts = iter(answers)

    def sleep(_):
        if next(interrupts, None) is not None:
            raise KeyboardInterrupt
        raise AssertionError("it went on without asking")

    monkeypatch.setattr(vertex.time, "sleep", sleep)
    monkeypatch.setattr(vertex.sys, "stdin", Answering(answers))
    assert submit([*command, "--wait"]) == 1
    said = capsys.readouterr()
    assert said.out.count("leave it running, or cancel it?") == len(answers)
    assert ("PipelineService.CancelPipelineJob" in sandbox.calls) is cancelled
    assert "goes on; the same command with --wait follows it again" in said.err


class Answering:
    """A person at a terminal."""

    def __init__(self, answers: list[str]) -> None:
        self._answers = iter(answers)

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return next(self._answers)


def test_a_scripts_ctrl_c_leaves_it_running(shop, monkeypatch, capsys):
    sandbox, command = shop
    monkeypatch.setattr(vertex.time, "sleep", lambda _: signal.raise_signal(signal.SIGINT))
    assert submit([*command, "--wait"]) == 1
    assert "PipelineService.CancelPipelineJob" not in sandbox.calls
    assert "goes on" in capsys.readouterr().err


def test_churn_release_with_nothing_there_is_one_line(shop, capsys):
    assert churn(["release", "list", "--target", "vertex"]) == 1
    assert capsys.readouterr().err.startswith(f"churn release: nothing is live yet under gs://{BUCKET}/releases")


def test_churn_schedule_only_where_there_are_schedules(shop, capsys):
    assert churn(["schedule", "show", "--target", "local"]) == 2
    assert capsys.readouterr().err == "churn schedule: schedules are there on Vertex AI, and the target is local; say --target vertex\n"


def test_without_the_sdk_it_says_how_to_install_it(shop, capsys, monkeypatch):
    import sys

    from churn.platform import google

    _, command = shop
    google._client.cache_clear()
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform_v1", None)
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform", None)
    assert submit(command) == 2
    assert "which is not installed here; run: make install-cloud" in capsys.readouterr().err
