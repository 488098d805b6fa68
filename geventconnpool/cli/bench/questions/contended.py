"""A crowd that wants few connections: how much gets done, and who waits how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from geventconnpool.cli.bench.answers import Answer, Bar, Figure
from geventconnpool.cli.bench.careful import CarefulPool
from geventconnpool.cli.bench.floors import BareLine
from geventconnpool.cli.bench.measuring import Effort, Slices, measure
from geventconnpool.cli.bench.peers import Door, Peer, installed
from geventconnpool.cli.bench.stubs import StubPool, ready
from geventconnpool.cli.bench.workloads import Crowd, Waits, crowd

__all__ = ["KEY", "QUESTION", "ask"]

KEY = "contended"
QUESTION = "How much does a crowd get done that wants few connections, and who waits how long?"

SIZE = 10
EACH = {100: 20, 1_000: 10, 10_000: 5}
"""How many checkouts each greenlet wants, by how many they are."""
MOST_ROUNDS = {100: 30, 1_000: 15, 10_000: 4}
QUICK_UP_TO = 1_000
FEATURES: dict[str, Any] = {"keepalive": 30, "max_lifetime": 1800}

FLOOR = "floor: bare first-come hand-off"
CAREFUL = "floor of a correct pool"
OURS = "geventconnpool"
BEFORE = "geventconnpool 0.2.1"
PSYCOPG = "psycopg_pool connection()"
QUICK = (BEFORE, PSYCOPG)

LOADS = {True: "a turn of the loop in between", False: "the next checkout at once"}
"""What a greenlet does after a return, by `Crowd.pauses`."""


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    peers, answer.absent = installed()
    if effort.quick:
        peers = [peer for peer in peers if peer.name in QUICK]
        answer.absent.append(f"in the quick form: all other pools but {' and '.join(QUICK)}")
    pool = ready(StubPool(SIZE, **FEATURES))
    doors = {
        FLOOR: Door(BareLine(SIZE).get),
        CAREFUL: Door(CarefulPool(SIZE).get),
        OURS: Door(pool.get, close=pool.close),
    }
    doors |= {peer.name: peer.make(SIZE) for peer in peers}
    try:
        for greenlets in EACH:
            if not (effort.quick and greenlets > QUICK_UP_TO):
                _ask_crowd(answer, _able(answer, doors, peers, greenlets), greenlets, effort)
    finally:
        for door in doors.values():
            door.close()
    return answer


def _able(
    answer: Answer, doors: dict[str, Door], peers: list[Peer], greenlets: int
) -> dict[str, Door]:
    """Those that can serve so many in reasonable time."""
    unable = {peer.name for peer in peers if peer.most_waiting < greenlets}
    for name in doors:
        if name in unable:
            why = "a hand-off takes longer the more wait, here too long"
            answer.absent.append(f"{name}, {greenlets:,} greenlets: {why}")
    return {name: door for name, door in doors.items() if name not in unable}


def _ask_crowd(answer: Answer, doors: dict[str, Door], greenlets: int, effort: Effort) -> None:
    for pauses in LOADS:
        who = Crowd(greenlets, pauses)
        if pauses or not effort.quick:
            _ask_throughput(answer, doors, who, effort)
        waits = {name: Waits.of(door, who, EACH[greenlets]) for name, door in doors.items()}
        answer.figures += _fairness(waits, who)
        answer.bars += _fairness_bars(waits[OURS], who)


def _ask_throughput(answer: Answer, doors: dict[str, Door], who: Crowd, effort: Effort) -> None:
    few = replace(effort, rounds=min(effort.rounds, MOST_ROUNDS[who.greenlets]))
    works = {name: crowd(door, who) for name, door in doors.items()}
    slices = measure(works, few, count=who.greenlets * EACH[who.greenlets])
    table = f"a checkout in a crowd, {LOADS[who.pauses]}"
    answer.figures += slices.figures(table, FLOOR, who.greenlets)
    if who.pauses:
        answer.bars += _throughput_bars(slices, who.greenlets)


def _throughput_bars(slices: Slices, greenlets: int) -> list[Bar]:
    among = f"among {greenlets:,}"
    bars = [
        Bar(f"a checkout {among}", slices.ratio(OURS, FLOOR), 1.3),
        Bar(f"{among}, against a correct pool", slices.ratio(OURS, CAREFUL), 1.2, guarded=True),
    ]
    for peer, limit in ((BEFORE, 1.25), (PSYCOPG, 2.5)):
        if peer in slices.seconds:
            what = f"{among}, as many checkouts as {peer}"
            bars.append(Bar(what, slices.ratio(peer, OURS), limit, at_most=False))
    return bars


# --- fairness ----------------------------------------------------------------------------


def _fairness(waits: dict[str, Waits], who: Crowd) -> list[Figure]:
    """Who starves whom."""
    load, wanted, found = LOADS[who.pauses], EACH[who.greenlets], []

    def add(table: str, name: str, value: float, unit: str, note: str = "") -> None:
        heading = f"{table}, {load}"
        found.append(Figure(heading, name, value, value, value, unit, who.greenlets, note))

    for name, each in waits.items():
        for unit, values in (
            ("hand-offs", sorted(each.hand_offs)),
            ("ms", [seconds * 1000 for seconds in sorted(each.seconds)]),
        ):
            last = len(values) - 1
            add(f"wait in {unit}, p50", name, values[last // 2], unit)
            add(f"wait in {unit}, p99", name, values[last * 99 // 100], unit)
            add(f"longest wait in {unit}", name, values[last], unit)
        done = each.slowest or 0
        note = f"{done} of {wanted}"
        add("done by the slowest when the first is through", name, 100 * done / wanted, "%", note)
    return found


def _fairness_bars(waits: Waits, who: Crowd) -> list[Bar]:
    """Nobody overtakes: each of the others gets one at most before it is one's turn again."""
    among = f"among {who.greenlets:,}, {LOADS[who.pauses]}"
    longest, others = max(waits.hand_offs), who.greenlets - 1
    least = EACH[who.greenlets] - 1
    return [
        Bar(f"longest wait {among}", longest, others, "hand-offs", guarded=True),
        Bar(
            f"done by the slowest {among}",
            waits.slowest or 0,
            least,
            "checkouts",
            False,
            guarded=True,
        ),
    ]
