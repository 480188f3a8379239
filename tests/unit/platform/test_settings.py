"""Which environment a command works in, and where things are."""

import pytest

from churn.platform import settings
from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT, CloudApi, Environment, VertexEnvironment, is_loopback


@pytest.fixture
def environments(tmp_path, monkeypatch):
    """Three targets, told apart by where their releases are."""
    local = (settings.CONFIGS / "environments" / "local.yaml").read_text()
    monkeypatch.setattr(settings, "CONFIGS", tmp_path)
    (tmp_path / "environments").mkdir()
    for name in ("local", "named", "variable"):
        (tmp_path / "environments" / f"{name}.yaml").write_text(local.replace("releases: releases", f"releases: {name}"))


@pytest.mark.parametrize(
    ("argument", "variable", "chosen"),
    [("named", "variable", "named"), (None, "variable", "variable"), (None, "", "local"), (None, None, "local")],
)
@pytest.mark.usefixtures("environments")
def test_the_argument_over_churn_target_over_local(monkeypatch, argument, variable, chosen):
    if variable is not None:
        monkeypatch.setenv("CHURN_TARGET", variable)
    assert Environment.read(argument).releases == chosen


def test_ambient_cloud_variables_decide_nothing(monkeypatch):
    before = Environment.read()
    for name in ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT", "CLOUD_ML_PROJECT_ID"):
        monkeypatch.setenv(name, "somebody-elses")
    assert Environment.read() == before
    assert before.target == "local"


def test_vertex_without_a_project_says_how_to_give_one():
    with pytest.raises(ConfigError) as refused:
        Environment.read("vertex")
    assert str(refused.value) == (
        "target vertex: configs/environments/vertex.yaml: project is missing: set it there or with CHURN_PROJECT, for example my-project-123"
    )


@pytest.fixture
def project(monkeypatch):
    for name, value in {"PROJECT": "my-project-123", "BUCKET": "shop-churn", "REGION": "europe-west4"}.items():
        monkeypatch.setenv(f"CHURN_{name}", value)


@pytest.mark.usefixtures("project")
def test_what_follows_from_project_region_and_bucket():
    read = Environment.read("vertex")
    assert isinstance(read, VertexEnvironment)
    assert (read.pipeline_root, read.releases) == ("gs://shop-churn/pipeline", "gs://shop-churn/releases")
    assert read.image_repository == "europe-west4-docker.pkg.dev/my-project-123/churn"
    assert read.places()["serving"] | {"project": "my-project-123", "region": "europe-west4"} == read.places()["serving"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CHURN_PROJECT", "My Project", "project: .*given: 'My Project'.*CHURN_PROJECT, for example my-project-123"),
        ("CHURN_REGION", "europe", "region: .*given: 'europe'.*CHURN_REGION, for example us-central1"),
        ("CHURN_SERVICE_ACCOUNT", "me", "service_account: .*for example churn-pipeline@"),
        ("CHURN_FAILURE_POLICY", "never", "failure_policy: .*'fast' or 'slow'"),
        ("CHURN_MAX_COST_USD", "free", "max_cost_usd: .*given: 'free'.*CHURN_MAX_COST_USD, for example 10"),
        ("CHURN_TRACKING_URI", "sqlite:///mlruns/mlflow.db", "tracking_uri: .*store on one machine.*CHURN_TRACKING_URI"),
    ],
)
@pytest.mark.usefixtures("project")
def test_a_wrong_setting_is_named_with_its_variable_and_an_example(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        Environment.read("vertex").places()


@pytest.mark.usefixtures("project")
def test_a_nested_setting_by_its_variable(monkeypatch):
    monkeypatch.setenv("CHURN_SERVING__MIN_REPLICAS", "1")
    serving = Environment.read("vertex").serving
    assert (serving["min_replicas"], serving["max_replicas"]) == ("1", 10)


def test_which_services_answer_is_said_or_refused(monkeypatch):
    assert CloudApi.read() == CloudApi(vertex_api_endpoint="", vertex_transport="grpc", api_timeout=60)
    monkeypatch.setenv("CHURN_VERTEX_TRANSPORT", "carrier-pigeon")
    with pytest.raises(ConfigError, match=r"vertex_transport: .*CHURN_VERTEX_TRANSPORT, for example grpc"):
        CloudApi.read()


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://127.0.0.1:80", True),
        ("localhost:8443", True),
        ("us-central1-aiplatform.googleapis.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://localhost.example.com:1", False),
    ],
)
def test_what_is_this_machines_own_address(address, own):
    assert is_loopback(address) is own


@pytest.mark.usefixtures("environments")
def test_an_unknown_target_names_those_there_are():
    with pytest.raises(ConfigError, match=r"target 'prod' is not known; there are: local, named, variable"):
        Environment.read("prod")


@pytest.mark.parametrize(
    ("variable", "written", "expected"),
    [
        (None, "sqlite:///mlflow/mlflow.db", "sqlite:///{workspace}/mlflow/mlflow.db"),
        (None, "sqlite:////var/mlflow.db", "sqlite:////var/mlflow.db"),
        ("http://tracking:5000", "sqlite:///mlflow/mlflow.db", "http://tracking:5000"),
        ("sqlite:///other.db", "sqlite:///mlflow/mlflow.db", "sqlite:///{workspace}/other.db"),
    ],
)
def test_where_runs_are_tracked(workspace, monkeypatch, variable, written, expected):
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    environment = Environment.read("local").model_copy(update={"tracking_uri": written})
    assert environment.local_tracking_uri() == expected.format(workspace=workspace)


def test_the_workspace_is_the_checkout_where_nothing_says_otherwise(monkeypatch, tmp_path):
    assert settings.workspace() == CHECKOUT
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHURN_WORKSPACE", "here")
    assert settings.workspace() == tmp_path / "here"
