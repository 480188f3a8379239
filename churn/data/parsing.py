"""From rows of text to typed rows, and the reason for each row that cannot be one."""

import re
from typing import TYPE_CHECKING, Any, Literal

from churn.data.mapping import Cancellation, DatasetMapping, FileFormat, Timestamps

if TYPE_CHECKING:
    import pandas as pd

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_OFFSET = re.compile(r"\d{2}:?\d{2}.*(?:[zZ]|[+-]\d{2}:?\d{2})$")
_MICROSECOND = "1us"


def parse(rows: "pd.DataFrame", mapping: DatasetMapping) -> tuple["pd.DataFrame", "pd.Series[str]"]:
    """Typed transactions of one chunk, and a reason for each row ('' for a good one), on the same index.

    The stamps that come back are the shop's own wall time, without a zone: a day is the shop's day.
    """
    import pandas as pd

    reasons = _Reasons(rows)
    out = pd.DataFrame({"line": rows["line"]}, index=rows.index)
    out["customer_id"] = _identifiers(rows["customer_id"])
    reasons.where(out["customer_id"].isna(), "customer_id is missing")
    out["event_timestamp"] = _stamps(rows["event_timestamp"], mapping.timestamps, mapping.timezone)
    reasons.where(rows["event_timestamp"].isna(), "event_timestamp is missing")
    reasons.where(out["event_timestamp"].isna(), "event_timestamp cannot be read")
    if "created_timestamp" in rows:
        out["created_timestamp"] = _moments(rows["created_timestamp"], mapping.timestamps.format, mapping.timezone)
        reasons.where(rows["created_timestamp"].notna() & out["created_timestamp"].isna(), "created_timestamp cannot be read")
    if "amount" in rows:
        out["amount"] = _numbers(rows["amount"], mapping.format)
        reasons.where(rows["amount"].isna(), "amount is missing")
        reasons.where(out["amount"].isna(), "amount cannot be read")
    if "transaction_id" in rows:
        out["transaction_id"] = _identifiers(rows["transaction_id"])
        reasons.where(out["transaction_id"].isna(), "transaction_id is missing")
        out["row_hash"] = rows["row_hash"]
    if "is_cancel" in rows:
        out["is_cancel"] = _cancelled(rows["is_cancel"], mapping.columns.is_cancel)
        reasons.where(out["is_cancel"].isna(), "is_cancel is neither true nor false")
    return out, reasons.text


def parse_tickets(rows: "pd.DataFrame", timestamps: Timestamps, timezone: str) -> tuple["pd.DataFrame", "pd.Series[str]"]:
    """The same for support tickets."""
    import pandas as pd

    reasons = _Reasons(rows)
    out = pd.DataFrame({"line": rows["line"]}, index=rows.index)
    out["customer_id"] = _identifiers(rows["customer_id"])
    reasons.where(out["customer_id"].isna(), "ticket: customer_id is missing")
    out["event_timestamp"] = _stamps(rows["event_timestamp"], timestamps, timezone)
    reasons.where(out["event_timestamp"].isna(), "ticket: event_timestamp is missing or cannot be read")
    if "created_timestamp" in rows:
        out["created_timestamp"] = _moments(rows["created_timestamp"], timestamps.format, timezone)
        reasons.where(rows["created_timestamp"].notna() & out["created_timestamp"].isna(), "ticket: created_timestamp cannot be read")
    return out, reasons.text


class _Reasons:
    """The first reason found stands."""

    def __init__(self, rows: "pd.DataFrame") -> None:
        import pandas as pd

        self.text = pd.Series("", index=rows.index, dtype=object)
        for name in rows.columns.difference(["line", "row_hash"]):
            if rows[name].dtype == object:
                self.where(_undecodable(rows[name]), f"{name} is not of the file's encoding")

    def where(self, mask: "pd.Series[bool]", reason: str) -> None:
        self.text[mask & (self.text == "")] = reason


def absent(value: object) -> bool:
    """True for None, NaN, NaT and pandas' NA."""
    import pandas as pd

    return value is None or bool(pd.isna(value))  # type: ignore[call-overload]


def _undecodable(values: "pd.Series[str]") -> "pd.Series[bool]":
    return values.map(lambda value: isinstance(value, str) and any("\udc80" <= c <= "\udcff" or c == "\ufffd" for c in value)).astype(bool)


def _identifiers(values: "pd.Series[str]") -> "pd.Series[str]":
    import pandas as pd

    # A column of whole numbers with a gap is written as 17850.0 by many tools; the customer is 17850.
    if pd.api.types.is_numeric_dtype(values):
        return values.map(
            lambda value: None if pd.isna(value) else str(int(value)) if value == int(value) else str(value), na_action=None
        ).astype(object)
    return values.map(lambda value: None if absent(value) else re.sub(r"^(\d+)\.0$", r"\1", str(value).strip()) or None).astype(object)


def _numbers(values: "pd.Series[str]", form: FileFormat) -> "pd.Series[float]":
    import numpy as np
    import pandas as pd

    if not pd.api.types.is_numeric_dtype(values):
        text = values.map(lambda value: None if absent(value) else str(value))
        if form.thousands:
            text = text.str.replace(form.thousands, "", regex=False)
        if form.decimal == ",":
            text = text.str.replace(",", ".", regex=False)
        text = text.str.replace("\u2212", "-", regex=False).str.replace(r"^([+-]?)\s*[$€£¥]\s*|\s*[$€£¥]$", r"\1", regex=True)
        values = pd.to_numeric(text, errors="coerce")
    number = values.astype(float)
    return number.where(np.isfinite(number))


def _cancelled(values: "pd.Series[str]", column: str | Cancellation | None) -> "pd.Series[bool]":
    import pandas as pd

    text = values.map(lambda value: "" if absent(value) else str(value).strip())
    if isinstance(column, Cancellation) and column.starts_with:
        return text.str.startswith(column.starts_with)
    lower = text.str.lower()
    if isinstance(column, Cancellation) and column.values is not None:
        return lower.isin({value.lower() for value in column.values})
    known = pd.Series(None, index=values.index, dtype=object)
    known[lower.isin(_TRUE)] = True
    known[lower.isin(_FALSE) | (lower == "")] = False
    return known


def _stamps(values: "pd.Series[str]", how: Timestamps, timezone: str) -> "pd.Series[pd.Timestamp]":
    """When each event counts: an instant as it is; a day at its 00:00; a week or a month at its last microsecond, when it is over."""
    import pandas as pd

    moment: pd.Series[pd.Timestamp] = _moments(values, how.format, timezone)
    if how.period == "instant":
        return moment
    day: pd.Series[pd.Timestamp] = moment.dt.floor("D")
    if how.period == "day":
        return day
    if how.period == "month":
        over = day.dt.to_period("M").dt.end_time.dt.floor("D") + pd.Timedelta(days=1)
    else:
        over = day + pd.Timedelta(days=7 if how.stamped_at == "start" else 1)
    return over - pd.Timedelta(_MICROSECOND)


def _moments(values: Any, form: str | None, timezone: str) -> Any:
    import pandas as pd

    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _wall(values, timezone)
    if pd.api.types.is_datetime64_dtype(values):
        return values.astype("datetime64[us]")
    if form in {"epoch_s", "epoch_ms"}:
        unit: Literal["s", "ms"] = "s" if form == "epoch_s" else "ms"
        moments: Any = pd.to_datetime(pd.to_numeric(values, errors="coerce"), unit=unit, utc=True, errors="coerce")
        return _wall(moments, timezone)
    text = values.map(lambda value: None if absent(value) else re.sub(r"^(\d{8})\.0$", r"\1", str(value)))
    # Stamps with an offset are instants, the others are the shop's clock; one file may hold both.
    aware = text.map(lambda value: bool(value and _OFFSET.search(value))) if form is None else pd.Series("%z" in form, index=text.index)
    out = pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    if (~aware).any():
        out[~aware] = pd.to_datetime(text[~aware], format=form or "ISO8601", errors="coerce").astype("datetime64[us]")
    if aware.any():
        out[aware] = _wall(pd.to_datetime(text[aware], format=form or "ISO8601", errors="coerce", utc=True), timezone)
    return out


def _wall(values: "pd.Series[pd.Timestamp]", timezone: str) -> "pd.Series[pd.Timestamp]":
    return values.dt.tz_convert(timezone).dt.tz_localize(None).astype("datetime64[us]")
