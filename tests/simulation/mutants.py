"""Tests of the tests: bugs that are put into a copy of the package, of which each must be caught.

One that nothing catches shows that an oracle is missing, or that a line of the package is
redundant. Many of them are bugs that other pools had, or have.
"""

from __future__ import annotations

from mutants_deciding import DECIDING
from mutants_performing import PERFORMING
from mutation import Catch, Mutant, Search, hunt
from tally import REPLAY, Tally, Task

__all__ = ["MUTANTS", "hunt_one", "replay", "tasks"]

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in (*DECIDING, *PERFORMING)}
"""All of them, by name."""

SEARCHES = {False: Search(plays=250), True: Search(plays=5000)}
"""How far a hunt goes per change, and nightly."""


def hunt_one(name: str, search: Search) -> Tally:
    """Hunt the mutant *name*; one that survives is a failure."""
    return count(MUTANTS[name], hunt(MUTANTS[name], search))


def count(mutant: Mutant, catch: Catch) -> Tally:
    """What came of one hunt."""
    tally = Tally()
    tally.counts.update({"mutants": 1, "looks": catch.plays})
    tally.counts["caught"] += catch.layer is not None
    tally.counts["caught by oracles"] += catch.by_oracles
    if catch.layer is None:
        tally.failures.append(f"survived: {mutant}\nreplay: {REPLAY} 'mutant {mutant.name}'")
    return tally


def tasks(nightly: bool) -> list[Task]:
    """A hunt for each."""
    return [Task("mutants", hunt_one, (name, SEARCHES[nightly])) for name in MUTANTS]


def replay(line: str) -> Tally:
    """Hunt again the mutant that *line* names (``mutant NAME``), and tell how it went."""
    mutant = MUTANTS[line.split()[-1]]
    catch = hunt(mutant, SEARCHES[False])
    print(mutant)
    print(catch.output)
    print(told(catch))
    return count(mutant, catch)


def told(catch: Catch) -> str:
    """In one line: what caught it, and how fast."""
    how = "survived" if catch.layer is None else f"caught by {catch.layer}: {catch.clue}"
    return f"{how} ({catch.plays} looks, {catch.seconds:.1f} s)"
