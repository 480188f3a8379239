"""Test windows that say nothing: the gate stays closed, the run goes on to its end and says why."""

import numpy as np
import pandas as pd
import pytest

from tests.pipelines.conftest import make_shop


@pytest.fixture
def shop(workspace, spec):
    return make_shop(workspace, spec, test_snapshots=1, active_days=40)


def write_log(shop, rows):
    pd.DataFrame(rows, columns=["who", "at", "paid"]).sort_values("at").to_csv(shop.log, index=False)


def purchases(who, days):
    return [(who, pd.Timestamp("2023-01-01") + pd.Timedelta(days=float(day)), 10.0) for day in days]


def faithful_and_lost(until):
    """Half buy every five days until the end, half stop early on."""
    generator = np.random.default_rng(3)
    rows = []
    for customer in range(120):
        stop = until if customer % 2 else generator.uniform(40, min(until - 98, 322))
        rows += purchases(f"C{customer}", np.arange(generator.uniform(0, 5), stop, 5))
    return rows


def assert_closed(summary, why):
    assert summary["status"] == "succeeded"
    assert summary["metrics"]["auc_pr"] is None
    assert summary["gate"]["passed"] is False
    assert any(why in reason for reason in summary["gate"]["reasons"])
    assert summary["deployment"]["deployed"] is False


def test_one_class(shop):
    write_log(shop, faithful_and_lost(until=420))
    summary = shop.run("min_auc_pr=0.1")
    assert_closed(summary, "one class only: no customer churned")
    assert summary["metrics"]["base_rate"] == 0


def test_nobody(shop):
    # A silence of four months, and then a new clientele: at the snapshot in the silence nobody counts.
    write_log(shop, faithful_and_lost(until=262) + [row for n in range(40) for row in purchases(f"N{n}", np.arange(380 + n / 50, 420, 4))])
    summary = shop.run("min_auc_pr=0.1", "as_of=2023-12-20")
    assert_closed(summary, "the test window is empty")
    assert summary["metrics"]["base_rate"] is None
