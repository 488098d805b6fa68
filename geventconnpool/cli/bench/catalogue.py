"""Which questions there are, without importing them: they are for patched processes."""

from __future__ import annotations

import pkgutil

from geventconnpool.cli.bench import questions

__all__ = ["LOOK", "known"]

_ORDER = (
    *("uncontended", "blocked", "contended", "prefill", "recovery"),
    *("upkeep", "memory", "liveness", "retrying", "listening"),
)

LOOK = ("uncontended", "blocked", "contended", "retrying")
"""What is asked where nothing is named: what a pool costs in everyday use."""


def known() -> list[str]:
    """The keys of the questions, from the everyday to the special."""
    found = {module.name for module in pkgutil.iter_modules(questions.__path__)}
    return [key for key in _ORDER if key in found]
