"""How a model is trained: configs/training.yaml."""

from pydantic import Field

from churn.platform.checked import Checked


class TrainingPolicy(Checked):
    """XGBoost's own parameters, by its own names, and when to stop."""

    max_rounds: int = Field(ge=1, le=20_000)
    early_stopping_rounds: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    max_depth: int = Field(ge=1, le=16)
    min_child_weight: float = Field(ge=0)
    min_child_share: float = Field(gt=0, le=1)
    subsample: float = Field(gt=0, le=1)
    colsample_bytree: float = Field(gt=0, le=1)
    reg_lambda: float = Field(ge=0)
    reg_alpha: float = Field(ge=0)
    gamma: float = Field(ge=0)
    max_bin: int = Field(ge=2, le=1024)
