"""Five-field cron with an optional zone: when it falls due next."""

import calendar
import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass

from tests.sandbox.refusal import invalid

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_NAMES = {name.upper(): str(number) for number, name in enumerate(calendar.month_abbr) if name} | {
    name.upper(): str((number + 1) % 7) for number, name in enumerate(calendar.day_abbr)
}
_YEARS = 8  # 29 February comes at least once


@dataclass(frozen=True)
class Cron:
    """A schedule's times."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # with both days restricted, one of them is enough
    zone: dt.tzinfo

    def after(self, moment: dt.datetime) -> dt.datetime:
        """The first time after a moment, in UTC."""
        day = moment.astimezone(self.zone).date()
        for _ in range(_YEARS * 366):
            if self._on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        due = dt.datetime.combine(day, dt.time(hour, minute), self.zone).astimezone(dt.UTC)
                        if due > moment:
                            return due
            day += dt.timedelta(days=1)
        raise invalid("cron: never falls due.")

    def _on(self, day: dt.date) -> bool:
        if day.month not in self.months:
            return False
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday


def parse(text: str) -> Cron:
    """Read "[TZ=ZONE |CRON_TZ=ZONE ]minute hour day month weekday".

    Raises:
        Refusal: it is not that.
    """
    match = re.fullmatch(r"(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)", text.strip())
    fields = match[2].split() if match else []
    if not match or len(fields) != len(_FIELDS):
        raise invalid(
            f"cron: {text!r} should have five fields (minute, hour, day of month, month, day of week), after an optional TZ=ZONE."
        )
    try:
        zone = zoneinfo.ZoneInfo(match[1] or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise invalid(f"cron: {match[1]!r} is not a time zone of the IANA database.") from None
    sets = [_values(value, *field) for value, field in zip(fields, _FIELDS, strict=True)]
    weekdays = frozenset(day % 7 for day in sets[4])
    return Cron(sets[0], sets[1], sets[2], sets[3], weekdays, "*" not in (fields[2][0], fields[4][0]), zone)


def _values(text: str, what: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        named = re.sub(r"[A-Za-z]+", lambda match: _NAMES.get(match[0].upper(), match[0]), part)
        match = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", named)
        if match is None:
            raise invalid(f"cron: {part!r} is not understood as {what}.")
        first = int(match[1]) if match[1] else low
        last = int(match[2]) if match[2] else (high if not match[1] or match[3] else first)
        step = int(match[3] or 1)
        if not low <= first <= last <= high or step < 1:
            raise invalid(f"cron: {part!r} is out of range for {what} ({low} to {high}).")
        found |= set(range(first, last + 1, step))
    return frozenset(found)
