"""Times as the API writes them: UTC, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def now(plus_seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=plus_seconds)).strftime(FORMAT)


def age(written: str | None) -> str:
    """How long ago, as kubectl shows it: 12s, 5m3s, 2h5m, 3d."""
    if not written:
        return "<unknown>"
    then = datetime.strptime(written, FORMAT).replace(tzinfo=UTC)
    return duration(max(0, int((datetime.now(UTC) - then).total_seconds())))


def duration(seconds: int) -> str:
    """Seconds as kubectl shows them."""
    minutes, rest = divmod(seconds, 60)
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if minutes < 48 * 60:
        return f"{minutes // 60}h"
    return f"{minutes // 1440}d"


def seconds_between(start: str, end: str) -> int:
    return int((datetime.strptime(end, FORMAT) - datetime.strptime(start, FORMAT)).total_seconds())
