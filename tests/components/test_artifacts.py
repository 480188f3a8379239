"""Metric artifacts: infinity and NaN would end a run in the orchestrator, and an artifact without a file is never cached."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl

from churn.evaluation.evaluate import curves
from components.artifacts import show, show_roc


@pytest.fixture
def artifact(tmp_path):
    return lambda kind: kind(name="shown", uri=str(tmp_path / "step" / "shown"))


def test_only_finite_numbers_are_shown_and_written(artifact):
    metrics = artifact(dsl.Metrics)
    show(metrics, {"auc_pr": 0.75, "rows": np.int64(3), "undefined": None, "nan": math.nan, "up": math.inf, "down": -math.inf})
    assert metrics.metadata == {"auc_pr": 0.75, "rows": 3.0}
    assert json.loads(Path(metrics.path).read_text()) == metrics.metadata


def test_no_figures_are_still_a_file(artifact):
    metrics = artifact(dsl.Metrics)
    show(metrics, {"auc_pr": None})
    assert (metrics.metadata, Path(metrics.path).read_text()) == ({}, "{}")


def test_a_roc_curve_has_finite_thresholds(artifact):
    roc = artifact(dsl.ClassificationMetrics)
    curve = curves(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))["roc"]
    show_roc(roc, curve)
    shown = roc.metadata["confidenceMetrics"]
    assert [point["confidenceThreshold"] for point in shown] == [1.0, 0.9, 0.8, 0.7, 0.1]
    assert [point["recall"] for point in shown] == curve["true_positive_rate"]
    json.dumps(roc.metadata, allow_nan=False)
    assert json.loads(Path(roc.path).read_text()) == curve


def test_an_empty_curve_is_not_drawn_but_is_a_file(artifact):
    roc = artifact(dsl.ClassificationMetrics)
    show_roc(roc, {})
    assert (roc.metadata, Path(roc.path).read_text()) == ({}, "{}")


def test_a_curve_with_infinity_never_leaves(artifact):
    curve = {"false_positive_rate": [0.0], "true_positive_rate": [0.0], "threshold": [math.inf]}
    with pytest.raises(ValueError, match="JSON"):
        show_roc(artifact(dsl.ClassificationMetrics), curve)
