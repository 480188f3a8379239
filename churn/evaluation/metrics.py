"""How well scores rank customers who churn. An undefined figure is None, never a number that looks like one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.platform.ranking import Floats, Ranking


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % bootstrap interval; all None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def resampled(rankings: list[Ranking], customers: Any, *, rounds: int, seed: int) -> list[Floats]:
    """The average precision of each ranking on the same resamples of customers, one array of shape (defined rounds,) for each.

    Customers are drawn, not rows: the rows of one customer at several snapshots say much the same.
    """
    index, counts = np.unique(np.asarray(customers), return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn: list[list[float]] = []
    for _ in range(rounds if len(index) else 0):
        weight = np.bincount(generator.integers(0, len(index), len(index)), minlength=len(index)).astype(np.float64)
        values = [ranking.average_precision(weight[counts]) for ranking in rankings]
        if None not in values:
            drawn.append([value for value in values if value is not None])
    table = np.array(drawn, dtype=np.float64).reshape(-1, len(rankings))
    return [table[:, column] for column in range(len(rankings))]


def interval(value: float | None, draws: Floats) -> Interval:
    """The estimate with the 2.5 and the 97.5 percentile of its resamples."""
    if value is None or len(draws) == 0:
        return Interval(value, None, None)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def difference(first: float | None, second: float | None, first_draws: Floats, second_draws: Floats) -> Interval:
    """first − second, with the interval of their paired difference."""
    value = None if first is None or second is None else first - second
    return interval(value, first_draws - second_draws)


def auc_roc(churned: Any, scores: Any) -> float | None:
    """The area under the ROC curve; None without both classes."""
    if len(np.unique(churned)) < 2:
        return None
    curve = Ranking.of(churned, scores).roc()
    return float(np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"]))


def f1_at(churned: Any, probability: Any, threshold: float) -> float | None:
    """F1 of calling a customer lost from `threshold` on; None where nobody churned."""
    churned, called = np.asarray(churned) == 1, np.asarray(probability) >= threshold
    return float(2 * (churned & called).sum() / (churned.sum() + called.sum())) if churned.any() else None


def recall_at_top(churned: Any, scores: Any, share: float) -> float | None:
    """The share of all who churned that is among the `share` of rows with the highest scores; None where nobody churned."""
    churned = np.asarray(churned)
    if not churned.any():
        return None
    top = np.argsort(-np.asarray(scores), kind="stable")[: int(np.ceil(share * len(churned)))]
    return float(churned[top].sum() / churned.sum())


def calibration(churned: Any, probability: Any, bins: int = 10) -> list[dict[str, float]]:
    """Bins of equal size by probability: the mean probability, the share that churned, and the rows in each."""
    churned, probability = np.asarray(churned, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    parts = [part for part in np.array_split(np.argsort(probability, kind="stable"), bins) if len(part)]
    return [{"predicted": float(probability[p].mean()), "observed": float(churned[p].mean()), "rows": len(p)} for p in parts]


def calibration_error(table: list[dict[str, float]]) -> float | None:
    """The mean distance of predicted from observed over the bins, weighted by rows (expected calibration error)."""
    rows = sum(each["rows"] for each in table)
    return sum(abs(each["predicted"] - each["observed"]) * each["rows"] for each in table) / rows if rows else None
