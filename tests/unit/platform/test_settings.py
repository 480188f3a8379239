"""Which environment a command works in, and where things are."""

import pytest

from churn.platform import settings
from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT, Environment


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


@pytest.mark.usefixtures("environments")
def test_vertex_without_a_project_says_what_to_do():
    with pytest.raises(ConfigError, match=r"target vertex: no Google Cloud project is configured .*--target local"):
        Environment.read("vertex")


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
