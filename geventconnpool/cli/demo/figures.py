"""What a server counted, in a file that outlives a ``kill -9`` of it."""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import astuple, dataclass
from pathlib import Path

__all__ = ["FigureBook", "Figures", "read_all"]

_LAYOUT = struct.Struct("=QQQQQ")


@dataclass(frozen=True)
class Figures:
    """The counts of one server process."""

    open: int = 0
    """Sessions now."""
    most: int = 0
    """The most sessions at once."""
    sessions: int = 0
    answers: int = 0
    late: int = 0
    """How many of the answers were late on purpose."""


class FigureBook:
    """The server's end: each change is in the file at once, without a system call."""

    def __init__(self, directory: Path) -> None:
        with open(directory / f"{os.getpid()}.figures", "w+b") as file:
            file.write(bytes(_LAYOUT.size))
            file.flush()
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)

    def write(self, figures: Figures) -> None:
        """Leave *figures* for whoever reads."""
        _LAYOUT.pack_into(self._map, 0, *astuple(figures))


def read_all(directory: Path) -> dict[int, Figures]:
    """The figures of every server that wrote to *directory*, by process number."""
    found = {}
    for path in directory.glob("*.figures"):
        content = path.read_bytes()
        if len(content) == _LAYOUT.size:
            found[int(path.stem)] = Figures(*_LAYOUT.unpack(content))
    return found
