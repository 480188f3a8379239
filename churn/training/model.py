"""A model as a directory: XGBoost's own file, the features in their order, the threshold, a manifest with hashes. Never a pickle."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from churn.platform.errors import IntegrityError
from churn.platform.files import check_seal, read_json, seal, write_json

if TYPE_CHECKING:
    import pandas as pd
    import xgboost

BOOSTER = "model.ubj"
FACTS = "model.json"
FORMAT = 1


@dataclass(frozen=True)
class ChurnModel:
    """A trained model.

    features: the names, in the order of the model's columns. threshold: a customer with at least this probability is said to churn; chosen on the
    validation window. class_weight: what the churned rows weighed in training; predictions are set back by it, so that they are probabilities.
    facts: what else is known of it (rounds, windows, policy); sha256: of the whole directory.
    """

    booster: "xgboost.Booster"
    features: tuple[str, ...]
    threshold: float
    class_weight: float
    facts: dict[str, Any]
    sha256: str

    def probabilities(self, rows: "pd.DataFrame") -> "np.ndarray":
        """The churn probability of each row (float64, shape (rows,)); `rows` holds the model's features among its columns.

        Raises:
            IntegrityError: a feature of the model is not among the columns.
        """
        missing = [name for name in self.features if name not in rows.columns]
        if missing:
            raise IntegrityError(f"the rows lack features of the model: {', '.join(missing)}")
        return self.score(rows[list(self.features)].to_numpy(dtype="float32"))

    def score(self, matrix: "np.ndarray") -> "np.ndarray":
        """The same for a float32 matrix of shape (rows, features), NaN for null."""
        return np.asarray(probability(self.booster.inplace_predict(matrix, predict_type="margin").astype(np.float64), self.class_weight))

    def importance(self) -> dict[str, float]:
        """Each feature's share of the gain of all splits; features that are never split on are left out."""
        raw = self.booster.get_score(importance_type="total_gain")
        total = sum(raw.values()) or 1.0
        # The booster knows its columns as f0, f1, …: the names stand beside it.
        return {self.features[int(column[1:])]: value / total for column, value in raw.items()}

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model directory, every file checked against its hash.

        Raises:
            IntegrityError: it is not what was written, or of another format.
        """
        xgboost = import_xgboost()
        sha256 = check_seal(folder)
        facts = read_json(Path(folder) / FACTS)
        if facts.pop("format") != FORMAT:
            raise IntegrityError(f"{folder}: is not of format {FORMAT}; train it again")
        booster = xgboost.Booster(model_file=str(Path(folder) / BOOSTER))
        booster.set_param({"nthread": 0})
        head = {name: facts.pop(name) for name in ("features", "threshold", "class_weight")}
        return cls(booster, tuple(head["features"]), head["threshold"], head["class_weight"], facts, sha256)


def probability(margin: Any, class_weight: float) -> Any:
    """The probability behind a margin (log-odds) of a model whose positive rows weighed `class_weight` in training.

    Weights shift the log-odds by log(weight): set back by it, the ranking is the same and the probability is honest again.
    """
    return 1.0 / (1.0 + class_weight * np.exp(-margin))


def read_facts(folder: str | Path) -> dict[str, Any]:
    """What a model directory says of itself (features, threshold, rounds, windows), checked against its hash, without loading the model."""
    check_seal(folder)
    return dict(read_json(Path(folder) / FACTS))


def import_xgboost() -> ModuleType:
    """xgboost without its scikit-learn wrappers: they are optional, nothing here uses them, and they cost each step and server a second."""
    if "xgboost" not in sys.modules and "sklearn" not in sys.modules:
        sys.modules["sklearn"] = None  # type: ignore[assignment] # Python's own way to say: not there
        try:
            return importlib.import_module("xgboost")
        finally:
            del sys.modules["sklearn"]
    return importlib.import_module("xgboost")


def save_model(
    folder: str | Path, booster: "xgboost.Booster", features: list[str], threshold: float, class_weight: float, facts: dict[str, Any]
) -> str:
    """Write a model directory and seal it; gives its sha256, the same for the same model wherever and whenever it is trained."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / BOOSTER)
    head = {"format": FORMAT, "features": features, "threshold": threshold, "class_weight": class_weight}
    write_json(folder / FACTS, head | facts)
    return seal(folder)
