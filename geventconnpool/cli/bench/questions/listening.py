"""What listeners cost those who check out."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

from geventconnpool.cli.bench.answers import Answer, Bar
from geventconnpool.cli.bench.measuring import Effort, Work, measure
from geventconnpool.cli.bench.peers import Door
from geventconnpool.cli.bench.stubs import StubPool, ready
from geventconnpool.cli.bench.workloads import cycles, turn_taking
from geventconnpool.events import Event

__all__ = ["KEY", "QUESTION", "ask"]

KEY = "listening"
QUESTION = "What do listeners cost those who check out?"

SIZE = 10
FEATURES: dict[str, Any] = {"keepalive": 30, "max_lifetime": 1800}
NOISE = 1.05
"""Two pools that are alike differ by no more."""

NONE = "no listener"
ALIKE = "no listener, a second pool"
ONE = "one that does nothing"

Listener = Callable[[Event], object]


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    kept: list[Event] = []
    kinds = _kinds(kept)
    _ask(answer, kinds, "a checkout and return", SIZE, cycles, kept, effort)
    _ask(answer, kinds, "a checkout that waits, and the return", 1, turn_taking, kept, effort)
    return answer


def _kinds(kept: list[Event]) -> dict[str, list[Listener]]:
    """Lists of listeners, by what they do."""
    return {
        NONE: [],
        ALIKE: [],
        ONE: [_nothing],
        "four that do nothing": [_nothing] * 4,
        "one that keeps the events in a list": [kept.append],
        "one that logs, its level switched off": [_logging(logging.WARNING)],
        "one that logs to memory": [_logging(logging.DEBUG)],
    }


def _nothing(event: Event) -> None:
    pass


def _logging(level: int) -> Listener:
    log = logging.Logger("geventconnpool.bench", level)  # apart from all others
    log.addHandler(_Forgetful())
    return lambda event: log.debug("%s", event)


class _Forgetful(logging.Handler):
    """Writes every line to memory, over the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = io.StringIO()

    def emit(self, record: logging.LogRecord) -> None:
        self._memory.seek(0)
        self._memory.write(f"{self.format(record)}\n")


def _ask(
    answer: Answer,
    kinds: dict[str, list[Listener]],
    what: str,
    size: int,
    load: Callable[[Door], Work],
    kept: list[Event],
    effort: Effort,
) -> None:
    pools = {
        name: ready(StubPool(size, listeners=each, **FEATURES)) for name, each in kinds.items()
    }
    works = {name: _forgetting(load(Door(pool.get)), kept) for name, pool in pools.items()}
    slices = measure(works, effort)
    for pool in pools.values():
        pool.close(0)
    answer.figures += slices.figures(f"{what}, against no listener", NONE)
    if load is cycles:
        answer.bars += [
            Bar(f"{what}, no listener against none", slices.ratio(ALIKE, NONE), NOISE),
            Bar(f"{what}, {ONE}", slices.ratio(ONE, NONE), 3.0),
        ]


def _forgetting(work: Work, kept: list[Event]) -> Work:
    """*work*, and what was kept of it is forgotten when the time is taken."""

    def forgetting(count: int) -> float:
        took = work(count)
        kept.clear()
        return took

    return forgetting
