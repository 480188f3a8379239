"""What churn is: who counts, when, and what is asked. configs/churn.yaml, or a dataset's own."""

import re
from typing import Literal

from pydantic import Field, field_validator

from churn.platform.checked import Checked

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKS = re.compile(rf"(\d{{1,2}}) weeks? on ({'|'.join(WEEKDAYS)})")


class ChurnDefinition(Checked):
    """A customer who bought in the last `active_days` churns at a snapshot where no purchase follows in `horizon_days`."""

    horizon_days: int = Field(ge=1, le=730)
    active_days: int = Field(ge=1, le=1460)
    snapshots: str
    min_history_days: int = Field(ge=0, le=1460)
    validation_snapshots: int = Field(ge=1, le=60)
    test_snapshots: int = Field(ge=1, le=60)

    @field_validator("snapshots")
    @classmethod
    def _snapshots(cls, value: str) -> str:
        parse_snapshots(value)
        return value


def parse_snapshots(value: str) -> tuple[Literal["month", "weeks"], int, int]:
    """The rule of the snapshots: ('month', 1, 0), or ('weeks', every so many, on that weekday from 0 for Monday)."""
    if value == "month":
        return "month", 1, 0
    match = _WEEKS.fullmatch(value)
    if not match or int(match[1]) == 0:
        raise ValueError('should be month, or a rule like "4 weeks on monday"')
    return "weeks", int(match[1]), WEEKDAYS.index(match[2])
