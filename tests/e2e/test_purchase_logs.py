"""Whole runs on purchase logs of other shapes, by a dataset's file alone; and on CDNOW, the embedded default."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from churn.platform.settings import CHECKOUT
from pipelines.submit.main import main as submit
from tests.pipelines.conftest import QUICK, spec  # noqa: F401 (a fixture)

CDNOW = CHECKOUT / "data" / "cdnow" / "CDNOW_master.txt"


def purchases(*, customers=900, months=18, paces=(4, 15, 50), life=250, cohort_days=330, seed=5):
    """Customers with paces of their own, who stop for good after a while: who (a number), at (an instant), paid."""
    generator = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        pace, day = generator.choice(paces), generator.uniform(0, cohort_days)
        stop = min(months * 30.4, day + 10 + generator.exponential(life))
        while day < stop:
            rows.append((customer, pd.Timestamp("2022-01-01") + pd.Timedelta(days=day), round(float(generator.lognormal(3, 0.6)), 2)))
            day += generator.exponential(pace)
    return pd.DataFrame(rows, columns=["who", "at", "paid"]).sort_values("at", ignore_index=True)


@pytest.fixture
def train(workspace, spec):  # noqa: F811
    def run(mapping, *params):
        path = workspace / "dataset.yaml"
        path.write_text(yaml.safe_dump(mapping, allow_unicode=True))
        given = [f"dataset={path}", *QUICK, *params]
        assert submit([str(spec), *(word for each in given for word in ("--param", each))]) == 0
        return json.loads((workspace / "runs" / "latest" / "summary.json").read_text())

    return run


def test_weekly_stamps_of_one_cohort_without_amounts_in_a_german_file(workspace, train):
    frame = purchases(cohort_days=60)
    week = frame["at"].dt.to_period("W-SUN").dt.start_time.dt.strftime("%d.%m.%Y")
    german = pd.DataFrame({"Käufer": frame["who"].map("Kü-{:05}".format), "Woche": week})
    german.to_csv(workspace / "log.csv", sep=";", index=False, encoding="latin-1")
    summary = train(
        {
            "name": "weekly",
            "source": "log.csv",
            "timezone": "Europe/Berlin",
            "columns": {"customer_id": "Käufer", "event_timestamp": "Woche"},
            "format": {"separator": ";", "encoding": "latin-1"},
            "timestamps": {"format": "%d.%m.%Y", "period": "week"},
            "churn": {"horizon_days": 60, "test_snapshots": 2},
        }
    )
    assert summary["deployment"]["line"] == "weekly-60d"
    assert summary["data"]["known_until"].endswith("00:00:00")  # the end of the last week, not its first day
    assert summary["metrics"]["gain_over_recency"] > 0


def test_thousands_of_bad_rows_and_midnights_of_tokyo_in_utc(workspace, train):
    frame = purchases()
    stamp = frame["at"].dt.floor("D").dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = [f"{who}\t{at}\t{paid}".replace(".", ",") for who, at, paid in zip(frame["who"], stamp, frame["paid"], strict=True)]
    for n in range(0, len(lines), 10):
        lines[n] = ["nobody", f"\t{stamp[n]}\t1", f"{n}\tsoon\t1", f"{n}\t2099-01-01T00:00:00Z\t1"][n // 10 % 4]
    (workspace / "log.tsv.gz").write_bytes(gzip.compress("\r\n".join(["id\twhen\tsum", *lines]).encode("utf-8-sig")))
    summary = train(
        {
            "name": "tokyo",
            "source": "log.tsv.gz",
            "timezone": "Asia/Tokyo",
            "columns": {"customer_id": "id", "event_timestamp": "when", "amount": "sum"},
            "format": {"separator": "tab", "decimal": ","},
            "timestamps": {"period": "day"},
            "quality": {"max_rejected_share": 0.2},
            "last_day": "2023-12-31",
            "churn": {"horizon_days": 45},
        }
    )
    assert summary["data"]["rejected_rows"] == len(range(0, len(lines), 10))
    assert summary["data"]["known_until"] == f"{frame['at'].max().date() + pd.Timedelta(days=1)}T00:00:00"
    rejects = pd.read_csv(workspace / "runs" / "latest" / "rejected_rows.csv")
    assert len(rejects) == summary["data"]["rejected_rows"]
    assert rejects["reason"].nunique() == 4


@pytest.mark.parametrize(
    ("name", "low", "high", "shape", "horizon"),
    [
        ("loyal", 0.01, 0.12, {"paces": (3, 5, 9), "life": 1200}, 45),
        ("rare", 0.85, 0.99, {"paces": (150, 300, 900), "customers": 3000}, 30),
    ],
)
def test_base_rates_from_few_to_nearly_all(workspace, train, name, low, high, shape, horizon):
    purchases(**shape).to_parquet(workspace / "log.parquet")
    columns = {"customer_id": "who", "event_timestamp": "at", "amount": "paid"}
    churn = {"horizon_days": horizon, "active_days": 120}
    metrics = train({"name": name, "source": "log.parquet", "columns": columns, "churn": churn})["metrics"]
    assert low < metrics["base_rate"] < high
    assert metrics["auc_pr"] > metrics["base_rate"]


def test_invoice_lines_with_tickets_every_two_weeks(workspace, train):
    frame = purchases().assign(order=lambda rows: [f"O{n}" for n in range(len(rows))])
    lines = pd.concat([frame, frame.assign(paid=1.0)])
    lines = pd.concat([lines, lines.head(500)])
    lines.astype({"who": "float64"}).assign(at=lines["at"].dt.tz_localize("UTC")).to_parquet(workspace / "log.parquet", index=False)
    opened = frame.sample(frac=0.05, random_state=1)
    pd.DataFrame({"c": opened["who"], "t": opened["at"] + pd.Timedelta(days=1)}).to_csv(workspace / "tickets.csv", index=False)
    summary = train(
        {
            "name": "lines",
            "source": "log.parquet",
            "timezone": "America/Sao_Paulo",
            "columns": {"customer_id": "who", "event_timestamp": "at", "amount": "paid", "transaction_id": "order"},
            "lines": "sum",
            "support_tickets": {"source": str(workspace / "tickets.csv"), "columns": {"customer_id": "c", "event_timestamp": "t"}},
            "churn": {"horizon_days": 45, "snapshots": "2 weeks on monday", "test_snapshots": 4},
        }
    )
    assert summary["data"]["duplicate_rows"] == 500
    assert summary["data"]["purchases"] == len(frame)
    assert summary["metrics"]["auc_pr"] > summary["metrics"]["recency_auc_pr"]


def test_cdnow(workspace, spec):  # noqa: F811
    assert CDNOW.exists(), "run: churn data fetch cdnow (make test does)"
    assert submit([str(spec)]) == 0
    summary = json.loads((workspace / "runs" / "latest" / "summary.json").read_text())
    evaluated = next((workspace / ".cache" / "pipeline").glob("*/evaluate/evaluation/evaluation.json"))
    assert [part["snapshot"] for part in json.loads(evaluated.read_text())["by_snapshot"]] == ["1998-02-01", "1998-03-01", "1998-04-01"]
    assert summary["metrics"]["auc_pr"] >= 0.755
    assert summary["metrics"]["gain_over_recency_low"] > 0
    assert summary["gate"]["passed"] is True
    assert (summary["data"]["rows"], summary["data"]["duplicate_rows"]) == (69_659, 0)
    example = json.loads((workspace / "runs" / "latest" / "example.json").read_text())
    assert len(example["instances"]) == 2
