"""What the choices of features and parameters earn: docs/decisions/0004-features.md.

python benchmarks/choices.py [--dataset NAME] [--source PATH] [--one-in N]: auc_pr of each choice, mean over seeds, on the
test window that the pipeline uses and on one that ends before it begins (what choices may be made by).
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import pandas as pd

from churn.data.datasets import located, read_dataset
from churn.data.mapping import DatasetMapping
from churn.data.prepare import TRANSACTIONS, prepare
from churn.evaluation.evaluate import evaluate
from churn.features.build import build_features
from churn.features.catalog import FEATURES
from churn.features.definition import ChurnDefinition
from churn.platform.files import read_json, seal, write_json
from churn.training.policy import TrainingPolicy
from churn.training.train import train
from pipelines.configuration import dataset_parameters, training_defaults

SIX = [feature.name for feature in FEATURES[:6]]
MODEL = ["silence_log_odds", "alive_probability", "expected_purchases_per_day"]
NAMES = [feature.name for feature in FEATURES]
SETS = {
    f"all {len(NAMES)} features": NAMES,
    "the six of the feature store": SIX,
    "without the purchase model": [name for name in NAMES if name not in MODEL],
    "expected_purchases_per_day alone": MODEL[2:],
    "without amounts": [name for name in NAMES if "amount" not in name],
    "without tenure": [name for name in NAMES if name != "tenure_days"],
}
POLICIES = [{"max_depth": 2}, {"max_depth": 6}, {"learning_rate": 0.02}, {"learning_rate": 0.1}, {"min_child_weight": 5.0}]
SEEDS = (7, 8, 9)


def scored(tables: Path, names: list[str], policy: TrainingPolicy, seeds: tuple[int, ...]) -> tuple[float, float, float]:
    """Mean auc_pr over the seeds, recency's, and the base rate."""
    figures = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in ("train", "validation", "test"):
                shutil.copytree(tables / name, root / name)
                write_json(root / name / "facts.json", read_json(root / name / "facts.json") | {"features": names})
                seal(root / name)
            train(root / "train", root / "validation", policy, seed, root / "model")
            figures.append(evaluate(root / "model", root / "test", root / "evaluation", rounds=1, seed=seed).metrics)
    return tuple(statistics.mean(each[name] for each in figures) for name in ("auc_pr", "recency_auc_pr", "base_rate"))


def thin(history: Path, one_in: int) -> None:
    """Keep one in so many customers, by a hash of the customer."""
    if one_in > 1:
        rows = pd.read_parquet(history / TRANSACTIONS)
        rows[pd.util.hash_array(rows["customer_id"].to_numpy()) % one_in == 0].to_parquet(history / TRANSACTIONS)
        seal(history)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="cdnow")
    parser.add_argument("--source")
    parser.add_argument("--one-in", type=int, default=1, help="one in so many customers: what a small shop would see")
    options = parser.parse_args()
    dataset = read_dataset(options.dataset)
    values = training_defaults() | dataset_parameters(dataset)
    definition = ChurnDefinition.of({name: values[name] for name in ChurnDefinition.model_fields}, "parameters")
    policy = TrainingPolicy.of(values["training"], "training")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = located(options.source or dataset.source, dataset.path)
        prepare(
            DatasetMapping.of(dataset.mapping, "dataset"),
            source,
            "",
            out=root / "history",
            rejects=root / "bad.csv",
            page=root / "page.html",
        )
        thin(root / "history", options.one_in)
        last = {name: root / "last" / name for name in ("train", "validation", "test")}
        windows = build_features(root / "history", definition, "", last).windows
        # All labels of the window before are known when the pipeline's own test window begins.
        before = {name: root / "before" / name for name in last}
        earlier = build_features(root / "history", definition, windows.test[0].isoformat(), before).windows
        spans = {name: f"{w.test[0]:%Y-%m-%d} to {w.test[-1]:%Y-%m-%d}" for name, w in (("before", earlier), ("last", windows))}
        print(f"{options.dataset}: before = {spans['before']}, last = {spans['last']}")
        print(f"{'':40}{'before':>8}{'last':>8}")
        for words, names in SETS.items():
            (first, r1, b1), (second, r2, b2) = (scored(root / name, names, policy, SEEDS) for name in ("before", "last"))
            print(f"{words:40}{first:8.4f}{second:8.4f}", flush=True)
        print(f"{'recency alone':40}{r1:8.4f}{r2:8.4f}\n{'base rate':40}{b1:8.4f}{b2:8.4f}")
        for change in POLICIES:
            words = ", ".join(f"{name} {value}" for name, value in change.items())
            print(f"{words:40}{scored(root / 'before', NAMES, policy.model_copy(update=change), SEEDS)[0]:8.4f}", flush=True)


if __name__ == "__main__":
    main()
