"""Cached: the challenger and the recency baseline on the test window; it knows no champion."""

from kfp.dsl import Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.base import pipeline_component


@pipeline_component("train")
def evaluate(
    model: Input[Model],
    test_table: Input[Dataset],
    bootstrap_rounds: int,
    seed: int,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    roc: Output[ClassificationMetrics],
) -> float:
    """Score the challenger and the recency baseline on the untouched test window; gives auc_pr, -1.0 where it is undefined."""
    from churn.evaluation.evaluate import evaluate as evaluate_model
    from components.artifacts import show, show_roc

    result = evaluate_model(model.path, test_table.path, evaluation.path, rounds=bootstrap_rounds, seed=seed)
    show(metrics, result.metrics)
    show_roc(roc, result.curves.get("roc", {}))
    return result.gate_value
