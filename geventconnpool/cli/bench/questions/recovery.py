"""How soon a pool is whole again: after one broken connection, and after an outage.

Outages are lived through in virtual time, many times over, each with other random pauses;
a real outage of three seconds is for the other pools, whose clocks cannot be replaced.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import gevent

from geventconnpool import clock
from geventconnpool.backoff import Backoff
from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.measuring import Effort
from geventconnpool.cli.bench.outages import Callers, Connection, Peer, Take
from geventconnpool.cli.bench.survivors import Make, survivors
from geventconnpool.pool import ConnectionPool
from geventconnpool.testing import Simulation

KEY = "recovery"
QUESTION = "How soon is a pool whole again after one broken connection, and after an outage?"

SIZE = 20
LATENCY = 0.020
OUTAGES = (3.0, 8.0, 60.0)
HANDFUL = 5.0
"""Connect attempts a second, at most, while the peer is away."""
PROOF = 1.0
"""Seconds after which a connection that nobody uses counts as proven; until then it is alone."""
PATIENCE = 30.0

OWN = "geventconnpool"


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    others = survivors(answer.absent)
    _ask_broken(answer, others, effort)
    seeds = range(effort.seed, effort.seed + (20 if effort.quick else 200))
    for seconds in OUTAGES:
        _ask_outage(answer, seconds, seeds, is_used=True)
        _ask_outage(answer, seconds, seeds, is_used=False)
    if effort.quick:
        answer.absent.append("other pools in an outage: takes too long for a quick look")
    else:
        _ask_real_outage(answer, others)
    return answer


@contextmanager
def _own(size: int, peer: Peer) -> Any:
    with ConnectionPool[Connection](size, connect=peer.connect) as pool:
        pool.wait_ready()
        yield pool.get


# --- one broken connection ---------------------------------------------------------------


def _ask_broken(answer: Answer, others: dict[str, Make], effort: Effort) -> None:
    rounds = max(3, min(effort.rounds, 20))
    table = f"one of {SIZE} breaks: until all can be used again"
    for name, make in ({OWN: _own} | others).items():
        few = name.startswith("geventconnpool 0.2.1")  # which waits for a second each time
        found, connects = _broken(make, 3 if few else rounds)
        answer.figures.append(Figure(table, name, *spread(found), "ms"))
        if name == OWN:
            spare = [one - connect for one, connect in zip(found, connects, strict=True)]
            what = "one broken connection, whole again: beyond one connect"
            answer.bars.append(Bar(what, spread(spare)[0], 10, "ms"))


def _broken(make: Make, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds until whole again, and of one connect at the same time, round by round."""
    found, connects = [], []
    peer = Peer(LATENCY)
    with make(SIZE, peer) as take:
        _use_all(take)
        for _ in range(rounds):
            connects.append(_milliseconds(peer.arrive))
            _break_one(take)
            found.append(_milliseconds(lambda: _use_all(take)))
    return found, connects


def _milliseconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e3


def _break_one(take: Take) -> None:
    """Its user gets an error, as everybody would to whom it is given."""
    with suppress(ConnectionResetError), take() as connection:
        connection.cut()
        connection.use()


def _use_all(take: Take) -> None:
    """Have all connections in use at the same time."""
    with gevent.Timeout(PATIENCE), ExitStack() as taken:
        for _ in range(SIZE):
            taken.enter_context(take()).use()


# --- outages in virtual time -------------------------------------------------------------


@dataclass(frozen=True)
class _NotedBackoff(Backoff):
    """Remembers the pauses that were drawn."""

    pauses: list[float] = field(default_factory=list)

    def delay(self, failures: int) -> float:
        self.pauses.append(super().delay(failures))
        return self.pauses[-1]


@dataclass
class Recovery:
    """How one outage went: seconds."""

    prefill: float
    pause: float
    """The pause that was under way when the peer came back."""
    full: float
    attempts: float
    """Connect attempts for each second of the outage."""


def _ask_outage(answer: Answer, seconds: float, seeds: range, is_used: bool) -> None:
    lived = [_live_through(seconds, seed, is_used) for seed in seeds]
    spare = 0.0 if is_used else PROOF
    ratios = [each.full / (each.pause + spare + 1.2 * each.prefill) for each in lived]
    how = "in use" if is_used else "with nobody asking"
    head = f"{how} ({len(seeds)} outages, virtual time)"
    attempts = [each.attempts for each in lived]
    full = [each.full for each in lived]
    note = f"longest {max(full):.2f} s"
    answer.figures += [
        Figure(f"from the return until full, {head}", OWN, *spread(full), "s", seconds, note),
        Figure(f"connect attempts a second, {head}", OWN, *spread(attempts), "/s", seconds),
    ]
    extra = "" if is_used else f" + {PROOF:g} s of proof"
    limit = f"one pause{extra} + 1.2 x prefill"
    note = f"worst {max(ratios):.3f}"
    answer.figures.append(
        Figure(f"the same, against {limit}, {head}", OWN, *spread(ratios), "x", seconds, note)
    )
    answer.bars += [
        Bar(f"full after {seconds:g} s, {how}, against {limit}", spread(ratios)[0], 1.0),
        Bar(f"attempts in {seconds:g} s, {how}, worst", max(attempts), HANDFUL, "/s"),
    ]


def _live_through(seconds: float, seed: int, is_used: bool) -> Recovery:
    with Simulation(seed) as world:
        peer, backoff = Peer(LATENCY), _NotedBackoff()
        pool = ConnectionPool[Connection](SIZE, connect=peer.connect, backoff=backoff, start=False)
        prefill = _seconds_until_full(pool)
        callers = Callers(SIZE, pool.get) if is_used else None
        world.advance(2.0)  # all have proved themselves
        peer.go()
        if not is_used:
            _find_out(pool)
        before = peer.attempts
        world.advance(seconds)
        peer.come_back()
        attempts = (peer.attempts - before) / seconds
        full = _seconds_until_full(pool)
        if callers is not None:
            callers.stop()
        pool.close(0)
    return Recovery(prefill, backoff.pauses[-1], full, attempts)


def _seconds_until_full(pool: ConnectionPool[Connection]) -> float:
    began = clock.now()
    pool.open()
    pool.wait_ready(None)
    return clock.now() - began


def _find_out(pool: ConnectionPool[Connection]) -> None:
    """Every connection is used once, and found to be broken."""

    def use_one() -> None:
        with suppress(ConnectionResetError), pool.get() as connection:
            gevent.sleep(0.001)
            connection.use()

    gevent.joinall([gevent.spawn(use_one) for _ in range(SIZE)])


# --- an outage in real time --------------------------------------------------------------


def _ask_real_outage(answer: Answer, others: dict[str, Make]) -> None:
    seconds = OUTAGES[0]
    for name, make in ({OWN: _own} | others).items():
        peer = Peer(LATENCY)
        with make(SIZE, peer) as take:
            first, full, attempts = _real_outage(take, peer, seconds)
        head = f"a real outage of {seconds:g} s, {SIZE} callers"
        for table, value, unit in (
            (f"{head}: until one is served", first, "ms"),
            (f"{head}: until all are", full, "ms"),
            (f"{head}: connect attempts a second", attempts, "/s"),
        ):
            answer.figures.append(Figure(table, name, value, value, value, unit))


def _real_outage(take: Take, peer: Peer, seconds: float) -> tuple[float, float, float]:
    """Milliseconds until one caller, and until all, are served; attempts a second before."""
    callers = Callers(SIZE, take)
    callers.wait_for_all(PATIENCE)
    peer.go()
    before = peer.attempts
    gevent.sleep(seconds)
    attempts = (peer.attempts - before) / seconds
    callers.forget()
    peer.come_back()
    began = clock.now()
    callers.wait_for_all(PATIENCE)
    callers.stop()
    first, full = callers.first_at, callers.all_at
    if first is None or full is None:
        raise TimeoutError(f"not full again after {PATIENCE:g} s")
    return (first - began) * 1e3, (full - began) * 1e3, attempts
