"""Time is honest: windows in order, and no feature sees what was not known at its snapshot."""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.data.prepare import FACTS, TICKETS, TRANSACTIONS
from churn.features.build import build_features, features_sql, labelled_sql
from churn.features.catalog import FEATURES
from churn.features.definition import ChurnDefinition
from churn.features.tables import FeatureTable
from churn.features.windows import knowledge_until, plan_windows, snapshots_between
from churn.platform.errors import ConfigError, InputError
from churn.platform.files import seal, write_json

D = datetime
CDNOW = {
    "horizon_days": 90,
    "active_days": 180,
    "snapshots": "month",
    "min_history_days": 30,
    "validation_snapshots": 3,
    "test_snapshots": 3,
}


def definition(**changes):
    return ChurnDefinition.of(CDNOW | changes, "test")


# Windows


def test_cdnow_is_tested_on_the_last_three_snapshots_with_complete_labels():
    windows = plan_windows(definition(), D(1997, 1, 1), D(1998, 7, 1))
    assert windows.test == (D(1998, 2, 1), D(1998, 3, 1), D(1998, 4, 1))
    assert windows.validation == (D(1997, 9, 1), D(1997, 10, 1), D(1997, 11, 1))
    assert windows.train == tuple(D(1997, month, 1) for month in range(2, 7))


def test_online_retail_is_tested_on_june_to_october():
    windows = plan_windows(definition(horizon_days=60, test_snapshots=5), D(2009, 12, 1), D(2011, 12, 9, 12, 50))
    assert windows.test == tuple(D(2011, month, 1) for month in range(6, 11))


@given(
    horizon=st.integers(1, 200),
    rule=st.sampled_from(["month", "1 week on monday", "4 weeks on sunday", "3 weeks on wednesday"]),
    days=st.integers(60, 2000),
    test=st.integers(1, 6),
    validation=st.integers(1, 6),
)
@settings(deadline=None, max_examples=200)
def test_the_last_label_window_of_one_ends_before_the_first_snapshot_of_the_next(horizon, rule, days, test, validation):
    first = D(2001, 5, 17)
    as_of = first + timedelta(days=days)
    rules = definition(horizon_days=horizon, snapshots=rule, test_snapshots=test, validation_snapshots=validation)
    try:
        windows = plan_windows(rules, first, as_of)
    except InputError as error:
        missing = str(error).partition(" days more")[0].rpartition(" ")[2]
        if missing.isdigit():
            plan_windows(rules, first, as_of + timedelta(days=int(missing)))
            with pytest.raises(InputError):
                plan_windows(rules, first, as_of + timedelta(days=int(missing) - 1))
        return
    label = timedelta(days=horizon)
    assert windows.train[-1] + label <= windows.validation[0]
    assert windows.validation[-1] + label <= windows.test[0]
    assert windows.test[-1] + label <= as_of
    assert len(windows.test) == test
    assert 1 <= len(windows.validation) <= validation
    following = [s for s in snapshots_between(rule, windows.test[-1], as_of) if s > windows.test[-1]]
    assert not following or following[0] + label > as_of


@pytest.mark.parametrize("weekday", ["monday", "thursday", "sunday"])
def test_a_snapshot_stays_one_as_the_log_grows(weekday):
    rule = f"3 weeks on {weekday}"
    short, long = (set(snapshots_between(rule, D(2020, 1, 1), last)) for last in (D(2020, 6, 1), D(2021, 1, 1)))
    assert short == {moment for moment in long if moment <= D(2020, 6, 1)}
    assert {moment.strftime("%A").lower() for moment in long} == {weekday}


@pytest.mark.parametrize(
    ("as_of", "until"),
    [
        ("", D(2020, 5, 5, 12)),
        ("2020-05-01", D(2020, 5, 1)),
        ("2020-05-01T00:00:00Z", D(2020, 5, 1, 9)),
        ("2030-01-01", D(2020, 5, 5, 12)),
    ],
)
def test_the_last_moment_of_knowledge(as_of, until):
    assert knowledge_until(as_of, "2020-05-05T12:00:00", "Asia/Tokyo") == until


def test_a_moment_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="yesterday"):
        knowledge_until("yesterday", "2020-05-05", "UTC")


# Features


SNAPSHOT = D(2020, 6, 1)


def history(seed=0, customers=40, rows=900):
    """Purchases, returns and others around the snapshot, some known late."""
    generator = np.random.default_rng(seed)
    at = pd.Timestamp("2019-06-01") + pd.to_timedelta(generator.integers(0, 500 * 24, rows), unit="h")
    late = pd.to_timedelta(np.where(generator.random(rows) < 0.3, generator.integers(0, 60 * 24, rows), 0), unit="h")
    kind = generator.choice(["purchase", "return", "other"], rows, p=[0.8, 0.1, 0.1])
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{n:02}" for n in generator.integers(0, customers, rows)],
            "event_timestamp": at,
            "created_timestamp": at + late,
            "amount": generator.integers(1, 10_000, rows) / 64,  # sums of these are exact in any order
            "is_purchase": kind == "purchase",
            "is_cancel": kind == "return",
        }
    )
    return frame.sort_values(["customer_id", "event_timestamp"], ignore_index=True)


def as_of_snapshot(transactions, tickets=None, snapshot=SNAPSHOT, active_days=180):
    tickets = tickets if tickets is not None else transactions.iloc[:0][["customer_id", "event_timestamp", "created_timestamp"]]
    with duckdb.connect() as db:
        db.execute("SET threads = 1")
        for name, frame in (("transactions", transactions), ("tickets", tickets)):
            known = frame.assign(known_at=frame[["event_timestamp", "created_timestamp"]].max(axis=1))
            db.register(f"{name}_frame", known)
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_frame")
        return db.execute(f"SELECT * FROM ({features_sql(snapshot, active_days)}) ORDER BY customer_id").df()


def known(frame):
    return (frame["event_timestamp"] < SNAPSHOT) & (frame["created_timestamp"] < SNAPSHOT)


@pytest.mark.parametrize("seed", range(5))
def test_the_future_shuffled_changes_no_feature(seed):
    frame = history(seed)
    generator = np.random.default_rng(seed + 100)
    future = frame[~known(frame)]
    shuffled = future.assign(
        customer_id=generator.permutation(future["customer_id"]),
        amount=generator.permutation(future["amount"]) * 1000,
        is_purchase=generator.permutation(future["is_purchase"]),
    )
    expected = as_of_snapshot(frame)
    assert len(expected) > 20
    for mixed in (pd.concat([frame[known(frame)], shuffled]), frame[known(frame)], pd.concat([frame, shuffled])):
        changed = mixed.sort_values(["customer_id", "event_timestamp"], ignore_index=True)
        pd.testing.assert_frame_equal(as_of_snapshot(changed), expected)


def test_the_past_changed_does_change_features():
    frame = history()
    past = frame.assign(amount=frame["amount"].where(~known(frame), frame["amount"] + 1))
    assert not as_of_snapshot(past).equals(as_of_snapshot(frame))


def test_the_six_of_the_store_are_what_plain_pandas_says():
    frame = history(3)
    tickets = history(4)[["customer_id", "event_timestamp", "created_timestamp"]]
    table = as_of_snapshot(frame, tickets).set_index("customer_id")
    bought = frame[known(frame) & frame["is_purchase"]]
    age = (SNAPSHOT - bought["event_timestamp"]) / pd.Timedelta(days=1)
    by = bought["customer_id"]
    asked = tickets[known(tickets) & (SNAPSHOT - tickets["event_timestamp"] <= pd.Timedelta(days=90))]
    expected = {
        "nb_transactions_7d": (age <= 7).groupby(by).sum(),
        "nb_transactions_30d": (age <= 30).groupby(by).sum(),
        "total_amount_30d": bought["amount"].where(age <= 30, 0).groupby(by).sum(),
        "days_since_last_transaction": age.groupby(by).min(),
        "avg_transaction_amount": bought["amount"].groupby(by).mean(),
        "support_tickets_90d": asked.groupby("customer_id").size(),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name], values.reindex(table.index).fillna(0), err_msg=name)


def purchase(days_before, customer="A", **values):
    at = SNAPSHOT - timedelta(days=days_before)
    row = {"customer_id": customer, "event_timestamp": at, "created_timestamp": at, "amount": 2.0, "is_purchase": True, "is_cancel": False}
    return row | values


def table(*rows):
    frame = pd.DataFrame(rows)
    return frame.astype({"event_timestamp": "datetime64[us]", "created_timestamp": "datetime64[us]"})


@pytest.mark.parametrize(("days", "count"), [(7, 1), (7.001, 0), (0, 0), (0.001, 1), (-1, 0)])
def test_seven_days_before_counts_and_the_snapshot_itself_does_not(days, count):
    features = as_of_snapshot(table(purchase(days), purchase(100)))
    assert features["nb_transactions_7d"].tolist() == [count]


def test_what_was_known_only_at_the_snapshot_is_not_used():
    rows = table(purchase(5, created_timestamp=SNAPSHOT), purchase(6, created_timestamp=SNAPSHOT - timedelta(seconds=1)))
    assert as_of_snapshot(rows)["nb_transactions_7d"].tolist() == [1]


@pytest.mark.parametrize(("days", "counts"), [(180, True), (180.001, False)])
def test_who_bought_in_the_last_active_days_counts(days, counts):
    assert (len(as_of_snapshot(table(purchase(days)))) == 1) is counts


def test_a_return_does_not_make_a_customer():
    assert as_of_snapshot(table(purchase(5, is_purchase=False, is_cancel=True))).empty


@pytest.mark.parametrize(("days_after", "churned"), [(0, 0), (29.999, 0), (30, 1), (40, 1)])
def test_a_purchase_in_the_label_window_is_staying(days_after, churned):
    with duckdb.connect() as db:
        frame = table(purchase(5), purchase(-days_after)).assign(known_at=SNAPSHOT - timedelta(days=5))
        db.register("frame", frame)
        db.execute("CREATE TABLE transactions AS SELECT * FROM frame")
        db.execute("CREATE TABLE tickets (customer_id VARCHAR, event_timestamp TIMESTAMP, known_at TIMESTAMP)")
        (label,) = db.execute(f"SELECT churned FROM ({labelled_sql(features_sql(SNAPSHOT, 180), SNAPSHOT, 30)})").fetchone()
    assert label == churned


def test_a_log_without_amounts_gives_nulls_and_zeros():
    features = as_of_snapshot(table(purchase(5), purchase(50)).assign(amount=np.nan).astype({"amount": "float64"}).replace({np.nan: None}))
    assert features["avg_transaction_amount"].isna().all()
    assert features["total_amount_30d"].tolist() == [0]
    assert features["nb_transactions_total"].tolist() == [2]


def test_every_feature_is_finite_or_null_and_says_what_it_is():
    features = as_of_snapshot(
        pd.concat([history(1), table(purchase(1, "one"), purchase(3, "same"), purchase(3, "same"), purchase(2, "free", amount=0.0))])
    )
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names)
    assert all(feature.unit and feature.description for feature in FEATURES)
    assert not np.isinf(features[names].to_numpy(dtype=float)).any()


# Tables


def prepared(folder: Path, frame: pd.DataFrame, **facts) -> Path:
    folder.mkdir()
    frame.assign(transaction_id=None).to_parquet(folder / TRANSACTIONS)
    frame.iloc[:0][["customer_id", "event_timestamp", "created_timestamp"]].to_parquet(folder / TICKETS)
    counts = dict.fromkeys(
        ("rows", "rejected_rows", "duplicate_rows", "transactions", "purchases", "cancellations", "customers", "tickets"), 0
    )
    until = frame["event_timestamp"].max().isoformat()
    write_json(folder / FACTS, counts | {"first_day": "2019-06-01", "known_until": until, "timezone": "UTC"} | facts)
    seal(folder)
    return folder


def tables(prepared_folder, out, as_of=""):
    folders = {name: out / name for name in ("train", "validation", "test")}
    build_features(prepared_folder, definition(horizon_days=30, test_snapshots=2, validation_snapshots=2), as_of, folders)
    return {name: FeatureTable.read(folder) for name, folder in folders.items()}


def test_a_moment_in_the_past_sees_what_was_known_then(tmp_path):
    frame = history(5, rows=3000)
    moment = pd.Timestamp("2020-05-15")
    cut = frame[(frame["event_timestamp"] < moment) & (frame["created_timestamp"] < moment)]
    then = tables(prepared(tmp_path / "all", frame), tmp_path / "a", "2020-05-15")
    cut_off = tables(prepared(tmp_path / "cut", cut, known_until="2020-05-15T00:00:00"), tmp_path / "b")
    for name, table_then in then.items():
        pd.testing.assert_frame_equal(table_then.rows, cut_off[name].rows)
    assert max(then["test"].snapshots) == "2020-04-01T00:00:00"


def test_the_same_data_give_the_same_bytes(tmp_path):
    folder = prepared(tmp_path / "p", history(6, rows=2000))
    for out in ("a", "b"):
        tables(folder, tmp_path / out)
    for name in ("train", "validation", "test"):
        assert (tmp_path / "a" / name / "rows.parquet").read_bytes() == (tmp_path / "b" / name / "rows.parquet").read_bytes()
