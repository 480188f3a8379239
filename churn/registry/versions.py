"""Model versions and their stages: none → staging → production → archived, by tag, alias and history (MLflow's own stages are retired)."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.platform.errors import StateError
from churn.registry.tracking import client
from churn.training.model import read_facts

if TYPE_CHECKING:
    from mlflow import MlflowClient

SHA_TAG = "model_sha256"
STAGE_TAG = "stage"
HISTORY_TAG = "stage_history"


def register(
    tracking_uri: str, *, line: str, model: str | Path, model_sha256: str, tracked_run: str, tags: dict[str, str]
) -> tuple[str, bool]:
    """Register a model with its signature as a version in staging; gives the version, and False where this model is registered already.

    Args:
        tracking_uri: sqlite:///PATH, or a server's address; '': none, and the version is ''.
        line: the release line: the registered model's name.
        model: the model directory.
        model_sha256: its hash: it makes the call idempotent.
        tracked_run: MLflow's run that it came from.
        tags: provenance, on the version.
    """
    if not tracking_uri:
        return "", False
    with client(tracking_uri) as mlflow:
        version = _version(mlflow, line, model_sha256)
        if version is not None:
            if version.tags.get(STAGE_TAG) == "none":  # the run that made it was killed before it was staged
                _move(mlflow, line, str(version.version), "staging")
            return str(version.version), False
        _ensure_model(mlflow, line)
        # Making the version reads the logged model where MLflow's default is, so both are done there.
        with _as_default(tracking_uri):
            source, model_id = _log_model(model, tracked_run)
            made = mlflow.create_model_version(
                line, source, run_id=tracked_run, tags={**tags, SHA_TAG: model_sha256, STAGE_TAG: "none"}, model_id=model_id
            )
        _move(mlflow, line, str(made.version), "staging")
        return str(made.version), True


def mark_live(tracking_uri: str, *, line: str, model_sha256: str) -> str:
    """Move the stage of what went live to production, and of what was there to archived; gives the version, '' where it was never registered."""
    with client(tracking_uri) as mlflow:
        version = _version(mlflow, line, model_sha256)
        if version is None:
            return ""
        for other in mlflow.search_model_versions(f"name = '{line}'"):
            if other.tags.get(STAGE_TAG) == "production" and other.version != version.version:
                _move(mlflow, line, str(other.version), "archived")
        if version.tags.get(STAGE_TAG) != "production":
            _move(mlflow, line, str(version.version), "production")
        return str(version.version)


def registered(tracking_uri: str, *, line: str, model_sha256: str) -> tuple[str, dict[str, str]]:
    """The version of a model and its tags; '' and none where it was never registered."""
    with client(tracking_uri) as mlflow:
        version = _version(mlflow, line, model_sha256)
        return (str(version.version), dict(version.tags)) if version is not None else ("", {})


def _version(mlflow: "MlflowClient", line: str, model_sha256: str) -> Any:
    found = mlflow.search_model_versions(f"name = '{line}' and tags.`{SHA_TAG}` = '{model_sha256}'")
    return found[0] if found else None


def _ensure_model(mlflow: "MlflowClient", line: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.create_registered_model(line, description=f"The churn model of the release line {line}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise StateError(f"MLflow refuses the registered model {line}: {error}") from None


def _move(mlflow: "MlflowClient", line: str, version: str, stage: str) -> None:
    before = mlflow.get_model_version(line, version)
    history = [*json.loads(before.tags.get(HISTORY_TAG, "[]")), {"stage": stage, "at": datetime.now(UTC).isoformat(timespec="seconds")}]
    if stage in {"staging", "production"}:
        mlflow.set_registered_model_alias(line, stage, version)
    if stage != "staging" and "staging" in before.aliases:
        mlflow.delete_registered_model_alias(line, "staging")
    mlflow.set_model_version_tag(line, version, HISTORY_TAG, json.dumps(history[-50:]))
    # The stage last: a move that was killed is not taken for done.
    mlflow.set_model_version_tag(line, version, STAGE_TAG, stage)


def _log_model(model: str | Path, tracked_run: str) -> tuple[str, str]:
    """Log the directory as a pyfunc model (no pickle: it is loaded by churn.registry.pyfunc); gives its URI and its id."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    features = read_facts(model)["features"]
    signature = ModelSignature(
        Schema([ColSpec("double", name, required=False) for name in features]),
        Schema([ColSpec("double", "churn_probability")]),
    )
    with mlflow.start_run(run_id=tracked_run):
        logged = mlflow.pyfunc.log_model(
            name="model",
            loader_module="churn.registry.pyfunc",
            data_path=str(model),
            signature=signature,
            pip_requirements=["churn-pipelines[serve]"],
        )
    return str(logged.model_uri), str(logged.model_id)


@contextmanager
def _as_default(tracking_uri: str) -> Iterator[None]:
    """Where a model is logged, and looked for when it is registered, is global in MLflow and stands in the environment: both are put back."""
    import mlflow

    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
