"""What came out, as pictures: the same ones from the same figures, on white and on black."""

from __future__ import annotations

import importlib
import importlib.util
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from geventconnpool.cli.bench import pictures
from geventconnpool.cli.bench.answers import Answer, Figure
from geventconnpool.cli.bench.tables import by_heading

__all__ = ["is_possible", "plot"]

_WORTH_IT = 3  # figures; fewer are read faster than looked at

_AXES = {"contended": "greenlets", "recovery": "seconds without the peer"}
_AXIS = "connections"
"""What the figures of a question stand on, if on an axis."""


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot(answers: Iterable[Answer], folder: Path) -> list[Path]:
    """Draw the tables of *answers* into *folder*; returns the files."""
    made: list[Path] = []
    with importlib.import_module("matplotlib").rc_context(pictures.STYLE):
        for answer in answers:
            for title, shares in by_heading(answer.figures).items():
                if sum(map(len, shares.values())) >= _WORTH_IT:
                    picture = _picture(shares, _AXES.get(answer.key, _AXIS))
                    picture.axes[0].set_title(textwrap.fill(title, 70), loc="left")
                    made += _saved(picture, folder / _name(answer.key, title), title)
    return made


def _picture(shares: Mapping[str, Sequence[Figure]], axis: str) -> Any:
    """Of the kind that suits the table."""
    if len(shares) > 1:
        return pictures.distributions(shares, axis)
    (figures,) = shares.values()
    if any(figure.x is not None for figure in figures):
        return pictures.lines(figures, axis)
    return pictures.bars(figures)


def _name(key: str, title: str) -> str:
    return "-".join([key, *re.findall(r"[a-z0-9]+", title.lower())])


def _saved(picture: Any, base: Path, title: str) -> list[Path]:
    vector, pixels = base.with_name(f"{base.name}.svg"), base.with_name(f"{base.name}.png")
    picture.savefig(vector, metadata={"Date": None, "Creator": None, "Title": title})
    picture.savefig(pixels, metadata={"Software": None, "Title": title}, dpi=150)
    return [vector, pixels]
