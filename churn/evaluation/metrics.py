"""How well scores rank customers who churn. An undefined figure is None, never a number that looks like one."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Labels in the order of their scores, prepared once so that a thousand resamples are cheap."""

    order: npt.NDArray[np.intp]
    churned: Floats
    group_ends: npt.NDArray[np.intp]

    @classmethod
    def of(cls, churned: Any, scores: Any) -> Self:
        """Rank rows by score, highest first; equal scores are one group."""
        scores = np.asarray(scores, dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1) if len(ranked) else np.array([], dtype=np.intp)
        return cls(order, np.asarray(churned, dtype=np.float64)[order], ends)

    def average_precision(self, weights: Floats | None = None) -> float | None:
        """The area under the precision-recall curve as scikit-learn's average_precision_score has it; None without both classes.

        Args:
            weights: of the rows, in their own order, shape (rows,); default 1 each.
        """
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        hits = np.cumsum(weight * self.churned)[self.group_ends]
        shown = np.cumsum(weight)[self.group_ends]
        if len(hits) == 0 or hits[-1] <= 0 or hits[-1] >= shown[-1]:
            return None
        precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])


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
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(churned, scores)) if len(np.unique(churned)) == 2 else None


def f1_at(churned: Any, probability: Any, threshold: float) -> float | None:
    """F1 of calling a customer lost from `threshold` on; None where nobody churned."""
    from sklearn.metrics import f1_score

    return float(f1_score(churned, np.asarray(probability) >= threshold, zero_division=0)) if np.any(churned) else None


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
