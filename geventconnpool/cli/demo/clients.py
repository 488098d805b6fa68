"""The demo's clients: they ask, check each answer, and fail in every way that users do."""

from __future__ import annotations

import enum
import math
import random
from collections import Counter

import gevent
from gevent import GreenletExit

from geventconnpool.cli.demo.pool import DemoConnection, DemoPool
from geventconnpool.errors import PoolTimeout
from geventconnpool.events import Event

__all__ = ["Load", "Tally", "Waits"]

_THINKING = 0.1  # seconds between two requests of one client, on average
_PATIENCE = 10.0
_SHORT_PATIENCE = 1.2  # shorter than the latest answers
_MISHAPS = 0.03  # share of requests
_STEPS = 50  # of the waits' histogram, for each factor of e: 2 % wide


class Waits:
    """How long the acquires waited: a histogram that does not grow with their number."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.count = 0
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Take one wait into account."""
        self.count += 1
        self.longest = max(self.longest, seconds)
        self._buckets[math.floor(math.log(max(seconds, 1e-6)) * _STEPS)] += 1

    def quantile(self, share: float) -> float | None:
        """So long or shorter waited *share* of them, within 2 %."""
        left = share * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(math.exp((bucket + 1) / _STEPS), self.longest)
        return None


class Tally:
    """What came of the requests. Listens to the pool, too, for the waits."""

    def __init__(self) -> None:
        self.requests = 0
        self.right = 0
        self.wrong = 0
        self.failures: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        """Failures by the name of an exception that a user could not expect."""
        self.waits = Waits()

    def listen(self, event: Event) -> None:
        """A listener for the pool."""
        if event.kind == "connection_acquired" and event.seconds is not None:
            self.waits.add(event.seconds)


class Mishap(enum.Enum):
    """What goes wrong on a client's side of one request."""

    IMPATIENT_WAITER = "waits but a moment for a connection"
    TIMED_OUT = "gevent.Timeout half-way"
    GAVE_UP = "swallows its timeout, and discards the connection as it must"
    ERROR_BEFORE = "an application error before the question"
    ERROR_HALFWAY = "an application error between question and answer"
    ERROR_AFTER = "an application error after the answer"


class ApplicationError(Exception):
    """Something that has nothing to do with the connection."""


class Client:
    """One client: thinks, asks, checks, and again."""

    def __init__(self, load: Load, number: int) -> None:
        self.asking = False
        """Whether it is half-way through a request."""
        self.waiting = False
        self._load = load
        self._number = number
        self._random = random.Random(f"{load.seed}:{number}")
        self.greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while not self._load.stopping:
            gevent.sleep(self._random.expovariate(1 / _THINKING))
            if not self._load.stopping:
                self._request()

    def _request(self) -> None:
        tally = self._load.tally
        tally.requests += 1
        try:
            self._tell(self._attempt(self._mishap()))
        except GreenletExit:
            tally.failures["stopped" if self._load.stopping else "killed"] += 1
            raise
        except (Exception, gevent.Timeout) as error:
            tally.unexpected[type(error).__name__] += 1
        finally:
            self.asking = self.waiting = False

    def _tell(self, outcome: str) -> None:
        tally = self._load.tally
        if outcome == "right":
            tally.right += 1
        elif outcome == "wrong":
            tally.wrong += 1
        else:
            tally.failures[outcome] += 1

    def _mishap(self) -> Mishap | None:
        if self._load.mischief and self._random.random() < _MISHAPS:
            return self._random.choice(list(Mishap))
        return None

    def _attempt(self, mishap: Mishap | None) -> str:
        moment = self._random.uniform(0.001, 0.02)
        patience = _SHORT_PATIENCE if self._load.mischief else _PATIENCE
        timer = gevent.Timeout(moment if mishap is Mishap.TIMED_OUT else patience)
        in_line = moment if mishap is Mishap.IMPATIENT_WAITER else _PATIENCE
        self.waiting = True
        try:
            with self._load.pool.get(timeout=in_line) as connection:
                self.waiting, self.asking = False, True
                with timer:
                    return self._converse(connection, mishap, moment)
        except gevent.Timeout as expired:
            if expired is not timer:
                raise
            return "timed_out"
        except ApplicationError:
            return "application_error"
        except PoolTimeout:
            return "no_connection_in_time"
        except OSError:
            return "connection_broken"

    def _converse(self, connection: DemoConnection, mishap: Mishap | None, moment: float) -> str:
        token = f"{self._number}-{self._random.getrandbits(64):016x}"
        if mishap is Mishap.ERROR_BEFORE:
            raise ApplicationError
        if mishap is Mishap.ERROR_HALFWAY:
            connection.send("ASK", token)
            raise ApplicationError
        answer: str | None
        if mishap is not Mishap.GAVE_UP:
            answer = connection.ask(token)
        else:
            answer = gevent.with_timeout(moment, connection.ask, token, timeout_value=None)
        if answer is None:
            self._load.pool.discard(connection)  # the answer is still to come
            return "gave_up"
        if mishap is Mishap.ERROR_AFTER:
            raise ApplicationError
        if answer != token:
            self._load.pool.discard(connection)
            return "wrong"
        return "right"


class Load:
    """All the clients of one run."""

    def __init__(self, pool: DemoPool, tally: Tally, clients: int, seed: int) -> None:
        self.pool = pool
        self.tally = tally
        self.seed = seed
        self.mischief = False
        """Whether clients have mishaps."""
        self.stopping = False
        self._count = clients
        self._number = 0
        self._clients: dict[Client, None] = {}

    def start(self) -> None:
        """Let them loose."""
        for _ in range(self._count):
            self._add()

    def stop(self, timeout: float) -> None:
        """Let each finish its request, for so long; then cut the rest off."""
        self.stopping = True
        greenlets = [client.greenlet for client in self._clients]
        gevent.joinall(greenlets, timeout=timeout)
        gevent.killall(greenlets)

    def kill_one(self, chance: random.Random) -> bool:
        """Kill a client, mostly half-way through a request, and replace it."""
        asking = [client for client in self._clients if client.asking]
        waiting = [client for client in self._clients if client.waiting]
        victims = waiting if waiting and chance.random() < 0.25 else asking
        if self.stopping or not victims:
            return False
        victim = chance.choice(victims)
        del self._clients[victim]
        victim.greenlet.kill(block=False)
        self._add()
        return True

    def _add(self) -> None:
        self._number += 1
        self._clients[Client(self, self._number)] = None
