"""Plain values into kfp's metric artifacts. Infinity and NaN end a run in the orchestrator, so they never leave this file."""

import json
import math
from pathlib import Path
from typing import Any


def show(artifact: Any, values: dict[str, Any]) -> None:
    """Metrics for the console: what is undefined is left out; the values stand in the artifact's file too (one without a file is never cached)."""
    finite = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    for name, value in finite.items():
        artifact.log_metric(name, value)
    _write(artifact, finite)


def show_roc(artifact: Any, curve: dict[str, list[float]]) -> None:
    """A ROC curve for the console, by the names false_positive_rate, true_positive_rate and threshold; an empty one is not drawn."""
    points = [curve.get(name, []) for name in ("false_positive_rate", "true_positive_rate", "threshold")]
    if points[0]:
        artifact.log_roc_curve(*points)
    _write(artifact, curve)


def _write(artifact: Any, value: Any) -> None:
    Path(artifact.path).parent.mkdir(parents=True, exist_ok=True)
    Path(artifact.path).write_text(json.dumps(value, allow_nan=False))
