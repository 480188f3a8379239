"""Which column of a company's file is which: a dataset's file in configs/datasets/, checked."""

import codecs
import re
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from churn.platform.checked import Checked

Period = Literal["instant", "day", "week", "month"]


class FileFormat(Checked):
    """How the bytes of a file become rows of text.

    Parquet needs none of it; CSV may be compressed (.gz, .bz2, .xz).
    """

    type: Literal["auto", "csv", "parquet"] = "auto"
    separator: str = Field(",", description="one character, or the words whitespace or tab")
    encoding: str = "utf-8"
    quote: str = Field('"', max_length=1)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    header: list[str] | None = Field(None, description="the columns' names, for a file whose first line is already data")
    skip_lines: int = Field(0, ge=0, description="lines above the header")

    @field_validator("separator")
    @classmethod
    def _separator(cls, value: str) -> str:
        if value in {"whitespace", "tab"} or len(value) == 1:
            return "\t" if value == "tab" else value
        raise ValueError("should be one character, or one of the words whitespace and tab")

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("is no encoding that Python knows; try utf-8, latin-1, cp1252 or utf-16") from None
        return value


class Cancellation(Checked):
    """Which rows are cancellations or returns, where it is not a column of true and false."""

    column: str
    values: list[str] | None = Field(None, description="the values that mean yes, in any case; default true, t, yes, y, 1")
    starts_with: str | None = Field(None, description="or: the value begins with this (an invoice number C536379)")


class Columns(Checked):
    """The source's names of the columns that the project knows."""

    customer_id: str
    event_timestamp: str
    amount: str | None = None
    transaction_id: str | None = None
    created_timestamp: str | None = Field(None, description="when the row became known, for data that arrive late")
    is_cancel: str | Cancellation | None = None


class TicketColumns(Checked):
    """The source's names of the columns of the support tickets."""

    customer_id: str
    event_timestamp: str
    created_timestamp: str | None = None


class Timestamps(Checked):
    """How stamps are written, and what span of time one stands for."""

    format: str | None = Field(None, description="strptime's, or epoch_s or epoch_ms; default ISO 8601")
    period: Period = Field("instant", description="a stamp that stands for a whole day, week or month counts when that is over")
    stamped_at: Literal["start", "end"] = Field("start", description="whether the stamp is the first or the last day of its period")

    @field_validator("format")
    @classmethod
    def _format(cls, value: str | None) -> str | None:
        if value is not None and value not in {"epoch_s", "epoch_ms"} and "%" not in value:
            raise ValueError('should be a format like "%d.%m.%Y %H:%M", or epoch_s or epoch_ms')
        return value


class Amounts(Checked):
    """What a zero and a negative amount mean."""

    zero: Literal["ignore", "purchase"] = "ignore"
    negative: Literal["return", "purchase", "ignore"] = "return"


class Tickets(Checked):
    """Support tickets: one row a ticket."""

    source: str = ""
    format: FileFormat = FileFormat()
    columns: TicketColumns
    timestamps: Timestamps = Timestamps()


class Quality(Checked):
    """What data are good enough to train on."""

    max_rejected_share: float = Field(0.05, ge=0, lt=1, description="more bad rows than this, and the run fails")
    max_missing_share: float = Field(0.05, ge=0, le=1, description="the quality page marks a column with more missing values")


class DatasetMapping(Checked):
    """One company's data: where columns are, what stamps and amounts mean. The churn definition travels separately."""

    name: str
    timezone: str = "UTC"
    format: FileFormat = FileFormat()
    columns: Columns
    timestamps: Timestamps = Timestamps()
    amounts: Amounts = Amounts()
    lines: Literal["keep", "sum"] = Field("keep", description="sum: rows of one transaction_id are the lines of one purchase")
    first_day: str = Field("", description="rows before this day (YYYY-MM-DD) are bad rows; default: found from the data")
    last_day: str = Field("", description="rows after this day are bad rows; default: found from the data")
    support_tickets: Tickets | None = None
    quality: Quality = Quality()

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,49}", value):
            raise ValueError(
                "should be lower-case letters, digits and hyphens, 50 at the most (it names the release line, the endpoint and the model)"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no time zone; give a name like Europe/Berlin, America/New_York or UTC") from None
        return value

    @field_validator("first_day", "last_day")
    @classmethod
    def _day(cls, value: str) -> str:
        if value:
            datetime.strptime(value, "%Y-%m-%d")
        return value

    @model_validator(mode="after")
    def _lines_need_an_id(self) -> "DatasetMapping":
        if self.lines == "sum" and self.columns.transaction_id is None:
            raise ValueError("lines: sum needs columns.transaction_id")
        return self
