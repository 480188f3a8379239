"""Runs and versions in one embedded MLflow store."""

import json
import math
import os
import pickletools
import warnings
from pathlib import Path

import numpy as np
import pytest

from churn.registry.tracking import artifact_root, client, import_mlflow, track
from churn.registry.versions import mark_live, register
from churn.training.model import ChurnModel
from tests.unit.training.tables import FEATURES, make_model, rows_of

import_mlflow()


class Store:
    """A store, and two models."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"
        self.models = {name: make_model(root, name=name, seed=seed) for seed, name in enumerate(("first", "second"))}

    def track(self, run: str, line: str = "shop-30d", **changed):
        given = {"parameters": {"horizon_days": 30, "training": {"max_depth": 4}}, "metrics": {"auc_pr": 0.8}, "tags": {"git_commit": "c0"}}
        return track(self.uri, run=run, experiment=line, **(given | {"artifacts": []} | changed))

    def register(self, name: str, line: str = "shop-30d"):
        folder, trained = self.models[name]
        tracked, _ = self.track(f"run-of-{name}", line)
        given = {"model": folder, "model_sha256": trained.model_sha256, "tracked_run": tracked, "tags": {"git_commit": "c0"}}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*input example")
            return register(self.uri, line=line, **given)

    def mark_live(self, name: str, line: str = "shop-30d"):
        return mark_live(self.uri, line=line, model_sha256=self.models[name][1].model_sha256)

    def stage(self, version: str, line: str = "shop-30d") -> tuple[str, list[str]]:
        """The stage of a version, and how it came there."""
        with client(self.uri) as mlflow:
            tags = mlflow.get_model_version(line, version).tags
        return tags["stage"], [each["stage"] for each in json.loads(tags["stage_history"])]

    def aliases(self, line: str = "shop-30d") -> dict[str, str]:
        with client(self.uri) as mlflow:
            return {alias: str(version) for alias, version in mlflow.get_registered_model(line).aliases.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("registry"))


def test_a_run_is_tracked_once_with_what_decided_it(store, tmp_path):
    (tmp_path / "report").write_text("<html>")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "scores.svg").write_text("<svg>")
    artifacts = [tmp_path / "report", tmp_path / "plots"]
    run_id, new = store.track("run-1", metrics={"auc_pr": 0.8, "gate_passed": 0.0}, artifacts=artifacts)
    assert new is True
    assert store.track("run-1", metrics={"auc_pr": 0.9}) == (run_id, False)
    assert store.track("run-2")[0] != run_id
    with client(store.uri) as mlflow:
        run = mlflow.get_run(run_id)
        listed = [item.path for place in ("", "plots") for item in mlflow.list_artifacts(run_id, place)]
    assert run.data.metrics == {"auc_pr": 0.8, "gate_passed": 0.0}
    assert run.data.params == {"horizon_days": "30", "training.max_depth": "4"}
    assert (run.data.tags["churn.run"], run.data.tags["git_commit"]) == ("run-1", "c0")
    assert run.info.status == "FINISHED"
    assert {"report", "plots/scores.svg"} <= set(listed)
    assert Path(artifact_root(store.uri), "shop-30d").is_dir()


def test_an_undefined_metric_is_left_out_and_named(store):
    run_id, _ = store.track("run-undefined", metrics={"auc_pr": None, "auc_roc": math.nan, "brier": math.inf, "base_rate": 0.5})
    with client(store.uri) as mlflow:
        run = mlflow.get_run(run_id)
    assert run.data.metrics == {"base_rate": 0.5}
    assert run.data.tags["churn.undefined_metrics"] == "auc_pr, auc_roc, brier"


def test_a_run_killed_while_it_was_tracked_is_tracked_again(store):
    with client(store.uri) as mlflow:
        experiment = mlflow.create_experiment("killed-30d", artifact_location=str(store.root / "killed"))
        half = mlflow.create_run(experiment, tags={"churn.run": "run-1"}).info.run_id
    run_id, new = store.track("run-1", "killed-30d")
    assert new is True
    assert run_id != half


def test_a_model_goes_through_its_stages(store):
    first, new = store.register("first")
    assert (first, new) == ("1", True)
    assert store.register("first") == ("1", False)
    assert store.stage("1") == ("staging", ["staging"])
    assert store.aliases() == {"staging": "1"}

    assert store.mark_live("first") == "1"
    assert store.mark_live("first") == "1"
    assert store.stage("1") == ("production", ["staging", "production"])
    assert store.aliases() == {"production": "1"}

    assert store.register("second") == ("2", True)
    assert store.aliases() == {"production": "1", "staging": "2"}
    assert store.mark_live("second") == "2"
    assert store.stage("1") == ("archived", ["staging", "production", "archived"])
    assert store.stage("2") == ("production", ["staging", "production"])

    assert store.mark_live("first") == "1"  # a rollback
    assert store.stage("1")[1] == ["staging", "production", "archived", "production"]
    assert store.stage("2")[0] == "archived"
    assert store.aliases() == {"production": "1"}


def test_a_model_that_was_never_registered_has_no_version(store):
    assert mark_live(store.uri, line="shop-30d", model_sha256="0" * 64) == ""
    assert mark_live(store.uri, line="unknown-30d", model_sha256="0" * 64) == ""


def test_a_registration_killed_before_its_stage_is_finished_by_the_next(store):
    version, _ = store.register("first", "half-30d")
    with client(store.uri) as mlflow:
        mlflow.set_model_version_tag("half-30d", version, "stage", "none")
        mlflow.delete_registered_model_alias("half-30d", "staging")
    assert store.register("first", "half-30d") == (version, False)
    assert store.stage(version, "half-30d")[0] == "staging"
    assert store.aliases("half-30d") == {"staging": version}


def test_one_lines_model_is_not_anothers(store):
    assert store.register("first", "other-30d") == ("1", True)
    assert store.mark_live("first", "other-30d") == "1"
    assert store.stage("1", "other-30d")[0] == "production"


@pytest.mark.parametrize("variable", [None, "sqlite:///elsewhere.db"])
def test_registering_leaves_the_environment_as_it_was(store, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    store.register("first", f"left-{len(variable or '')}d")
    assert (os.environ.get("MLFLOW_TRACKING_URI"), os.environ.get("MLFLOW_REGISTRY_URI")) == (variable, None)


def test_what_is_in_production_loads_by_its_alias_and_gives_the_same_probabilities(store, monkeypatch):
    import mlflow

    store.register("second", "loaded-30d")
    store.mark_live("second", "loaded-30d")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    loaded = mlflow.pyfunc.load_model("models:/loaded-30d@production")
    rows = rows_of(customers=20)[FEATURES]
    given = loaded.predict(rows)
    expected = ChurnModel.load(store.models["second"][0]).probabilities(rows)
    np.testing.assert_array_equal(given["churn_probability"], expected)
    signature = loaded.metadata.signature
    assert [column.name for column in signature.inputs] == FEATURES
    assert not any(column.required for column in signature.inputs)  # null is "not known"
    assert [column.name for column in signature.outputs] == ["churn_probability"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="usual_gap"):
        loaded.predict(rows.assign(usual_gap="no number"))


def test_nothing_that_is_logged_is_a_pickle(store):
    store.register("first")
    logged = [path for path in Path(artifact_root(store.uri)).rglob("*") if path.is_file()]
    assert any(path.name == "model.ubj" for path in logged)
    for path in logged:
        assert path.suffix not in {".pkl", ".pickle", ".joblib"}
        with pytest.raises(ValueError, match=r".*"):
            list(pickletools.genops(path.read_bytes()))
