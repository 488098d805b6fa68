"""How people use a pool: with care and without, in a hurry, twice over, by hand, through errors.

Each habit is one visit to the pool of a `World`. Whatever is left to chance is drawn from the
randomness of the simulation, so a seed decides it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import gevent
from world import PingingPool, World

from geventconnpool import (
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    PoolUnavailable,
    TooManyWaiters,
    retry,
)
from geventconnpool.testing import FakeConnection

__all__ = ["HABITS", "REFUSALS", "Crowd", "visit"]

REFUSALS = (PoolTimeout, PoolPaused, PoolClosed, PoolUnavailable, TooManyWaiters)
"""What a pool may answer to somebody who has made no mistake."""


class Crowd(World):
    """A world whose users may ask any number of questions over one connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.answers = 0
        """Right ones."""

    def question(self, connection: FakeConnection, token: str) -> None:
        """Ask, and compare the answer."""
        self.send(connection, token)
        self.receive(connection, token)

    def send(self, connection: FakeConnection, token: str) -> None:
        """Ask, and do not wait."""
        self._check_mine(connection)
        self.pool.sessions[connection] = token
        connection.send(token)

    def receive(self, connection: FakeConnection, token: str) -> None:
        """Wait for an answer, which should be *token*."""
        self._check_mine(connection)
        self.compare(connection, token, connection.recv())

    def _check_mine(self, connection: FakeConnection) -> None:
        """Operators may close a connection under its user, who is in for an error."""
        if id(connection) in self.pool._geventconnpool.revoked:
            raise OSError(errno.EBADF, f"{connection!r} was taken away")

    def compare(self, connection: FakeConnection, token: str, answer: object) -> None:
        """Count *answer*; it is wrong unless it is *token*."""
        if answer == token:
            self.answers += 1
        else:
            super().compare(connection, token, answer)


def visit(world: Crowd, token: str) -> str:
    """Use the pool once, out of some habit; returns what came of it in one word."""
    habit = world.sim.random.choices(list(HABITS), list(HABITS.values()))[0]
    try:
        habit(world, token)
    except REFUSALS as error:
        return type(error).__name__
    except (OSError, ValueError, LookupError):
        return "failed"
    return "done"


def patience(world: Crowd) -> dict[str, float]:
    """How long somebody waits: mostly as long as the pool says."""
    return world.sim.random.choice([{}, {}, {"timeout": 0.5}, {"timeout": 2.0}])


def moment(world: Crowd) -> float:
    """How long something takes."""
    return world.sim.random.choice([0.0, 0.005, 0.05, 0.5])


def plainly(world: Crowd, token: str) -> None:
    """One question."""
    with world.watch.get(**patience(world)) as connection:
        world.inspect(connection)
        world.question(connection, token)


def at_leisure(world: Crowd, token: str) -> None:
    """Two questions, and time between them."""
    with world.watch.get(**patience(world)) as connection:
        world.inspect(connection)
        world.question(connection, f"{token}, first")
        gevent.sleep(moment(world))
        world.question(connection, f"{token}, second")


def in_no_time(world: Crowd, token: str) -> None:
    """Only if it needs no waiting."""
    with world.watch.acquire(blocking=False) as connection:
        world.inspect(connection)
        world.question(connection, token)


def by_hand(world: Crowd, token: str) -> None:
    """With `acquire` and `release`."""
    with world.watch.acquire(**patience(world)) as connection:
        world.inspect(connection)
        gevent.sleep(moment(world))
        world.question(connection, token)


def ahead(world: Crowd, token: str) -> None:
    """Several questions before the first answer."""
    with world.watch.get() as connection:
        tokens = [f"{token}, number {number}" for number in range(3)]
        for each in tokens:
            world.send(connection, each)
        for each in tokens:
            world.receive(connection, each)


def in_a_hurry(world: Crowd, token: str) -> None:
    """With a timeout of one's own around all of it, which may fall anywhere."""
    with gevent.Timeout(world.sim.random.choice([0.001, 0.012, 0.03, 1.0]), False):
        at_leisure(world, token)


def with_a_plain_error(world: Crowd, token: str) -> None:
    """A timeout that raises an ordinary exception inside the block: one has to say so."""
    with world.watch.get(**patience(world)) as connection:
        try:
            with gevent.Timeout(0.011, LookupError("too late")):
                world.question(connection, f"{token}, first")
                world.question(connection, f"{token}, second")
        except LookupError:
            world.pool.discard(connection)
            raise


def through_an_error(world: Crowd, token: str) -> None:
    """An error leaves the block, and maybe an answer unread if the pool can find that out."""
    with world.watch.get(**patience(world)) as connection:
        world.question(connection, token)
        if isinstance(world.pool, PingingPool) and world.sim.random.random() < 0.5:
            world.send(connection, "nobody waits for this")
        raise world.sim.random.choice([OSError, ValueError, LookupError])("on purpose")


def away(world: Crowd, token: str) -> None:
    """The connection is taken out of the pool for good."""
    with world.watch.get(**patience(world)) as connection:
        world.question(connection, token)
        if connection.closed:  # taken away in the moment of the answer
            return
        world.watch.detach(connection)
        try:
            world.question(connection, f"{token}, my own")
        finally:
            connection.close()
            world.watch.escaped.discard(connection)


def never_again(world: Crowd, token: str) -> None:
    """The connection is not to be used again."""
    with world.watch.get(**patience(world)) as connection:
        world.question(connection, token)
        world.pool.discard(connection)


def nested(world: Crowd, token: str) -> None:
    """Two connections at once."""
    with world.watch.get(**patience(world)) as first:
        world.question(first, f"{token}, outside")
        with world.watch.get(timeout=0.3) as second:
            world.question(second, f"{token}, inside")


def again(world: Crowd, token: str) -> None:
    """With another try or two."""

    @retry(max_failures=2, interval=0.1)
    def ask() -> None:
        plainly(world, token)

    ask()


def handed_on(world: Crowd, token: str) -> None:
    """Somebody else uses what was taken here; it is brought back when that one has ended."""
    connection = world.pool.acquire(**patience(world))
    porter = gevent.Greenlet(carry, world, connection, token)

    def bring_back(porter: Any) -> None:
        connection.heard_at = world.sim.now  # in use until now, as far as its pings go
        world.pool.release(connection, discard=porter.value is not True)

    porter.link(bring_back)
    porter.start()


def carry(world: Crowd, connection: FakeConnection, token: str) -> bool:
    """Use what somebody else has taken; says whether it is still good."""
    with connection.taken_by(gevent.getcurrent()):
        try:
            world.question(connection, token)
        except OSError:
            return False
        return True


def carelessly(world: Crowd, token: str) -> None:
    """Take something and forget about it; the pool takes it back."""
    lease = world.pool.get(**patience(world))
    connection = lease.connection
    if connection in world.watch.forgotten:  # by somebody else, who still stands about
        with lease:
            return
    # Used, as far as its pings are concerned, until the pool has it again.
    connection.heard_at = world.sim.now + 3.0
    world.watch.forgotten.add(connection)
    try:
        gevent.sleep(4.0)
    finally:
        world.watch.forgotten.discard(connection)
        try:
            with lease:  # only where it was drained meanwhile, and is closed
                pass
        except PoolError:
            pass


def wrongly(world: Crowd, token: str) -> None:
    """Bring something back twice, and something that the pool never had."""
    with world.watch.acquire(**patience(world)) as connection:
        world.question(connection, token)
        is_wanted = world.pool.stats().waiting > 0
    if not is_wanted:  # else somebody has it already, and would be robbed
        refused(world, connection)
    refused(world, object())


def refused(world: Crowd, stranger: Any) -> None:
    """*stranger* is no connection that is out: whatever is said of it is a mistake."""
    for verb in (world.pool.release, world.pool.discard, world.pool.detach):
        try:
            verb(stranger)
        except PoolError:
            continue
        raise AssertionError(f"{verb.__name__} took {stranger!r}")


HABITS: dict[Callable[[Crowd, str], None], int] = {
    plainly: 10, at_leisure: 6, in_no_time: 2, by_hand: 4, ahead: 2, in_a_hurry: 5,
    with_a_plain_error: 2, through_an_error: 3, away: 1, never_again: 1, nested: 2, again: 2,
    handed_on: 2, carelessly: 1, wrongly: 1,
}  # fmt: skip
"""All of them, and how common they are."""
