"""Whole runs through kfp's local runner, on a small log where a model learns more than recency tells."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import compile as compile_command
from pipelines.submit.main import main as submit


def shop_log(path: Path, *, customers: int = 500, months: int = 14, seed: int = 1) -> Path:
    """Customers with paces of their own, some of whom stop for good: a long silence says much of the quick and little of the slow."""
    generator = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        pace = generator.choice([4.0, 15.0, 50.0])
        day, last = generator.uniform(0, 200), generator.exponential(220) + 60
        stop = day + last
        while day < min(months * 30.4, stop):
            rows.append(
                (f"C{customer:04}", pd.Timestamp("2023-01-01") + pd.Timedelta(days=day), round(float(generator.lognormal(3, 0.5)), 2))
            )
            day += generator.exponential(pace)
    frame = pd.DataFrame(rows, columns=["who", "at", "paid"]).sort_values("at")
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def shop_dataset(folder: Path, log: Path, **churn) -> Path:
    """A dataset's file for it."""
    definition = {"horizon_days": 30, "active_days": 90, "test_snapshots": 2, "validation_snapshots": 2} | churn
    columns = {"customer_id": "who", "event_timestamp": "at", "amount": "paid"}
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump({"name": "shop", "source": str(log), "columns": columns, "churn": definition}))
    return path


QUICK = [
    "training.max_rounds=60",
    "training.early_stopping_rounds=10",
    "training.learning_rate=0.1",
    "training.max_depth=3",
    "bootstrap_rounds=100",
]


@dataclass
class Shop:
    """A workspace with the shop's data, and submit over it."""

    root: Path
    dataset: Path
    log: Path
    spec: Path

    def submit(self, *params: str, spec: Path | None = None, flags: tuple[str, ...] = ()) -> int:
        given = [f"dataset={self.dataset}", *QUICK, *params]
        return submit([str(spec or self.spec), *(word for each in given for word in ("--param", each)), *flags])

    @property
    def latest(self) -> dict:
        return json.loads((self.root / "runs" / "latest" / "summary.json").read_text())

    def run(self, *params: str, spec: Path | None = None) -> dict:
        assert self.submit(*params, spec=spec) == 0, self.latest["error"]
        return self.latest

    def altered(self, name: str, *replacements: tuple[str, str]) -> Path:
        """The spec with a step's code changed: the pipeline is the real one, the fault is planted."""
        text = self.spec.read_text()
        values = yaml.safe_load(text)
        for old, new in replacements:
            changed = 0
            for executor in values["deploymentSpec"]["executors"].values():
                command = executor["container"]["command"]
                if old in command[-1]:
                    command[-1] = command[-1].replace(old, new)
                    changed += 1
            assert changed == 1, f"{old!r} stands in {changed} steps"
        path = self.root / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def states(self, summary: dict) -> dict[str, str]:
        return {task["name"]: task["state"] for task in summary["tasks"]}


@pytest.fixture(scope="session")
def spec(tmp_path_factory):
    out = tmp_path_factory.mktemp("specs")
    assert compile_command.main(["--out", str(out)]) == 0
    return out / "training.yaml"


def make_shop(root: Path, spec: Path, **churn) -> Shop:
    log = shop_log(root / "data" / "log.csv")
    return Shop(root, shop_dataset(root, log, **churn), log, spec)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, spec):
    """One workspace for a module: what one test trained, the next takes from the cache, as a person's runs do."""
    root = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_WORKSPACE", str(root))
        yield make_shop(root, spec)
