"""Small feature tables and models, quickly made: silence says much of a customer who is quick, and little of one who is slow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from churn.features.tables import FACTS, TABLE
from churn.platform.files import seal, write_json
from churn.training.policy import TrainingPolicy
from churn.training.train import Trained, train

FEATURES = ["days_since_last_transaction", "nb_transactions_total", "usual_gap"]
POLICY = {
    "max_rounds": 40,
    "early_stopping_rounds": 8,
    "learning_rate": 0.2,
    "max_depth": 3,
    "min_child_weight": 5.0,
    "min_child_share": 0.002,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
    "reg_alpha": 0.0,
    "gamma": 0.0,
    "max_bin": 64,
}


def policy(**changed) -> TrainingPolicy:
    return TrainingPolicy(**POLICY | changed)


def rows_of(*, customers: int = 300, snapshots: Sequence[str] = ("2023-03-01",), seed: int = 1, shift: float = 0.0) -> pd.DataFrame:
    """A row for each customer and snapshot; `shift` moves the log-odds of churn."""
    generator = np.random.default_rng(seed)
    size = customers * len(snapshots)
    gap = generator.choice([3.0, 10.0, 40.0], size)
    silence = generator.exponential(20, size)
    odds = 1.2 * (silence / gap - 2).clip(-3, 3) + shift
    return pd.DataFrame(
        {
            "customer_id": np.tile([f"C{n:05}" for n in range(customers)], len(snapshots)),
            "snapshot": np.repeat(pd.to_datetime(list(snapshots)), customers),
            "days_since_last_transaction": silence,
            "nb_transactions_total": generator.integers(1, 9, size).astype(float),
            "usual_gap": np.where(generator.random(size) < 0.05, np.nan, gap),
            "churned": (generator.random(size) < 1 / (1 + np.exp(-odds))).astype(int),
        }
    )


def write_table(folder: Path, rows: pd.DataFrame, *, features: list[str] | None = None, snapshots: Sequence[str] = ("2023-03-01",)) -> Path:
    folder.mkdir(parents=True)
    rows.to_parquet(folder / TABLE, index=False)
    moments = [f"{each}T00:00:00" for each in snapshots]
    last = (pd.Timestamp(snapshots[-1]) + pd.Timedelta(days=30)).isoformat()
    write_json(folder / FACTS, {"features": features or FEATURES, "snapshots": moments, "labels_until": last})
    seal(folder)
    return folder


def make_tables(root: Path, **changed) -> tuple[Path, Path, Path]:
    """The tables of training, validation and test, in this order of time."""
    windows = {"train": ("2023-01-01", "2023-02-01"), "validation": ("2023-03-01",), "test": ("2023-04-01", "2023-05-01")}
    folders = [
        write_table(root / name, rows_of(snapshots=snapshots, seed=seed, **changed), snapshots=snapshots)
        for seed, (name, snapshots) in enumerate(windows.items(), 1)
    ]
    return folders[0], folders[1], folders[2]


def make_model(root: Path, *, seed: int = 7, name: str = "model", **changed) -> tuple[Path, Trained]:
    """A model on the tables of `root`, made where they are not there yet."""
    first, second = (root / "train", root / "validation") if (root / "train").exists() else make_tables(root)[:2]
    return root / name, train(first, second, policy(**changed), seed, root / name)
