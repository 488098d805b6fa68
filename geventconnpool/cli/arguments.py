"""Reading values from the command line: each wrong one is a single line, and status 2."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

__all__ = ["Parser", "module_name", "one_of", "seconds", "whole_number"]


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line, and guesses no options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from *low* to *high*."""

    def read(text: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"must be a whole number from {low} to {high}, not {text!r}"
        )

    return read


def seconds(low: float, high: float) -> Callable[[str], float]:
    """A reader of durations from *low* to *high*."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if low <= value <= high:  # never true of NaN
            return value
        raise argparse.ArgumentTypeError(
            f"must be a number of seconds from {low:g} to {high:g}, not {text!r}"
        )

    return read


def module_name(text: str) -> str:
    """The dotted name of a module."""
    if all(part.isidentifier() for part in text.split(".")):
        return text
    raise argparse.ArgumentTypeError(f"must be the name of a module, not {text!r}")


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """A reader of one of *names*; unlike ``choices`` it leaves it open whether there is any."""

    def read(text: str) -> str:
        if text in names:
            return text
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}, not {text!r}")

    return read
