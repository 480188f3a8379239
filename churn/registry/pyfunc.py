"""How MLflow loads a model directory."""

from typing import TYPE_CHECKING

from churn.training.model import ChurnModel

if TYPE_CHECKING:
    import pandas as pd


class PyfuncChurnModel:
    """MLflow's face of a ChurnModel."""

    def __init__(self, model: ChurnModel) -> None:
        self._model = model

    def predict(self, rows: "pd.DataFrame") -> "pd.DataFrame":
        """Features by name in; churn_probability out, on the same index."""
        import pandas as pd

        return pd.DataFrame({"churn_probability": self._model.probabilities(rows)}, index=rows.index)


def _load_pyfunc(path: str) -> PyfuncChurnModel:
    return PyfuncChurnModel(ChurnModel.load(path))
