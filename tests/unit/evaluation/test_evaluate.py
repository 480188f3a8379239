"""The evaluation folder, and test windows and models that say nothing."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from churn.evaluation.evaluate import EVALUATION, PROBE, SCORES, UNDEFINED, Evaluation, evaluate
from churn.features.tables import FeatureTable
from churn.platform.errors import IntegrityError
from churn.serving.contract import answer
from churn.training.model import ChurnModel
from tests.unit.training.tables import make_model, make_tables, rows_of, write_table


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluated")
    make_tables(root)
    make_model(root)
    evaluate(root / "model", root / "test", root / "evaluation", rounds=60, seed=7)
    return root


@pytest.fixture
def table(tmp_path):
    return lambda rows: write_table(tmp_path / "table", rows)


def numbers(value):
    """Every number in a JSON value."""
    if isinstance(value, dict | list):
        return [number for each in (value.values() if isinstance(value, dict) else value) for number in numbers(each)]
    return [value] if isinstance(value, int | float) else []


def test_the_figures_are_scikit_learns(root):
    evaluation, scored = Evaluation.read(root / "evaluation"), pd.read_parquet(root / "evaluation" / SCORES)
    churned, probability = scored["churned"], scored["probability"]
    figures = evaluation.metrics
    assert figures["auc_pr"] == evaluation.auc_pr.value == evaluation.gate_value
    assert figures["auc_pr"] == pytest.approx(average_precision_score(churned, probability))
    assert figures["auc_roc"] == pytest.approx(roc_auc_score(churned, probability))
    assert figures["brier"] == pytest.approx(brier_score_loss(churned, probability))
    assert figures["recency_auc_pr"] == pytest.approx(average_precision_score(churned, scored["recency"]))
    assert figures["gain_over_recency"] == pytest.approx(figures["auc_pr"] - figures["recency_auc_pr"])
    assert figures["auc_pr_low"] < figures["auc_pr"] < figures["auc_pr_high"]
    assert figures["lift_over_base_rate"] == pytest.approx(figures["auc_pr"] / churned.mean())
    assert (figures["test_rows"], figures["test_customers"]) == (600, 300)


def test_the_parts_add_up_to_the_whole(root):
    evaluation = Evaluation.read(root / "evaluation")
    assert [part["snapshot"] for part in evaluation.by_snapshot] == ["2023-04-01", "2023-05-01"]
    assert [part["purchases so far"] for part in evaluation.by_segment] == ["1", "2 to 4", "5 and more"]
    for parts in (evaluation.by_snapshot, evaluation.by_segment):
        assert sum(part["rows"] for part in parts) == 600
        assert sum(part["rows"] * part["base_rate"] for part in parts) / 600 == pytest.approx(evaluation.metrics["base_rate"])


def test_the_curves_are_finite_and_few(root):
    curves = Evaluation.read(root / "evaluation").curves
    for curve in curves.values():
        for values in curve.values():
            assert 2 < len(values) <= 200
            assert all(map(math.isfinite, values))
    roc = curves["roc"]
    assert (roc["false_positive_rate"][0], roc["true_positive_rate"][0]) == (0, 0)
    assert (roc["false_positive_rate"][-1], roc["true_positive_rate"][-1]) == (1, 1)
    assert roc["threshold"] == sorted(roc["threshold"], reverse=True)


def test_the_rows_of_known_score_are_over_the_whole_range_and_the_server_gives_them_their_score(root):
    probe = json.loads((root / "evaluation" / PROBE).read_text())
    assert len(probe["instances"]) == 20
    assert any(None in instance.values() for instance in probe["instances"])
    model = ChurnModel.load(root / "model")
    answered = [each["churn_probability"] for each in answer(model, {"instances": probe["instances"]})["predictions"]]
    np.testing.assert_array_equal(answered, probe["probabilities"])
    every = pd.read_parquet(root / "evaluation" / SCORES)["probability"]
    assert (answered[0], answered[-1]) == (every.min(), every.max())


def test_an_evaluation_that_was_changed_is_refused(root, tmp_path):
    for path in (root / "evaluation").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / EVALUATION).write_text((tmp_path / EVALUATION).read_text().replace("0.", "0.9", 1))
    with pytest.raises(IntegrityError, match=EVALUATION):
        Evaluation.read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "base_rate", "why"),
    [
        (rows_of(customers=40).head(0), None, "the test window is empty"),
        (rows_of(customers=40).assign(churned=1), 1.0, "the test window has one class only: every customer churned"),
        (rows_of(customers=40).assign(churned=0), 0.0, "the test window has one class only: no customer churned"),
    ],
    ids=["empty", "all churned", "none churned"],
)
def test_a_test_window_that_says_nothing(root, table, tmp_path, rows, base_rate, why):
    evaluate(root / "model", table(rows), tmp_path / "out", rounds=20, seed=7)
    assert_undefined(tmp_path / "out", base_rate, why)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_whose_probabilities_are_no_numbers(root, tmp_path, monkeypatch, value):
    score = ChurnModel.score

    def broken(model, matrix):
        return np.append(score(model, matrix)[:-1], value)

    monkeypatch.setattr(ChurnModel, "score", broken)
    evaluate(root / "model", root / "test", tmp_path / "out", rounds=20, seed=7)
    base_rate = FeatureTable.read(root / "test").rows["churned"].mean()
    assert_undefined(tmp_path / "out", base_rate, "the model's probabilities are not all finite")


def assert_undefined(folder, base_rate, why):
    """None, never a number that looks like one; no NaN in JSON; −1.0 for the gate."""
    evaluation = Evaluation.read(folder)
    known = {"base_rate", "threshold", "test_rows", "test_customers"}
    assert {name for name, value in evaluation.metrics.items() if value is not None} <= known
    assert evaluation.metrics["base_rate"] == (None if base_rate is None else pytest.approx(base_rate))
    assert (evaluation.gate_value, evaluation.undefined) == (UNDEFINED, why)
    assert (evaluation.auc_pr.value, evaluation.auc_pr.low, evaluation.gain_over_recency.value) == (None, None, None)
    assert (evaluation.curves, evaluation.calibration) == ({}, [])
    assert any(part["auc_pr"] is None for part in evaluation.by_snapshot) or not evaluation.by_snapshot
    for name in (EVALUATION, PROBE):
        assert all(map(math.isfinite, numbers(json.loads((folder / name).read_text()))))
