"""The page on the quality of the data: missing values, duplicates, ranges, dates (Evidently)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn.data.mapping import DatasetMapping

if TYPE_CHECKING:
    import pandas as pd

_MOST = 100_000  # rows on the page: Evidently holds them in memory
_MOST_REPEATED = 0.05
_FIRST_YEAR, _LAST_YEAR = 1980, 2100


class Sample:
    """Up to 100,000 rows of a source, evenly from its whole length, bad ones included: every n-th line, n doubling as the file goes on."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._stride = 1
        self._frames: list[pd.DataFrame] = []

    def add(self, rows: "pd.DataFrame") -> None:
        """Take in the next rows (with their `line`)."""
        self._frames.append(rows[rows["line"] % self._stride == 0])
        while sum(map(len, self._frames)) > self._most:
            self._stride *= 2
            self._frames = [frame[frame["line"] % self._stride == 0] for frame in self._frames]

    @property
    def rows(self) -> "pd.DataFrame":
        """The sample."""
        import pandas as pd

        return pd.concat(self._frames, ignore_index=True) if self._frames else pd.DataFrame()


def quality_page(sample: Sample, mapping: DatasetMapping, page: str | Path) -> list[dict[str, Any]]:
    """Write the page; gives each check with its name and whether it passed.

    Checks: the missing share of each mapped column, the share of rows that repeat another, and the range of amounts and of dates.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DuplicatedRowCount, MaxValue, MinValue, MissingValueCount, RowCount
    from evidently.tests import gt, gte, lte

    rows = sample.rows.drop(columns=["line", "row_hash"], errors="ignore")
    rows["year"] = rows["event_timestamp"].dt.year.astype(float)
    if "is_cancel" in rows:
        rows["is_cancel"] = rows["is_cancel"].astype(object).map(lambda value: None if value is None else str(value))
    numbers = [name for name in ("amount", "year") if name in rows]
    times = [name for name in ("event_timestamp", "created_timestamp") if name in rows]
    words = [name for name in ("customer_id", "transaction_id", "is_cancel") if name in rows]
    definition = DataDefinition(numerical_columns=numbers, datetime_columns=times, categorical_columns=words)
    # A created_timestamp may be missing: the row was then known when it happened.
    required = [name for name in (*words, *times, *numbers) if name not in {"created_timestamp", "year"}]
    most_missing = mapping.quality.max_missing_share
    checks: list[Any] = [RowCount(tests=[gt(0)])]
    checks += [MissingValueCount(column=name, share_tests=[lte(most_missing)]) for name in required]
    # Equal rows say something is wrong only where something ought to tell purchases apart.
    telling = mapping.columns.transaction_id is not None or mapping.timestamps.period == "instant"
    checks += [DuplicatedRowCount(tests=[lte(_MOST_REPEATED * len(rows))] if telling else [])]
    checks += [metric(column="amount") for metric in (MinValue, MaxValue) if "amount" in rows]
    checks += [MinValue(column="year", tests=[gte(_FIRST_YEAR)]), MaxValue(column="year", tests=[lte(_LAST_YEAR)])]
    snapshot = Report(checks).run(Dataset.from_pandas(rows, definition), None)
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    snapshot.save_html(str(page))
    return [{"name": str(test["name"]), "passed": str(test["status"]).rsplit(".", 1)[-1] == "SUCCESS"} for test in snapshot.dict()["tests"]]
