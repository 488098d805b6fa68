"""What a checkout costs that has to wait, and how soon whoever waits runs."""

from __future__ import annotations

import functools
import random
from typing import Any

from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.careful import CarefulPool
from geventconnpool.cli.bench.floors import BareLine
from geventconnpool.cli.bench.measuring import Effort, Slices, measure
from geventconnpool.cli.bench.peers import Door, installed
from geventconnpool.cli.bench.stubs import StubPool, ready
from geventconnpool.cli.bench.workloads import Crowd, alternates, crowd, delays, turn_taking

__all__ = ["KEY", "QUESTION", "ask"]

KEY = "blocked"
QUESTION = "What does a checkout cost that has to wait, and how soon does whoever waits run?"

FEATURES: dict[str, Any] = {"keepalive": 30, "max_lifetime": 1800}
TWO = Crowd(greenlets=2, pauses=True)
SAMPLES = 500
"""Returns for one figure of how soon the waiter runs."""

FLOOR = "floor: bare first-come hand-off"
CAREFUL = "floor of a correct pool"
OURS = "geventconnpool"
NO_TIMEOUT = "geventconnpool, timeout=None"


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    doors = {FLOOR: Door(BareLine(1).get), CAREFUL: Door(CarefulPool(1).get), **_ours()}
    peers, answer.absent = installed()
    doors |= {peer.name: peer.make(1) for peer in peers}
    try:
        answer.bars += _ask_hand_offs(answer, doors, effort)
        _ask_turns(answer, doors, effort)
        _ask_delays(answer, doors, effort)
    finally:
        for door in doors.values():
            door.close()
    return answer


def _ours() -> dict[str, Door]:
    default = ready(StubPool(1, **FEATURES))
    patient = ready(StubPool(1, timeout=None, **FEATURES))
    return {
        OURS: Door(default.get, close=default.close),
        NO_TIMEOUT: Door(patient.get, close=patient.close),
        "geventconnpool, get(5.0)": Door(functools.partial(default.get, 5.0)),
    }


def _ask_hand_offs(answer: Answer, doors: dict[str, Door], effort: Effort) -> list[Bar]:
    """Every checkout waits: only where a return hands over to whoever waits."""
    fair = {name: door for name, door in doors.items() if alternates(door)}
    slices = measure({name: turn_taking(door) for name, door in fair.items()}, effort)
    answer.figures += slices.figures("a checkout that waits, and the return", FLOOR)
    others = ", ".join(name for name in doors if name not in fair)
    if others:
        answer.absent.append(f"a checkout that waits: {others}: the same greenlet has it again")
    return _bars(slices)


def _bars(slices: Slices) -> list[Bar]:
    what = "a checkout that waits"
    return [
        Bar(f"{what}, no timeout", slices.ratio(NO_TIMEOUT, FLOOR), 1.35),
        Bar(f"{what}, default timeout", slices.ratio(OURS, FLOOR), 1.35 * 1.25),
        Bar(f"{what}, against a correct pool", slices.ratio(OURS, CAREFUL), 1.4, guarded=True),
        Bar(f"{what}, default against none", slices.ratio(OURS, NO_TIMEOUT), 1.25, guarded=True),
    ]


def _ask_turns(answer: Answer, doors: dict[str, Door], effort: Effort) -> None:
    """The same for all pools: each holds it for a turn of the loop, and lets the other have it."""
    slices = measure({name: crowd(door, TWO) for name, door in doors.items()}, effort)
    table = "two on one connection, held for a turn of the loop, and a turn in between"
    answer.figures += slices.figures(table, FLOOR)


def _ask_delays(answer: Answer, doors: dict[str, Door], effort: Effort) -> None:
    """The middle and the 99th percentile of each round, all pools in each round."""
    order = random.Random(effort.seed)
    middle: dict[str, list[int]] = {name: [] for name in doors}
    late: dict[str, list[int]] = {name: [] for name in doors}
    for _ in range(max(3, effort.rounds // 4)):
        for name in order.sample(list(doors), len(doors)):
            found = sorted(delays(doors[name], SAMPLES))
            middle[name].append(found[len(found) // 2])
            late[name].append(found[len(found) * 99 // 100])
    for share, rounds in (("p50", middle), ("p99", late)):
        table = f"from a return until the waiter runs, {share}"
        answer.figures += [
            Figure(table, name, *spread(values), "ns") for name, values in rounds.items()
        ]
