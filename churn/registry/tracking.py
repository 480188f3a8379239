"""Every run in MLflow, held or not: parameters, metrics, plots and provenance."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.platform.files import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_TAG = "churn.run"
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the pages open on runs and models, not on traces


def import_mlflow() -> None:
    """Import MLflow with its store, telling nobody, and quiet about its own tables."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow.pyfunc
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def client(tracking_uri: str) -> Iterator["MlflowClient"]:
    """A client of the tracking store. An embedded SQLite store is made where it is missing, and held by one step at a time."""
    import_mlflow()
    from mlflow import MlflowClient

    if not tracking_uri.startswith("sqlite:///"):
        yield MlflowClient(tracking_uri, tracking_uri)
        return
    store = Path(tracking_uri.removeprefix("sqlite:///"))
    with locked(store.with_suffix(".lock")):
        yield MlflowClient(tracking_uri, tracking_uri)


def artifact_root(tracking_uri: str) -> str | None:
    """Where an embedded store keeps its artifacts: beside its database. A server decides for itself (None)."""
    return str(Path(tracking_uri.removeprefix("sqlite:///")).parent / "artifacts") if tracking_uri.startswith("sqlite:///") else None


def track(
    tracking_uri: str,
    *,
    run: str,
    experiment: str,
    parameters: dict[str, Any],
    metrics: dict[str, float | None],
    tags: dict[str, str],
    artifacts: list[str | Path],
) -> tuple[str, bool]:
    """Write a run down; gives MLflow's run id, and False where this run was tracked already.

    Args:
        tracking_uri: sqlite:///PATH, or a server's address.
        run: the pipeline run's id: it makes the call idempotent.
        experiment: the release line.
        parameters: what decided the run.
        metrics: undefined ones (None) are left out, and named in a tag.
        tags: provenance.
        artifacts: files and folders to keep with the run.
    """
    with client(tracking_uri) as mlflow:
        experiment_id = _experiment(mlflow, experiment, artifact_root(tracking_uri))
        found = mlflow.search_runs([experiment_id], f"tags.`{RUN_TAG}` = '{run}' and attributes.status = 'FINISHED'", max_results=1)
        if found:
            return str(found[0].info.run_id), False
        undefined = sorted(name for name, value in metrics.items() if value is None or not math.isfinite(value))
        every_tag = {**tags, RUN_TAG: run, **({"churn.undefined_metrics": ", ".join(undefined)} if undefined else {})}
        run_id = str(mlflow.create_run(experiment_id, tags=every_tag, run_name=run).info.run_id)
        _log(mlflow, run_id, parameters, {name: value for name, value in metrics.items() if name not in undefined})
        for path in artifacts:
            if Path(path).is_dir():
                mlflow.log_artifacts(run_id, str(path), Path(path).name)
            else:
                mlflow.log_artifact(run_id, str(path))
        mlflow.set_terminated(run_id)
        return run_id, True


def _experiment(mlflow: "MlflowClient", name: str, root: str | None) -> str:
    found = mlflow.get_experiment_by_name(name)
    return str(found.experiment_id if found else mlflow.create_experiment(name, f"{root}/{name}" if root else None, _KIND))


def _log(mlflow: "MlflowClient", run_id: str, parameters: dict[str, Any], metrics: dict[str, float | None]) -> None:
    from mlflow.entities import Metric, Param

    flat = dict(_flat(parameters))
    values = [Metric(name, float(value), 0, 0) for name, value in metrics.items() if value is not None]
    mlflow.log_batch(run_id, metrics=values, params=[Param(name, str(value)[:500]) for name, value in flat.items()])


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
