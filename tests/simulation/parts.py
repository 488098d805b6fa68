"""Which parts the proof has, and who plays a line again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import bytecodes
import chaos
import enumeration
import machine
import mutants
import orders
import pairs
import soak
from lifetimes import LIVES
from tally import REPLAY, Tally, Task

from geventconnpool.testing import Plan, Simulation, play

__all__ = ["PARTS", "replay"]

PARTS: Mapping[str, Callable[[bool], list[Task]]] = {
    "soak": soak.tasks,  # the longest tasks go first
    "faults": enumeration.tasks,
    "pairs": pairs.tasks,
    "orders": orders.tasks,
    "random": chaos.tasks,
    "rules": machine.tasks,
    "bytecodes": bytecodes.tasks,
    "mutants": mutants.tasks,
}
"""What each part has to run, per change or nightly."""

_REPLAYS: Mapping[str, Callable[[str], Tally]] = {
    "soak": soak.replay,
    "machine": machine.replay,
    "mutant": mutants.replay,
    "bytecode": bytecodes.replay,
}
"""Who plays lines that begin with this word; all the others are a scenario and its plan."""


def replay(line: str) -> Tally:
    """Play one run again, as the line under its failure says, and tell its story."""
    name, _, plan = line.partition(" ")
    replay_part = _REPLAYS.get(name)
    if replay_part is not None:
        return replay_part(line)
    record = play(_scenario(name), Plan.parse(plan))
    print(record.report(name, REPLAY))
    tally = Tally()
    tally.take(name, record)
    return tally


def _scenario(name: str) -> Callable[[Simulation], object]:
    """The scenario that a report calls *name*."""
    known = {**LIVES, **orders.ORDERS, **chaos.CROWDS}
    return known[name] if name in known else pairs.find(name)
