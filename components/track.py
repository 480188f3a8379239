"""Acts: every run to MLflow, held or not."""

from kfp.dsl import HTML, Artifact, Input, Metrics

from components.base import pipeline_component


@pipeline_component("deploy")
def track(
    tracking_uri: str,
    run: str,
    line: str,
    git_commit: str,
    content: str,
    dataset: dict,
    source: str,
    as_of: str,
    horizon_days: int,
    active_days: int,
    snapshots: str,
    min_history_days: int,
    validation_snapshots: int,
    test_snapshots: int,
    min_auc_pr: float,
    min_gain: float,
    training: dict,
    seed: int,
    model_sha256: str,
    train_metrics: Input[Metrics],
    evaluation: Input[Artifact],
    judgement: Input[Artifact],
    report: Input[HTML],
) -> str:
    """Write the run to MLflow with parameters, metrics, plots and provenance; gives MLflow's run id."""
    from churn.registry.record import record_run

    parameters = {
        "dataset": dataset["name"],
        "source": source,
        "as_of": as_of,
        "horizon_days": horizon_days,
        "active_days": active_days,
        "snapshots": snapshots,
        "min_history_days": min_history_days,
        "validation_snapshots": validation_snapshots,
        "test_snapshots": test_snapshots,
        "min_auc_pr": min_auc_pr,
        "min_gain": min_gain,
        "training": training,
        "seed": seed,
    }
    provenance = {"git_commit": git_commit, "data_fingerprint": content, "model_sha256": model_sha256}
    return record_run(tracking_uri, run, line, parameters, provenance, train_metrics.path, evaluation.path, judgement.path, report.path)
