"""The five fields of a CronJob's schedule."""

from __future__ import annotations

from datetime import datetime, timedelta

_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Schedule:
    """Minutes at which a CronJob is due. Raises ValueError for what is no schedule."""

    def __init__(self, text: str):
        fields = _MACROS.get(text, text).split()
        if len(fields) != len(_RANGES):
            raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{text}]")
        self._allowed = [_values(field, *bounds) for field, bounds in zip(fields, _RANGES, strict=True)]
        self._any_day, self._any_weekday = fields[2] == "*", fields[4] == "*"

    def is_due(self, at: datetime) -> bool:
        minutes, hours, days, months, weekdays = self._allowed
        day, weekday = at.day in days, at.isoweekday() % 7 in {value % 7 for value in weekdays}
        # Where both are restricted, either will do: so does cron.
        right_day = day and weekday if self._any_day or self._any_weekday else day or weekday
        return at.minute in minutes and at.hour in hours and at.month in months and right_day

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last due minute in (after, until]; looks back a day at most."""
        minute = until.replace(second=0, microsecond=0)
        for _ in range(24 * 60):
            if minute <= after:
                return None
            if self.is_due(minute):
                return minute
            minute -= timedelta(minutes=1)
        return None


def _values(field: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        try:
            first, last = (low, high) if span == "*" else _bounds(span, high if step else None)
            found |= set(range(first, last + 1, int(step or 1)))
        except ValueError as error:
            raise ValueError(f"failed to parse {name} {field!r}: {error}") from error
    if not found or min(found) < low or max(found) > high:
        raise ValueError(f"{name} {field!r} is not between {low} and {high}")
    return found


def _bounds(span: str, open_end: int | None) -> tuple[int, int]:
    first, dash, last = span.partition("-")
    return int(first), int(last) if dash else int(first) if open_end is None else open_end
