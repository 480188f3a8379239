"""The figures: against scikit-learn, and None where they are undefined."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from churn.evaluation import metrics as m
from churn.platform.ranking import Ranking

GENERATOR = np.random.default_rng(4)
SCORES = GENERATOR.random(200).round(2)
CHURNED = (GENERATOR.random(200) < SCORES).astype(int)


def draws(churned, scores, customers, rounds=60, seed=3):
    return m.resampled([Ranking.of(churned, each) for each in scores], customers, rounds=rounds, seed=seed)


def test_the_same_resamples_for_every_ranking():
    first, second = draws(CHURNED, [SCORES, SCORES], np.arange(200))
    np.testing.assert_array_equal(first, second)
    assert first.std() > 0
    assert m.difference(0.7, 0.7, first, second) == m.Interval(0.0, 0.0, 0.0)


def test_customers_are_drawn_not_rows():
    """Every row three times says nothing more, if the three are one customer's."""
    once = draws(CHURNED, [SCORES], np.arange(200))[0]
    order = GENERATOR.permutation(np.tile(np.arange(200), 3))
    thrice = draws(CHURNED[order], [SCORES[order]], order)[0]
    np.testing.assert_allclose(thrice, once)
    as_if_others = draws(np.tile(CHURNED, 3), [np.tile(SCORES, 3)], np.arange(600), rounds=200)[0]
    assert as_if_others.std() < 0.8 * draws(CHURNED, [SCORES], np.arange(200), rounds=200)[0].std()


def test_the_same_seed_gives_the_same_resamples():
    again = draws(CHURNED, [SCORES], np.arange(200))[0]
    np.testing.assert_array_equal(draws(CHURNED, [SCORES], np.arange(200))[0], again)
    assert (draws(CHURNED, [SCORES], np.arange(200), seed=4)[0] != again).any()


def test_a_resample_with_one_class_only_counts_for_none():
    kept = draws([1, 0], [[0.9, 0.1], [0.1, 0.9]], ["a", "b"], rounds=50)
    assert len(kept[0]) == len(kept[1])
    assert 0 < len(kept[0]) < 50
    assert [len(each) for each in draws([], [[], []], [])] == [0, 0]


def test_an_interval_holds_the_middle_95_percent():
    assert m.interval(5.0, np.arange(101.0)) == m.Interval(5.0, 2.5, 97.5)
    assert m.interval(None, np.arange(101.0)) == m.Interval(None, None, None)
    assert m.interval(5.0, np.array([])) == m.Interval(5.0, None, None)
    assert m.difference(None, 0.5, np.array([]), np.array([])) == m.Interval(None, None, None)


def test_auc_roc_is_scikit_learns():
    assert m.auc_roc(CHURNED, SCORES) == pytest.approx(roc_auc_score(CHURNED, SCORES))
    assert m.auc_roc(np.ones(3), [0.1, 0.2, 0.3]) is None


def test_f1_is_scikit_learns_and_the_threshold_itself_counts_as_lost():
    assert m.f1_at(CHURNED, SCORES, 0.4) == pytest.approx(f1_score(CHURNED, SCORES >= 0.4))
    assert m.f1_at([1, 0], [0.5, 0.4], 0.5) == 1.0
    assert m.f1_at([1, 0], [0.5, 0.4], 0.6) == 0.0
    assert m.f1_at([0, 0], [0.5, 0.4], 0.5) is None


def test_recall_at_the_top_tenth():
    churned = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    assert m.recall_at_top(churned, -np.arange(12.0), 0.1) == pytest.approx(2 / 3)  # the tenth of 12 rows is 2: rounded up
    assert m.recall_at_top(churned[:10], np.arange(10.0), 0.1) == pytest.approx(1 / 3)
    assert m.recall_at_top(churned, SCORES[:12], 1.0) == 1.0
    assert m.recall_at_top(np.zeros(5), np.arange(5.0), 0.1) is None


def test_the_calibration_error_is_the_distance_weighted_by_rows():
    table = m.calibration([0, 0, 1, 1, 1], [0.1, 0.1, 0.6, 0.6, 0.9], bins=2)
    assert [each["rows"] for each in table] == [3, 2]
    assert [each["predicted"] for each in table] == pytest.approx([0.8 / 3, 0.75])
    assert [each["observed"] for each in table] == pytest.approx([1 / 3, 1.0])
    assert m.calibration_error(table) == pytest.approx((abs(0.8 / 3 - 1 / 3) * 3 + 0.25 * 2) / 5)


def test_calibration_of_few_rows_and_of_none():
    assert sum(each["rows"] for each in m.calibration(CHURNED, SCORES)) == 200
    assert len(m.calibration([1, 0], [0.2, 0.1])) == 2
    assert m.calibration_error(m.calibration([], [])) is None
