"""Rows in, one canonical, sorted history out; bad rows set aside with the reason for each; a page on the quality of the data."""

import csv
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.data.fingerprint import fingerprint_sources
from churn.data.mapping import Columns, DatasetMapping
from churn.data.parsing import absent, parse, parse_tickets
from churn.data.quality import Sample, quality_page
from churn.data.reading import read_chunks
from churn.platform import storage
from churn.platform.database import database, quoted
from churn.platform.errors import InputError, StateError
from churn.platform.files import check_seal, read_json, seal, write_json

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

TRANSACTIONS = "transactions.parquet"
TICKETS = "tickets.parquet"
FACTS = "facts.json"
# The last days of a log are plausible while no silence longer than this stands before a few stray rows.
_SILENCE_DAYS = 31
_STRAY_SHARE = 0.005
# What to look at first in the dataset's file, by the commonest reason.
_HINTS = {
    "event_timestamp cannot be read": "timestamps.format",
    "amount cannot be read": "format.decimal and format.thousands",
    "is_cancel is neither true nor false": "columns.is_cancel (values or starts_with)",
    "customer_id is not of the file's encoding": "format.encoding",
}


@dataclass(frozen=True)
class Prepared:
    """What stands in a prepared folder.

    rows: rows of the source. rejected_rows: of them, bad ones. duplicate_rows: of them, repeats of a transaction that were dropped.
    known_until: the moment up to which the log is complete, in the shop's time (ISO 8601). reasons: each reason and its count.
    """

    rows: int
    rejected_rows: int
    duplicate_rows: int
    transactions: int
    purchases: int
    cancellations: int
    customers: int
    tickets: int
    first_day: str
    known_until: str
    timezone: str
    reasons: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """The counts, for a metrics artifact."""
        names = ("rows", "rejected_rows", "duplicate_rows", "transactions", "purchases", "cancellations", "customers", "tickets")
        return {name: getattr(self, name) for name in names}

    def said(self) -> list[str]:
        """What a person should know of these data: warnings, failed quality checks, and the reasons of bad rows."""
        failed = [f"quality: {check['name']}: failed" for check in self.quality if not check["passed"]]
        bad = [f"{count:,} bad rows: {reason}" for reason, count in self.reasons.items()]
        return [*self.warnings, *failed, *bad]

    @classmethod
    def read(cls, folder: str | Path) -> "Prepared":
        """The facts of a prepared folder, whose files are checked against their hashes."""
        check_seal(folder)
        return cls(**read_json(Path(folder) / FACTS))


def prepare(
    mapping: DatasetMapping, source: str, tickets_source: str, *, out: str | Path, rejects: str | Path, page: str | Path, content: str = ""
) -> Prepared:
    """Make the canonical history of one source.

    Args:
        mapping: which column is which, and what stamps and amounts mean.
        source: transactions, Parquet or CSV, a local path or gs://.
        tickets_source: support tickets, or '' for none.
        out: the folder to make: transactions.parquet (sorted by customer and time), tickets.parquet, facts.json, sealed.
        rejects: the CSV to write: line, reason and the values of each bad row.
        page: the HTML page to write on the quality of the data.
        content: the sources' fingerprint as the run found it; '' where nobody looked.

    Raises:
        InputError: missing columns, too many bad rows, no purchase at all.
        StateError: a source has changed since the run looked at it.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="churn-prepare-")))
        reader = _Reader(mapping, scratch, stack.enter_context(_RejectsFile(Path(rejects))))
        reader.transactions(storage.fetch(source, scratch / "source"))
        if not reader.rows:
            raise InputError(f"{source}: has no rows")
        if tickets_source:
            reader.tickets(storage.fetch(tickets_source, scratch / "tickets_source"))
        db = stack.enter_context(database())
        _load(db, scratch, mapping)
        reader.reject_far_dates(db)
        _check_share(reader, source, mapping, rejects)
        duplicates = _drop_repeats(db, mapping)
        _write(db, out, mapping)
        facts = _facts(db, reader, duplicates, mapping, source)
    results = quality_page(reader.sample, mapping, page)
    facts = Prepared(**{**asdict(facts), "quality": results})
    if content and content != fingerprint_sources(source, tickets_source):
        # Other rows under this content's cache key, and its provenance, would be a lie that lasts.
        raise StateError(f"{source} changed while the run was reading it; run again when it is whole")
    write_json(out / FACTS, asdict(facts))
    seal(out)
    return facts


class _RejectsFile:
    """Bad rows as CSV, complete when the block ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def __enter__(self) -> "_RejectsFile":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", newline="", encoding="utf-8", errors="replace")
        self._csv = csv.writer(self._file)
        self._csv.writerow(["line", "reason", "row"])
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, line: int, reason: str, row: str) -> None:
        self._csv.writerow([line, reason, row])
        self.counts[reason] += 1
        self.first.setdefault(reason, f"line {line}: {row[:120]}")

    @property
    def rows(self) -> int:
        return sum(count for reason, count in self.counts.items() if not reason.startswith("ticket: "))


class _Reader:
    """Reads the sources into Parquet pieces of typed rows, and sets the bad ones aside."""

    def __init__(self, mapping: DatasetMapping, scratch: Path, rejects: _RejectsFile) -> None:
        self.mapping = mapping
        self.scratch = scratch
        self.rejects = rejects
        self.rows = 0
        self.sample = Sample()
        for name in ("transactions", "tickets"):
            (scratch / name).mkdir()

    def transactions(self, path: Path) -> None:
        wanted = _wanted(self.mapping.columns)
        chunks = read_chunks(path, self.mapping.format, wanted, hash_rows="transaction_id" in wanted)
        for number, chunk in enumerate(chunks):
            self._faults(chunk.faults, "")
            self.rows += len(chunk.rows) + len(chunk.faults)
            typed, reasons = parse(chunk.rows, self.mapping)
            self.sample.add(typed)
            self._keep(typed, reasons, chunk.rows, self.scratch / "transactions" / f"{number:05}.parquet")

    def tickets(self, path: Path) -> None:
        tickets = self.mapping.support_tickets
        if tickets is None:
            raise InputError(f"{path} is given as support tickets, but the dataset's file has no support_tickets: columns")
        wanted = {name: source for name, source in tickets.columns.model_dump().items() if source}
        for number, chunk in enumerate(read_chunks(path, tickets.format, wanted)):
            self._faults(chunk.faults, "ticket: ")
            typed, reasons = parse_tickets(chunk.rows, tickets.timestamps, self.mapping.timezone)
            self._keep(typed, reasons, chunk.rows, self.scratch / "tickets" / f"{number:05}.parquet")

    def _faults(self, faults: list[tuple[int, str, str]], prefix: str) -> None:
        for line, reason, text in faults:
            self.rejects.add(line, prefix + reason, text)

    def _keep(self, typed: "pd.DataFrame", reasons: "pd.Series[str]", raw: "pd.DataFrame", piece: Path) -> None:
        bad = reasons != ""
        names = [name for name in raw.columns if name not in {"line", "row_hash"}]
        for row, reason in zip(raw.loc[bad, ["line", *names]].itertuples(index=False), reasons[bad], strict=True):
            values = ", ".join(f"{name}={_shown(value)}" for name, value in zip(names, row[1:], strict=True))
            self.rejects.add(int(row[0]), reason, values)
        typed[~bad].to_parquet(piece, index=False)

    def reject_far_dates(self, db: "duckdb.DuckDBPyConnection") -> None:
        """Set aside the rows whose date lies far beyond the others: a typing error is not the end of the data."""
        days = db.execute("SELECT event_timestamp::DATE AS day, count(*) FROM transactions GROUP BY day ORDER BY day").fetchall()
        first, last = plausible_days(days, self.mapping.first_day, self.mapping.last_day)
        outside = f"event_timestamp::DATE NOT BETWEEN {quoted(str(first))} AND {quoted(str(last))}"
        for line, customer, stamp in db.execute(
            f"SELECT line, customer_id, event_timestamp FROM transactions WHERE {outside} ORDER BY line"
        ).fetchall():
            self.rejects.add(
                line, f"event_timestamp lies far beyond the others ({first} to {last})", f"customer_id={customer}, event_timestamp={stamp}"
            )
        db.execute(f"DELETE FROM transactions WHERE {outside}")


def _shown(value: object) -> str:
    return "" if absent(value) else str(value)


def _wanted(columns: Columns) -> dict[str, str]:
    plain = {name: value for name, value in columns.model_dump(exclude={"is_cancel"}).items() if value}
    cancel = columns.is_cancel
    return plain | ({"is_cancel": cancel if isinstance(cancel, str) else cancel.column} if cancel else {})


def plausible_days(days: list[tuple[date, int]], first_day: str = "", last_day: str = "") -> tuple[date, date]:
    """The first and the last day of a log without its stray dates.

    A day is stray where fewer than 0.5 % of the rows lie beyond a silence of more than 31 days (or five times the log's usual pause between days
    with rows, where that is longer). Days that the dataset's file names win.

    Args:
        days: each day with its count of rows, sorted.
        first_day: the first day by the dataset's file, or ''.
        last_day: the last, or ''.
    """
    if not days:
        return date.min, date.max
    total = sum(count for _, count in days)
    pauses = sorted((after - before).days for (before, _), (after, _) in pairwise(days))
    usual = pauses[int(0.9 * (len(pauses) - 1))] if pauses else 1
    silence = max(_SILENCE_DAYS, 5 * usual)
    first = _walk(days, total, silence)
    last = _walk(days[::-1], total, silence)
    return (date.fromisoformat(first_day) if first_day else first, date.fromisoformat(last_day) if last_day else last)


def _walk(days: list[tuple[date, int]], total: int, silence: int) -> date:
    """From one end towards the middle: the day behind the innermost long silence that has only stray rows outside it."""
    outside, plausible = 0, days[0][0]
    for (day, count), (following, _) in pairwise(days):
        outside += count
        if outside >= _STRAY_SHARE * total and outside > 1:
            break
        if abs((following - day).days) > silence:
            plausible = following
    return plausible


def _load(db: "duckdb.DuckDBPyConnection", scratch: Path, mapping: DatasetMapping) -> None:
    pieces = scratch / "transactions" / "*.parquet"
    has = set(_wanted(mapping.columns))
    optional = {
        "created_timestamp": "TIMESTAMP",
        "amount": "DOUBLE",
        "transaction_id": "VARCHAR",
        "is_cancel": "BOOLEAN",
        "row_hash": "VARCHAR",
    }
    has |= {"row_hash"} if "transaction_id" in has else set()
    columns = ", ".join(f"{name if name in has else 'NULL'}::{kind} AS {name}" for name, kind in optional.items())
    db.execute(
        f"CREATE TABLE transactions AS SELECT line::BIGINT AS line, customer_id::VARCHAR AS customer_id, "
        f"event_timestamp::TIMESTAMP AS event_timestamp, {columns} FROM read_parquet({quoted(pieces)}, union_by_name = true)"
    )
    created = "created_timestamp" if mapping.support_tickets and mapping.support_tickets.columns.created_timestamp else "NULL"
    if any((scratch / "tickets").iterdir()):
        db.execute(
            f"CREATE TABLE tickets AS SELECT customer_id::VARCHAR AS customer_id, event_timestamp::TIMESTAMP AS event_timestamp, "
            f"{created}::TIMESTAMP AS created_timestamp FROM read_parquet({quoted(scratch / 'tickets' / '*.parquet')}, union_by_name = true)"
        )
    else:
        db.execute("CREATE TABLE tickets (customer_id VARCHAR, event_timestamp TIMESTAMP, created_timestamp TIMESTAMP)")


def _check_share(reader: _Reader, source: str, mapping: DatasetMapping, rejects: str | Path) -> None:
    bad, rows = reader.rejects.rows, reader.rows
    if bad / rows > mapping.quality.max_rejected_share:
        hint = _HINTS.get(reader.rejects.counts.most_common(1)[0][0], "the mapping")
        worst = ", ".join(
            f"{count:,} {reason} (first: {reader.rejects.first[reason]})" for reason, count in reader.rejects.counts.most_common(3)
        )
        raise InputError(
            f"{source}: {bad:,} of {rows:,} rows are bad ({bad / rows:.1%}), more than quality.max_rejected_share "
            f"{mapping.quality.max_rejected_share:.1%} allows: {worst}; mend {hint} in the dataset's file, or the data; all of them: {rejects}"
        )


def _drop_repeats(db: "duckdb.DuckDBPyConnection", mapping: DatasetMapping) -> int:
    """Drop rows that repeat a transaction_id with every column equal; then, where the mapping says so, sum the lines of one transaction."""
    if mapping.columns.transaction_id is None:
        # Two equal purchases on one day are two purchases where nothing tells them apart.
        return 0
    before = _count(db, "transactions")
    db.execute(
        "CREATE OR REPLACE TABLE transactions AS SELECT * FROM transactions "
        "QUALIFY row_number() OVER (PARTITION BY transaction_id, row_hash ORDER BY line) = 1"
    )
    dropped = before - _count(db, "transactions")
    if mapping.lines == "sum":
        db.execute(
            "CREATE OR REPLACE TABLE transactions AS SELECT min(line) AS line, customer_id, min(event_timestamp) AS event_timestamp, "
            "max(created_timestamp) AS created_timestamp, sum(amount ORDER BY line) AS amount, transaction_id, bool_or(is_cancel) AS is_cancel, "
            "min(row_hash) AS row_hash FROM transactions GROUP BY transaction_id, customer_id"
        )
    return dropped


def _write(db: "duckdb.DuckDBPyConnection", out: Path, mapping: DatasetMapping) -> None:
    zero = "true" if mapping.amounts.zero == "purchase" else "false"
    negative = "true" if mapping.amounts.negative == "purchase" else "false"
    returned = "amount < 0" if mapping.amounts.negative == "return" else "false"
    db.execute(
        f"""
        CREATE OR REPLACE VIEW canonical AS
        SELECT customer_id, event_timestamp, created_timestamp, amount, transaction_id,
               coalesce(is_cancel, false) OR coalesce({returned}, false) AS is_cancel,
               NOT coalesce(is_cancel, false)
                   AND CASE WHEN amount IS NULL OR amount > 0 THEN true WHEN amount = 0 THEN {zero} ELSE {negative} END AS is_purchase
        FROM transactions
        """
    )
    order = "customer_id, event_timestamp, transaction_id, amount, is_cancel, created_timestamp"
    db.execute(f"COPY (SELECT * FROM canonical ORDER BY {order}) TO {quoted(out / TRANSACTIONS)} (FORMAT parquet)")
    db.execute(f"COPY (SELECT * FROM tickets ORDER BY ALL) TO {quoted(out / TICKETS)} (FORMAT parquet)")


def _count(db: "duckdb.DuckDBPyConnection", table: str) -> int:
    return int(_row(db, f"SELECT count(*) FROM {table}")[0])


def _row(db: "duckdb.DuckDBPyConnection", query: str) -> tuple[Any, ...]:
    row = db.execute(query).fetchone()
    assert row is not None
    return tuple(row)


def _facts(db: "duckdb.DuckDBPyConnection", reader: _Reader, duplicates: int, mapping: DatasetMapping, source: str) -> Prepared:
    rows, purchases, cancellations, customers, first, last = _row(
        db,
        "SELECT count(*), count(*) FILTER (is_purchase), count(*) FILTER (is_cancel), count(DISTINCT customer_id) FILTER (is_purchase), "
        "min(event_timestamp), max(event_timestamp) FROM canonical",
    )
    if not purchases:
        raise InputError(f"{source}: none of its {rows:,} good rows is a purchase; look at amounts: and is_cancel in the dataset's file")
    return Prepared(
        rows=reader.rows,
        rejected_rows=reader.rejects.rows,
        duplicate_rows=duplicates,
        transactions=rows,
        purchases=purchases,
        cancellations=cancellations,
        customers=customers,
        tickets=_count(db, "tickets"),
        first_day=first.date().isoformat(),
        known_until=_known_until(last, mapping).isoformat(),
        timezone=mapping.timezone,
        reasons=dict(sorted(reader.rejects.counts.items())),
        warnings=_warnings(db, mapping),
    )


def _known_until(last: datetime, mapping: DatasetMapping) -> datetime:
    # A log stamped by the day is complete for the whole of its last day; one of instants up to its last instant.
    return last + (timedelta(days=1) if mapping.timestamps.period == "day" else timedelta(microseconds=1))


def _warnings(db: "duckdb.DuckDBPyConnection", mapping: DatasetMapping) -> list[str]:
    said = []
    timed, weekdays, days_of_month, days = _row(
        db,
        "SELECT count(*) FILTER (event_timestamp::TIME <> TIME '00:00:00'), count(DISTINCT dayofweek(event_timestamp)), "
        "count(DISTINCT day(event_timestamp)), count(DISTINCT event_timestamp::DATE) FROM canonical",
    )
    if mapping.timestamps.period == "instant" and not timed and days > 1:
        period = "week" if weekdays == 1 else "month" if days_of_month == 1 else "day"
        said.append(
            f"every stamp is 00:00, so each seems to stand for a whole {period}: say timestamps.period: {period} in the dataset's file"
        )
    elif mapping.timestamps.period == "day" and weekdays == 1 and days > 4:
        said.append("every stamp is of one weekday: if it stands for a week, say timestamps.period: week in the dataset's file")
    if mapping.columns.transaction_id and mapping.lines == "keep":
        repeated = _row(db, "SELECT count(*) FROM (SELECT 1 FROM canonical GROUP BY customer_id, transaction_id HAVING count(*) > 1)")[0]
        if repeated:
            said.append(f"{repeated:,} transaction ids stand on several different rows: if they are lines of one purchase, say lines: sum")
    return said
