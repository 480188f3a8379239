"""Average precision and the curves, against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_curve

from churn.platform.ranking import Ranking

# Few different scores, so that most rows are tied.
ROWS = st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_average_precision_is_scikit_learns_with_ties_and_weights(rows):
    churned, scores, weights = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    for weight in (None, weights):
        shares = np.bincount(churned.astype(int), weight, minlength=2)
        ours = Ranking.of(churned, scores).average_precision(weight)
        if not shares.all():
            assert ours is None
        else:
            assert ours == pytest.approx(average_precision_score(churned, scores, sample_weight=weight), abs=1e-12)


@pytest.fixture(scope="module")
def scored():
    generator = np.random.default_rng(2)
    scores = generator.random(300).round(2)
    return (generator.random(300) < scores).astype(int), scores


def test_the_roc_curve_is_scikit_learns_with_a_finite_first_threshold(scored):
    ours = Ranking.of(*scored).roc()
    false, true, thresholds = roc_curve(*scored, drop_intermediate=False)
    np.testing.assert_allclose(ours["false_positive_rate"], false)
    np.testing.assert_allclose(ours["true_positive_rate"], true)
    assert thresholds[0] == np.inf
    np.testing.assert_allclose(ours["threshold"], [1.0, *thresholds[1:]])


def test_the_precision_recall_curve_is_scikit_learns(scored):
    ours = Ranking.of(*scored).precision_recall()
    precision, recall, _ = precision_recall_curve(*scored)
    # scikit-learn runs from the lowest score up and ends with a point of its own at recall 0.
    np.testing.assert_allclose(ours["precision"], precision[-2::-1])
    np.testing.assert_allclose(ours["recall"], recall[-2::-1])


def test_no_threshold_has_a_better_f1(scored):
    churned, scores = scored
    best = Ranking.of(churned, scores).best_f1_threshold()
    of = {threshold: f1_score(churned, scores >= threshold) for threshold in np.unique(scores)}
    assert of[best] == max(of.values())


def test_no_rows_and_scores_that_are_no_numbers_are_no_figure():
    assert Ranking.of([], []).average_precision() is None
    for value in (np.nan, np.inf, -np.inf):
        assert Ranking.of([1, 0, 1], [0.3, 0.2, value]).average_precision() is None
