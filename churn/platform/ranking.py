"""Binary labels in the order of their scores: the curves, and the area under them, counted once for all."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Labels in the order of their scores, prepared once so that a thousand resamples are cheap."""

    order: npt.NDArray[np.intp]
    positive: Floats
    group_ends: npt.NDArray[np.intp]
    thresholds: Floats

    @classmethod
    def of(cls, positive: Any, scores: Any) -> Self:
        """Rank rows by score, highest first; equal scores are one group."""
        scores = np.asarray(scores, dtype=np.float64)
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1) if len(ranked) else np.array([], dtype=np.intp)
        return cls(order, np.asarray(positive, dtype=np.float64)[order], ends, ranked[ends])

    def average_precision(self, weights: Floats | None = None) -> float | None:
        """The area under the precision-recall curve as scikit-learn's average_precision_score has it.

        None without both classes, or where a score is NaN or infinite: nothing is ranked by it.

        Args:
            weights: of the rows, in their own order, shape (rows,); default 1 each.
        """
        hits, shown = self._counts(weights)
        if len(hits) == 0 or hits[-1] <= 0 or hits[-1] >= shown[-1] or not np.isfinite(self.thresholds).all():
            return None
        precision = np.divide(hits, shown, out=np.zeros_like(hits), where=shown > 0)
        return float(np.sum(np.diff(hits, prepend=0.0) * precision) / hits[-1])

    def precision_recall(self) -> dict[str, Floats]:
        """The precision-recall curve from the highest score down, both classes given."""
        hits, shown = self._counts()
        return {"recall": hits / hits[-1], "precision": hits / shown}

    def roc(self) -> dict[str, Floats]:
        """The ROC curve from (0, 0), both classes given; its first threshold is 1, where scikit-learn has infinity."""
        hits, shown = self._counts()
        misses = shown - hits
        rates = {"false_positive_rate": misses / misses[-1], "true_positive_rate": hits / hits[-1]}
        return {name: np.append(0.0, values) for name, values in rates.items()} | {"threshold": np.append(1.0, self.thresholds)}

    def best_f1_threshold(self) -> float:
        """The score from which calling a row positive gives the best F1; a positive row given."""
        hits, shown = self._counts()
        return float(self.thresholds[int(np.argmax(2 * hits / (hits[-1] + shown)))])

    def _counts(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Positives, and rows, down to the end of each group of equal scores."""
        weight = np.ones(len(self.order)) if weights is None else weights[self.order]
        return np.cumsum(weight * self.positive)[self.group_ends], np.cumsum(weight)[self.group_ends]
