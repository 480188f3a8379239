"""A model as a directory: XGBoost's own file, the features in their order, the threshold, a manifest with hashes. Never a pickle."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from churn.platform.errors import IntegrityError
from churn.platform.files import check_seal, read_json, seal, write_json

if TYPE_CHECKING:
    import numpy as np
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
        import numpy as np

        margin = self.booster.inplace_predict(matrix, predict_type="margin").astype(np.float64)
        # Weighted classes shift the log-odds by log(weight); the ranking is the same, the probability is honest again.
        return np.asarray(1.0 / (1.0 + np.exp(-(margin - math.log(self.class_weight)))))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model directory, every file checked against its hash.

        Raises:
            IntegrityError: it is not what was written, or of another format.
        """
        import xgboost

        sha256 = check_seal(folder)
        facts = read_json(Path(folder) / FACTS)
        if facts.pop("format") != FORMAT:
            raise IntegrityError(f"{folder}: is not of format {FORMAT}; train it again")
        booster = xgboost.Booster(model_file=str(Path(folder) / BOOSTER))
        booster.set_param({"nthread": 0})
        head = {name: facts.pop(name) for name in ("features", "threshold", "class_weight")}
        return cls(booster, tuple(head["features"]), head["threshold"], head["class_weight"], facts, sha256)


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
