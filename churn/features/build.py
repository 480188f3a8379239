"""Feature tables: who counts at each snapshot, what was known of them then, and whether they churned."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from churn.data.prepare import TICKETS, TRANSACTIONS, Prepared
from churn.features.catalog import FEATURES, Feature
from churn.features.definition import ChurnDefinition
from churn.features.tables import FACTS, TABLE
from churn.features.windows import Windows, knowledge_until, plan_windows
from churn.platform.database import database, quoted
from churn.platform.files import seal, write_json

if TYPE_CHECKING:
    import duckdb

WINDOWS = ("train", "validation", "test")


@dataclass(frozen=True)
class Built:
    """What was built: the windows, rows and share that churned in each, by the window's name."""

    windows: Windows
    as_of: str
    rows: dict[str, int]
    base_rate: dict[str, float]

    def counts(self) -> dict[str, float]:
        """Rows and base rate of each window, for a metrics artifact."""
        return {f"{name}_{what}": values[name] for what, values in (("rows", self.rows), ("base_rate", self.base_rate)) for name in WINDOWS}

    def window(self, name: str) -> dict[str, str | int]:
        """One window in words."""
        snapshots = getattr(self.windows, name)
        return {
            "rows": self.rows[name],
            "first_snapshot": f"{snapshots[0]:%Y-%m-%d}",
            "last_snapshot": f"{snapshots[-1]:%Y-%m-%d}",
            "as_of": self.as_of,
        }


def build_features(prepared: str | Path, definition: ChurnDefinition, as_of: str, out: dict[str, str | Path]) -> Built:
    """Build the three feature tables.

    Args:
        prepared: a prepared folder.
        definition: what churn is.
        as_of: the last moment of knowledge, or '' for the end of the data.
        out: the folder to make for each of train, validation and test: rows.parquet, facts.json, sealed.

    Raises:
        InputError: the log is too short.
    """
    facts = Prepared.read(prepared)
    until = knowledge_until(as_of, facts.known_until, facts.timezone)
    windows = plan_windows(definition, datetime.fromisoformat(facts.first_day), until)
    rows, base_rate = {}, {}
    with database() as db:
        # One thread: sums of floats depend on their order, and the same data must give the same bits.
        db.execute("SET threads = 1")
        _load(db, Path(prepared), until)
        for name in WINDOWS:
            rows[name], base_rate[name] = _window(db, getattr(windows, name), definition, Path(out[name]))
    return Built(windows, until.isoformat(), rows, base_rate)


def _load(db: "duckdb.DuckDBPyConnection", prepared: Path, until: datetime) -> None:
    """What is known at `until`, with the moment from which each row was known."""
    for table, file in (("transactions", TRANSACTIONS), ("tickets", TICKETS)):
        db.execute(
            f"CREATE TABLE {table} AS SELECT *, greatest(event_timestamp, coalesce(created_timestamp, event_timestamp)) AS known_at "
            f"FROM read_parquet({quoted(prepared / file)}) WHERE known_at < ?",
            [until],
        )


def _window(
    db: "duckdb.DuckDBPyConnection", snapshots: tuple[datetime, ...], definition: ChurnDefinition, folder: Path
) -> tuple[int, float]:
    folder.mkdir(parents=True, exist_ok=True)
    # Snapshot by snapshot: the memory needed is that of one, however long the log is.
    for number, snapshot in enumerate(snapshots):
        select = features_sql(snapshot, definition.active_days)
        label = labelled_sql(select, snapshot, definition.horizon_days)
        db.execute(f"CREATE TABLE part AS {label}" if number == 0 else f"INSERT INTO part {label}")
    db.execute(f"COPY (SELECT * FROM part ORDER BY snapshot, customer_id) TO {quoted(folder / TABLE)} (FORMAT parquet)")
    counted = db.execute("SELECT count(*), coalesce(avg(churned), 0) FROM part").fetchone()
    assert counted is not None
    db.execute("DROP TABLE part")
    labels_until = snapshots[-1] + timedelta(days=definition.horizon_days)
    write_json(
        folder / FACTS,
        {
            "features": [feature.name for feature in FEATURES],
            "snapshots": [snapshot.isoformat() for snapshot in snapshots],
            "labels_until": labels_until.isoformat(),
            "rows": counted[0],
            "base_rate": counted[1],
        },
    )
    seal(folder)
    return int(counted[0]), float(counted[1])


def features_sql(snapshot: datetime, active_days: int, features: tuple[Feature, ...] = FEATURES) -> str:
    """The query for the customers who count at a snapshot and their features as of then.

    It reads the tables transactions and tickets (each with known_at), and only their rows from before the snapshot that were known before it.
    """
    at = f"TIMESTAMP {quoted(snapshot.isoformat(sep=' '))}"
    of = {
        source: ",\n".join(f"({each.sql})::DOUBLE AS {each.name}" for each in features if each.of == source)
        for source in ("transactions", "tickets")
    }
    names = ", ".join(f"coalesce(tickets_known.{each.name}, 0) AS {each.name}" if each.of == "tickets" else each.name for each in features)
    return f"""
        WITH known AS (
            SELECT customer_id, event_timestamp, amount, is_purchase, is_cancel,
                   epoch({at} - event_timestamp) / 86400.0 AS age_days,
                   epoch(event_timestamp - lag(event_timestamp) OVER before) / 86400.0 AS gap_days
            FROM transactions WHERE event_timestamp < {at} AND known_at < {at}
            WINDOW before AS (PARTITION BY customer_id, is_purchase ORDER BY event_timestamp, amount)
        ),
        transactions_known AS (
            SELECT customer_id, {of["transactions"]}
            FROM known GROUP BY customer_id HAVING count(*) FILTER (is_purchase AND age_days <= {active_days}) > 0
        ),
        tickets_known AS (
            SELECT customer_id, {of["tickets"]}
            FROM (SELECT customer_id, epoch({at} - event_timestamp) / 86400.0 AS age_days FROM tickets
                  WHERE event_timestamp < {at} AND known_at < {at})
            GROUP BY customer_id
        )
        SELECT transactions_known.customer_id, {at} AS snapshot, {names}
        FROM transactions_known LEFT JOIN tickets_known USING (customer_id)
    """


def labelled_sql(select: str, snapshot: datetime, horizon_days: int) -> str:
    """The same with `churned`: 1 where no purchase follows in [snapshot, snapshot + horizon_days)."""
    at = f"TIMESTAMP {quoted(snapshot.isoformat(sep=' '))}"
    return f"""
        SELECT features.*, CASE WHEN bought.customer_id IS NULL THEN 1 ELSE 0 END AS churned
        FROM ({select}) AS features
        LEFT JOIN (SELECT DISTINCT customer_id FROM transactions
                   WHERE is_purchase AND event_timestamp >= {at} AND event_timestamp < {at} + INTERVAL {horizon_days} DAY) AS bought
        USING (customer_id)
    """
