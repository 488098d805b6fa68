"""The kinds of pictures: bars against the floor, lines over an axis, distributions."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from geventconnpool.cli.bench.answers import Figure
from geventconnpool.cli.bench.tables import number

__all__ = ["STYLE", "bars", "distributions", "lines"]

_INK = "#7d7d7d"  # as legible on white as on black; the ground is left transparent
_OURS = "#2a8f5b"
_OTHER = "#4477aa"
_COLORS = (_OTHER, "#cc6677", "#aa8833", "#6699cc", "#aa4499", "#ee7733", "#44aa99", "#997700")
_MARKS = "osD^vP*X"

STYLE = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "svg.hashsalt": "geventconnpool",  # else each run names its parts by chance
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "savefig.transparent": True,
    "savefig.bbox": "tight",
}


def bars(figures: Sequence[Figure]) -> Any:
    """One row each, the least on top; a ratio is a bar that grows out of the floor's line at 1."""
    rows = list(enumerate(sorted(figures, key=lambda figure: -figure.value)))
    is_ratio = figures[0].unit == "x"
    picture, (axes,) = _panels(1, len(rows))
    _lay_out(axes.xaxis, _all_values(figures), axes.set_xscale)
    for place, figure in rows:
        color = _color(figure.subject)
        if is_ratio:
            axes.barh(place, figure.value - 1, 0.6, 1, color=color)
        else:
            axes.plot(figure.value, place, "o", color=color)
        axes.hlines(place, figure.low, figure.high, _INK, lw=1.2)
        right = max(figure.high, 1.0) if is_ratio else figure.high
        beside = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(number(figure.value), (right, place), **beside)
    if is_ratio:
        axes.axvline(1, color=_INK, lw=1.0)
    _name_rows(axes, [figure.subject for _, figure in rows])
    axes.set_xlabel(_unit(figures))
    return picture


def lines(figures: Sequence[Figure], axis: str) -> Any:
    """One line each, listed in the order of their right ends."""
    picture, (axes,) = _panels(1, 14)
    found = _by_subject(figures)
    _lay_out(axes.xaxis, [x for points in found.values() for x, _ in points], axes.set_xscale)
    _lay_out(axes.yaxis, _all_values(figures), axes.set_yscale)
    for place, (subject, points) in enumerate(found.items()):
        color = _color(subject, place)
        width, mark = (2.4 if color == _OURS else 1.2), _MARKS[place % len(_MARKS)]
        x, y = [x for x, _ in points], [figure.value for _, figure in points]
        axes.plot(x, y, color=color, marker=mark, ms=4, lw=width, label=subject)
        low, high = [f.low for _, f in points], [f.high for _, f in points]
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    handles, _ = axes.get_legend_handles_labels()
    handles.sort(key=lambda line: -line.get_ydata()[-1])
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
    axes.set_xlabel(axis)
    axes.set_ylabel(_unit(figures))
    return picture


def distributions(shares: Mapping[str, Sequence[Figure]], axis: str) -> Any:
    """One row each, with a mark for every share of it; a panel for each place on the axis."""
    figures = [figure for each in shares.values() for figure in each]
    places = sorted({figure.x for figure in figures}, key=lambda x: x or 0.0)
    widest = [figure for figure in list(shares.values())[-1] if figure.x == places[-1]]
    subjects = [each.subject for each in sorted(widest, key=lambda figure: -figure.value)]
    picture, panels = _panels(len(places), len(subjects))
    for x, axes in zip(places, panels, strict=True):
        _lay_out(axes.xaxis, _all_values(figures), axes.set_xscale)
        _draw_shares(axes, subjects, shares, x)
        among = "" if x is None else f", {x:,.10g} {axis}"
        axes.set_xlabel(f"{figures[0].unit}{among}")
    _name_rows(panels[0], subjects)
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
    return picture


def _draw_shares(
    axes: Any, subjects: Sequence[str], shares: Mapping[str, Sequence[Figure]], x: float | None
) -> None:
    values: dict[str, list[float]] = {}
    colors = [*map(_color, subjects)]
    for mark, (share, figures) in zip(_MARKS, shares.items(), strict=False):
        found = {figure.subject: figure.value for figure in figures if figure.x == x}
        rows = [row for row, subject in enumerate(subjects) if subject in found]
        at = [found[subjects[row]] for row in rows]
        axes.scatter(at, rows, 24, [colors[row] for row in rows], marker=mark, zorder=3)
        axes.plot([], [], mark, color=_INK, ms=5, label=share)  # for the legend alone
        for subject, value in found.items():
            values.setdefault(subject, []).append(value)
    for row, subject in enumerate(subjects):
        if subject in values:
            axes.hlines(row, min(values[subject]), max(values[subject]), colors[row], lw=1.2)


# --- their parts -------------------------------------------------------------------------


def _panels(count: int, rows: int) -> tuple[Any, list[Any]]:
    """A picture outside of pyplot: no window, and nothing to close."""
    figure = importlib.import_module("matplotlib.figure").Figure
    picture = figure(figsize=(6.5 if count == 1 else 3.0 * count, 0.6 + 0.25 * rows))
    return picture, list(picture.subplots(1, count, sharey=True, squeeze=False)[0])


def _name_rows(axes: Any, subjects: Sequence[str]) -> None:
    for name, subject in zip(
        axes.set_yticks(range(len(subjects)), subjects), subjects, strict=True
    ):
        if _color(subject) == _OURS:
            name.label1.set(color=_OURS, weight="bold")
    axes.margins(x=0.1)
    axes.set_ylim(-0.6, len(subjects) - 0.4)
    for panel in axes.figure.axes:
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)


def _color(subject: str, place: int = 0) -> str:
    """Ours stands out, the floor is the colour of the axes."""
    if subject.startswith("floor"):
        return _INK
    is_ours = subject.startswith("geventconnpool") and "0.2.1" not in subject
    return _OURS if is_ours else _COLORS[place % len(_COLORS)]


def _by_subject(figures: Iterable[Figure]) -> dict[str, list[tuple[float, Figure]]]:
    found: dict[str, list[tuple[float, Figure]]] = {}
    for figure in figures:
        if figure.x is not None:
            found.setdefault(figure.subject, []).append((figure.x, figure))
    return {subject: sorted(points, key=lambda p: p[0]) for subject, points in found.items()}


def _all_values(figures: Iterable[Figure]) -> list[float]:
    return [value for figure in figures for value in (figure.low, figure.value, figure.high)]


def _lay_out(axis: Any, values: Sequence[float], set_scale: Callable[..., None]) -> None:
    """A log axis with plain numbers; linear up to the least positive value if some are not."""
    ticker = importlib.import_module("matplotlib.ticker")
    positive = [value for value in values if value > 0]
    if len(positive) == len(values):
        set_scale("log")
        is_wide = max(positive) > 300 * min(positive)
        axis.set_major_locator(ticker.LogLocator(10, (1.0,) if is_wide else (1.0, 2.0, 5.0)))
    else:
        least = min(positive, default=1.0)
        set_scale("symlog", linthresh=10.0 ** math.floor(math.log10(least)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, place: f"{value:,.10g}"))
    axis.set_minor_locator(ticker.NullLocator())
    axis.grid(True)


def _unit(figures: Sequence[Figure]) -> str:
    """What the axis of the values counts."""
    if figures[0].unit != "x":
        return figures[0].unit
    floors = {figure.subject for figure in figures if figure.low == figure.high == 1.0}
    return f"times the {floors.pop()}" if len(floors) == 1 else "ratio"
