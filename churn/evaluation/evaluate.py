"""Score the challenger and the recency baseline on the untouched test window."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from churn.evaluation import metrics as m
from churn.features.tables import FeatureTable
from churn.platform.files import check_seal, read_json, seal, write_json
from churn.platform.ranking import Ranking
from churn.training.model import ChurnModel

if TYPE_CHECKING:
    import pandas as pd

SCORES = "scores.parquet"
EVALUATION = "evaluation.json"
PROBE = "probe.json"
RECENCY = "days_since_last_transaction"
UNDEFINED = -1.0  # what an undefined auc_pr is as a pipeline parameter: it opens no gate
_TOP = 0.1
_PROBE_ROWS = 20
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Evaluation:
    """What stands in an evaluation folder.

    metrics: by name, None where undefined. auc_pr, gain_over_recency: with their intervals. undefined: why auc_pr is undefined, or ''.
    curves: precision-recall and ROC points for drawing. by_snapshot, by_segment: the main figures of each part.
    importance: each feature's share of the model's gain.
    """

    metrics: dict[str, float | None]
    auc_pr: m.Interval
    gain_over_recency: m.Interval
    undefined: str
    calibration: list[dict[str, float]]
    curves: dict[str, dict[str, list[float]]]
    by_snapshot: list[dict[str, Any]]
    by_segment: list[dict[str, Any]]
    importance: dict[str, float]
    labels_until: str

    @property
    def gate_value(self) -> float:
        """auc_pr as the gate's parameter: −1.0 where it is undefined."""
        value = self.auc_pr.value
        return value if value is not None and np.isfinite(value) else UNDEFINED

    @classmethod
    def read(cls, folder: str | Path) -> "Evaluation":
        """Read an evaluation folder, its files checked against their hashes."""
        check_seal(folder)
        values = read_json(Path(folder) / EVALUATION)
        for name in ("auc_pr", "gain_over_recency"):
            values[name] = m.Interval(**values[name])
        return cls(**values)


def evaluate(model_folder: str | Path, test_folder: str | Path, out: str | Path, *, rounds: int, seed: int) -> Evaluation:
    """Evaluate a model on the test window.

    Args:
        model_folder: the model directory.
        test_folder: the feature table of the test window.
        out: the folder to make: scores.parquet (a row of the test window each), evaluation.json, probe.json (rows of known score), sealed.
        rounds: bootstrap resamples.
        seed: of the resamples.
    """
    model, test = ChurnModel.load(model_folder), FeatureTable.read(test_folder)
    rows = test.rows
    probability = model.probabilities(rows)
    scored = rows[["customer_id", "snapshot", "churned", RECENCY]].rename(columns={RECENCY: "recency"}).assign(probability=probability)
    evaluation = assess(scored, rows, model, rounds=rounds, seed=seed, labels_until=test.labels_until)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    scored.to_parquet(out / SCORES, index=False)
    write_json(out / EVALUATION, asdict(evaluation))
    write_json(out / PROBE, probe(model, rows))
    seal(out)
    return evaluation


def assess(scored: "pd.DataFrame", rows: "pd.DataFrame", model: ChurnModel, *, rounds: int, seed: int, labels_until: str) -> Evaluation:
    """Every figure of the evaluation from scored rows (customer_id, snapshot, churned, recency, probability)."""
    churned, probability = scored["churned"].to_numpy(), scored["probability"].to_numpy()
    if not np.isfinite(probability).all():
        probability = np.full(len(scored), np.nan)
    challenger, recency = Ranking.of(churned, probability), Ranking.of(churned, scored["recency"])
    undefined = _undefined(churned, probability)
    value = None if undefined else challenger.average_precision()
    baseline = None if undefined else recency.average_precision()
    draws = m.resampled([challenger, recency], scored["customer_id"], rounds=0 if undefined else rounds, seed=seed)
    auc_pr = m.interval(value, draws[0])
    gain = m.difference(value, baseline, draws[0], draws[1])
    base_rate = float(churned.mean()) if len(churned) else None
    table = [] if undefined else m.calibration(churned, probability)
    figures = {
        "auc_pr": value,
        "auc_pr_low": auc_pr.low,
        "auc_pr_high": auc_pr.high,
        "auc_roc": None if undefined else m.auc_roc(churned, probability),
        "f1_optimal": None if undefined else m.f1_at(churned, probability, model.threshold),
        "recall_top10pct": None if undefined else m.recall_at_top(churned, probability, _TOP),
        "base_rate": base_rate,
        "lift_over_base_rate": value / base_rate if value is not None and base_rate else None,
        "recency_auc_pr": baseline,
        "gain_over_recency": gain.value,
        "gain_over_recency_low": gain.low,
        "gain_over_recency_high": gain.high,
        "brier": None if undefined else float(np.mean((probability - churned) ** 2)),
        "calibration_error": m.calibration_error(table),
        "threshold": model.threshold,
        "test_rows": float(len(scored)),
        "test_customers": float(scored["customer_id"].nunique()),
    }
    snapshots = scored["snapshot"].map(lambda moment: moment.date().isoformat())
    return Evaluation(
        metrics=figures,
        auc_pr=auc_pr,
        gain_over_recency=gain,
        undefined=undefined,
        calibration=table,
        curves={} if undefined else curves(churned, probability),
        by_snapshot=_parts(scored, snapshots, "snapshot"),
        by_segment=_parts(scored, segments(rows), "purchases so far"),
        importance=model.importance(),
        labels_until=labels_until,
    )


def _undefined(churned: "np.ndarray", probability: "np.ndarray") -> str:
    if not len(churned):
        return "the test window is empty"
    if not np.isfinite(probability).all():
        return "the model's probabilities are not all finite"
    if churned.all() or not churned.any():
        return f"the test window has one class only: {'every' if churned.all() else 'no'} customer churned"
    return ""


def segments(rows: "pd.DataFrame") -> "pd.Series[str]":
    """The segment of each row: how often the customer has bought so far."""
    import pandas as pd

    count = rows["nb_transactions_total"]
    return pd.Series(np.select([count <= 1, count <= 4], ["1", "2 to 4"], "5 and more"), index=rows.index)


def _parts(scored: "pd.DataFrame", by: "pd.Series[str]", name: str) -> list[dict[str, Any]]:
    parts = []
    for value, part in scored.groupby(by, sort=True):
        challenger = Ranking.of(part["churned"], part["probability"])
        parts.append(
            {
                name: value,
                "rows": len(part),
                "base_rate": float(part["churned"].mean()),
                "auc_pr": challenger.average_precision(),
                "recency_auc_pr": Ranking.of(part["churned"], part["recency"]).average_precision(),
            }
        )
    return parts


def curves(churned: "np.ndarray", scores: "np.ndarray") -> dict[str, dict[str, list[float]]]:
    """At most 200 points of the precision-recall and the ROC curve, for drawing; every value finite."""
    ranking = Ranking.of(churned, scores)
    return {"precision_recall": _thinned(**ranking.precision_recall()), "roc": _thinned(**ranking.roc())}


def _thinned(**columns: "np.ndarray") -> dict[str, list[float]]:
    length = len(next(iter(columns.values())))
    keep = np.unique(np.linspace(0, length - 1, min(length, _CURVE_POINTS)).astype(int))
    return {name: [float(value) for value in values[keep]] for name, values in columns.items()}


def probe(model: ChurnModel, rows: "pd.DataFrame") -> dict[str, Any]:
    """A few rows, evenly over the scores' range, with the probability that the model gives each: what a deployed model must answer."""
    scored = rows.assign(_score=model.probabilities(rows))
    ranked = scored[np.isfinite(scored["_score"])].sort_values(["_score", "customer_id", "snapshot"], kind="stable")
    chosen = ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, _PROBE_ROWS).astype(int))] if len(ranked) else ranked
    values = chosen[list(model.features)].astype("float32").astype("float64")
    instances = [{name: None if np.isnan(value) else float(value) for name, value in row.items()} for row in values.to_dict("records")]
    return {"instances": instances, "probabilities": [float(value) for value in chosen["_score"]]}
