"""Train with early stopping on validation, then again on train and validation with the rounds found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.features.tables import FeatureTable
from churn.platform.errors import InputError
from churn.platform.ranking import Ranking
from churn.training.model import import_xgboost, probability, save_model
from churn.training.policy import TrainingPolicy

if TYPE_CHECKING:
    import numpy as np
    import xgboost

_THREADS = 2  # fixed: the same bits on one machine, whatever else it does


@dataclass(frozen=True)
class Trained:
    """What training found. validation_auc_pr is of the first model, which has not seen the validation rows."""

    model_sha256: str
    rounds: int
    validation_auc_pr: float
    threshold: float
    class_weight: float
    train_rows: int
    validation_rows: int

    def figures(self) -> dict[str, float]:
        """The numbers, for a metrics artifact."""
        names = ("rounds", "validation_auc_pr", "threshold", "class_weight", "train_rows", "validation_rows")
        return {name: getattr(self, name) for name in names}


def train(train_folder: str | Path, validation_folder: str | Path, policy: TrainingPolicy, seed: int, out: str | Path) -> Trained:
    """Train a model and write its directory.

    Args:
        train_folder: the feature table of the training window.
        validation_folder: the one of the validation window: when to stop, and the decision threshold.
        policy: how.
        seed: the same seed, data and machine give the same bits.
        out: the model directory to make.

    Raises:
        InputError: a window without both classes.
    """
    import pandas as pd

    first, second = FeatureTable.read(train_folder), FeatureTable.read(validation_folder)
    for name, table in (("training", first), ("validation", second)):
        if table.rows["churned"].nunique() < 2:
            raise InputError(
                f"the {name} window has {len(table.rows):,} rows and not both classes (churned: {int(table.rows['churned'].sum()):,}): "
                "nothing can be learned; change horizon_days, active_days or the snapshots"
            )
    features = first.features
    booster, rounds = _fit(first, features, policy, seed, validation=second)
    scores = booster.inplace_predict(_matrix(second, features), iteration_range=(0, rounds), predict_type="margin")
    ranking = Ranking.of(second.rows["churned"], scores)
    auc_pr = ranking.average_precision()
    both = FeatureTable(pd.concat([first.rows, second.rows], ignore_index=True), features)
    weight = _class_weight(both)
    final, _ = _fit(both, features, policy, seed, rounds=rounds)
    threshold = probability(ranking.best_f1_threshold(), _class_weight(first))
    facts: dict[str, Any] = {
        "rounds": rounds,
        "validation_auc_pr": auc_pr,
        "windows": {"train": first.snapshots, "validation": second.snapshots},
        "labels_known_until": max(first.labels_until, second.labels_until),
        "policy": policy.model_dump(),
        "seed": seed,
    }
    sha256 = save_model(out, final, features, threshold, weight, facts)
    assert auc_pr is not None  # both classes are there
    return Trained(sha256, rounds, auc_pr, threshold, weight, len(first.rows), len(second.rows))


def _matrix(table: FeatureTable, features: list[str]) -> "np.ndarray":
    return table.rows[features].to_numpy(dtype="float32")


def _class_weight(table: FeatureTable) -> float:
    churned = int(table.rows["churned"].sum())
    return (len(table.rows) - churned) / churned


def _fit(
    table: FeatureTable,
    features: list[str],
    policy: TrainingPolicy,
    seed: int,
    *,
    validation: FeatureTable | None = None,
    rounds: int | None = None,
) -> tuple["xgboost.Booster", int]:
    xgboost = import_xgboost()
    parameters = {
        **policy.model_dump(exclude={"max_rounds", "early_stopping_rounds", "min_child_share"}),
        "min_child_weight": min(policy.min_child_weight, policy.min_child_share * len(table.rows)),
        "objective": "binary:logistic",
        "eval_metric": "aucpr",
        "tree_method": "hist",
        "scale_pos_weight": _class_weight(table),
        "seed": seed,
        "nthread": _THREADS,
    }
    both = {"max_bin": policy.max_bin, "nthread": _THREADS}
    data = xgboost.QuantileDMatrix(_matrix(table, features), table.rows["churned"].to_numpy(), **both)
    if validation is None:
        assert rounds is not None
        return xgboost.train(parameters, data, rounds), rounds
    held = xgboost.QuantileDMatrix(_matrix(validation, features), validation.rows["churned"].to_numpy(), ref=data, **both)
    stop = xgboost.callback.EarlyStopping(rounds=policy.early_stopping_rounds, maximize=True)
    booster = xgboost.train(parameters, data, policy.max_rounds, evals=[(held, "validation")], callbacks=[stop], verbose_eval=False)
    return booster, booster.best_iteration + 1
