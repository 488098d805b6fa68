"""What a type checker must see of a pool. Checked by mypy, never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geventconnpool import CloseReason, ConnectionPool, Event, PoolStats

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Session:
    def ask(self, question: bytes) -> bytes:
        return question


class SessionPool(ConnectionPool[Session]):
    def _new_connection(self) -> Session:
        return Session()

    def _keepalive(self, c: Session) -> None:
        c.ask(b"are you there")

    def _close_connection(self, c: Session, reason: CloseReason) -> None:
        assert_type(reason.healthy, bool)


def listen(event: Event) -> None:
    assert_type(event.seconds, float | None)


def use() -> None:
    with SessionPool(2, (OSError, LookupError), 30, listeners=[listen]) as pool:
        assert_type(pool, SessionPool)
        with pool.get(timeout=None) as session:
            assert_type(session, Session)
        taken = pool.acquire(blocking=False)
        assert_type(taken, Session)
        pool.release(taken, discard=True)
        assert_type(pool.stats(), PoolStats)
        assert_type(pool.size, int)
        assert_type(pool.name, str)
        assert_type(pool.check(), int)
        assert_type(pool.close(timeout=1), bool)
    plain: ConnectionPool[Session] = ConnectionPool(1, connect=Session)
    assert_type(plain.acquire(), Session)
