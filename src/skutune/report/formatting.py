"""Human-readable numbers."""

from __future__ import annotations

from typing import Any

NOTHING = "–"
_GAP = "\N{NO-BREAK SPACE}"  # a number and its unit stay on one line
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def whole(number: float | None) -> str:
    """A count: 49,688."""
    return NOTHING if number is None else f"{number:,.0f}"


def percent(share: float | None) -> str:
    """A share in [0, 1]: 96.2 %. Only what is exactly all or nothing reads 100 % or 0 %."""
    if share is None:
        return NOTHING
    if share in (0, 1):
        return f"{100 * share:.0f}{_GAP}%"
    shown = f"{100 * share:.1f}"
    return {"0.0": "< 0.1", "100.0": "> 99.9"}.get(shown, shown) + f"{_GAP}%"


def percent_range(low: float, high: float) -> str:
    """Two shares: 43.9 to 100.0 %."""
    return f"{100 * low:.1f} to {100 * high:.1f}{_GAP}%"


def compact(number: float) -> str:
    """A number for the label of an axis: 0.25, 40, 1.2k, 3M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            return f"{number / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{number:,.4g}"


def duration(seconds: float | None) -> str:
    """Seconds: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f}{_GAP}s"
    total = round(seconds)
    if total < 60:
        return f"{total}{_GAP}s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes}{_GAP}min{_GAP}{rest:02d}{_GAP}s"
    return f"{minutes // 60:,}{_GAP}h{_GAP}{minutes % 60:02d}{_GAP}min"


def size(count: int | None) -> str:
    """Bytes: 812 MiB."""
    if not count:
        return NOTHING
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.3g}{_GAP}{_UNITS[unit]}" if number < 1000 else f"{number:.0f}{_GAP}{_UNITS[unit]}"


def figure(value: Any) -> str:
    """Any figure of a manifest."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(figure(each) for each in value) or NOTHING
    return str(value)
