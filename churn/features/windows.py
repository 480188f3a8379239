"""When: the snapshots, and the windows of time for training, validation and test. Pure functions of the log's first and last moment."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from churn.features.definition import ChurnDefinition, parse_snapshots
from churn.platform.errors import ConfigError, InputError

_MONDAY = datetime(2001, 1, 1)  # the weeks are counted from here, so that a snapshot stays one as the log grows


@dataclass(frozen=True)
class Windows:
    """The snapshots of each window, in the shop's time. The last label window of one ends on or before the first snapshot of the next."""

    train: tuple[datetime, ...]
    validation: tuple[datetime, ...]
    test: tuple[datetime, ...]


def snapshots_between(rule: str, first: datetime, last: datetime) -> list[datetime]:
    """Every snapshot s with first <= s <= last: 00:00 of the first day of each month, or of a weekday every so many weeks."""
    kind, weeks, weekday = parse_snapshots(rule)
    if kind == "month":
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        found = [datetime(month // 12, month % 12 + 1, 1) for month in months]
    else:
        step = timedelta(weeks=weeks)
        start = _MONDAY + timedelta(days=weekday)
        start += (first - start) // step * step
        found = [start + step * n for n in range((last - start) // step + 1)]
    return [moment for moment in found if first <= moment <= last]


def plan_windows(definition: ChurnDefinition, first_day: datetime, as_of: datetime) -> Windows:
    """Cut a log into its windows.

    Test is the last `test_snapshots` with a complete label window; validation the last ones (at most `validation_snapshots`, fewer where the log
    is short) whose labels are known before test begins; train all whose labels are known before validation begins.

    Args:
        definition: what churn is.
        first_day: the log's first day.
        as_of: the last moment of knowledge.

    Raises:
        InputError: the log is too short, with how much more it needs.
    """
    windows = _plan(definition, first_day, as_of)
    if windows is None:
        missing = next((days for days in range(1, 5000) if _plan(definition, first_day, as_of + timedelta(days=days))), None)
        raise InputError(
            f"the log is too short: it covers {(as_of - first_day).days} days ({first_day:%Y-%m-%d} to {as_of:%Y-%m-%d}), and training, validation and "
            f"{definition.test_snapshots} test snapshots with labels of {definition.horizon_days} days need "
            f"{f'{missing} days more' if missing else 'far more'}; give more history, a shorter horizon_days, fewer test_snapshots, or snapshots "
            f"more often than '{definition.snapshots}'"
        )
    return windows


def _plan(definition: ChurnDefinition, first_day: datetime, as_of: datetime) -> Windows | None:
    horizon = timedelta(days=definition.horizon_days)
    complete = snapshots_between(definition.snapshots, first_day + timedelta(days=max(definition.min_history_days, 1)), as_of - horizon)
    test = complete[-definition.test_snapshots :]
    if len(test) < definition.test_snapshots:
        return None
    before = [moment for moment in complete if moment + horizon <= test[0]]
    for count in range(min(definition.validation_snapshots, len(before)), 0, -1):
        validation = before[-count:]
        train = [moment for moment in before if moment + horizon <= validation[0]]
        if train:
            return Windows(tuple(train), tuple(validation), tuple(test))
    return None


def knowledge_until(as_of: str, known_until: str, timezone: str) -> datetime:
    """The last moment of knowledge in the shop's time: `as_of` where it is given (with an offset: converted), never later than the end of the data.

    Raises:
        ConfigError: as_of is no moment.
    """
    end = datetime.fromisoformat(known_until)
    if not as_of:
        return end
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise ConfigError(f"as_of: {as_of!r} is no moment; write it like 1998-06-30 (its 00:00), or 1998-06-30T12:00") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    return min(moment, end)
