"""What came out, as aligned text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from geventconnpool.cli.bench.answers import Answer, Bar, Figure
from geventconnpool.cli.bench.record import Record, Surroundings

__all__ = ["answer_text", "by_heading", "heading", "number", "verdict"]

_WIDTH = 100
_SHARE = re.compile(r", (p\d+|longest)\b|^(longest) (?=wait)")
_BRIEF = 12  # letters; a longer note does not fit into a cell


def heading(found: Surroundings) -> str:
    """Where and how the figures were made."""
    rows = [
        ("command", found.command),
        ("date", found.date),
        ("machine", found.machine),
        ("versions", _versions(found.versions)),
        ("peers", _versions(found.peers) or "none"),
    ]
    if found.missing:
        rows.append(("not here", ", ".join(found.missing)))
    return "\n".join(_wrapped(f"{name:<10}", text) for name, text in rows)


def answer_text(answer: Answer) -> str:
    """All of one answer: its tables, its bars, and what is missing."""
    parts = [f"{answer.key}: {answer.question}"]
    for title, shares in by_heading(answer.figures).items():
        parts.append(_table(title, shares))
    if answer.bars:
        parts.append(f"  bars\n{_bars(answer.bars)}")
    if answer.absent:
        parts.append("\n".join(f"  not measured: {each}" for each in answer.absent))
    return "\n\n".join(parts)


def verdict(record: Record) -> str:
    """How many bars are held, and what was not answered."""
    bars = list(record.bars)
    held = sum(bar.is_passed for bar in bars)
    lines = [f"{key}: not answered: {why}" for key, why in record.failures.items()]
    return "\n".join([*lines, f"{held} of {len(bars)} bars held"])


def by_heading(figures: Iterable[Figure]) -> dict[str, dict[str, list[Figure]]]:
    """The figures of each table; those for shares of one distribution (``p99``) side by side."""
    found: dict[str, dict[str, list[Figure]]] = {}
    for figure in figures:
        share = _SHARE.search(figure.table)
        shares = found.setdefault(_SHARE.sub("", figure.table), {})
        shares.setdefault(share[share.lastindex or 0] if share else "", []).append(figure)
    return found


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _table(title: str, shares: Mapping[str, Sequence[Figure]]) -> str:
    figures = [figure for each in shares.values() for figure in each]
    crossed = len({figure.x for figure in figures}) > 1
    if len(shares) > 1 or (crossed and all(len(each.note) <= _BRIEF for each in figures)):
        rows = _crossed(figures)
    else:
        rows = _rows(figures)
    names = f": {' / '.join(shares)}" if len(shares) > 1 else ""
    return f"  {title}{names} ({figures[0].unit})\n{_aligned(rows)}"


def _rows(figures: Sequence[Figure]) -> Iterator[list[str]]:
    """A row for each figure."""
    width = max(len(figure.note) for figure in figures)
    for figure in figures:
        place = [] if figure.x is None else [f"{figure.x:,.10g}"]
        between = f"{number(figure.low)} .. {number(figure.high)}"
        # Texts begin below each other, times end so.
        note = f"{figure.note:>{width}}" if width <= _BRIEF else f"{figure.note:<{width}}"
        yield [figure.subject, *place, number(figure.value), between, note]


def _crossed(figures: Sequence[Figure]) -> Iterator[list[str]]:
    """A row for each subject, a column for each place on the axis."""
    cells: dict[tuple[str, float | None], list[str]] = {}
    for figure in figures:
        note = f" ({figure.note})" if figure.note else ""
        cells.setdefault((figure.subject, figure.x), []).append(number(figure.value) + note)
    places = sorted({figure.x for figure in figures}, key=lambda x: x or 0.0)
    if places != [None]:
        yield ["", *(f"{place or 0:,.10g}" for place in places)]
    for subject in dict.fromkeys(figure.subject for figure in figures):
        yield [subject, *(" / ".join(cells.get((subject, place), ["-"])) for place in places)]


def _bars(bars: Iterable[Bar]) -> str:
    return _aligned(
        [
            bar.what,
            f"{number(bar.value)} {bar.unit}",
            f"at {'most' if bar.at_most else 'least'} {number(bar.limit)} {bar.unit}",
            "pass" if bar.is_passed else "MISSED",
        ]
        for bar in bars
    )


def _aligned(rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    table = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"    {first:<{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def _versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _wrapped(name: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=name,
        subsequent_indent=" " * len(name),
        break_long_words=False,
        break_on_hyphens=False,
    )
