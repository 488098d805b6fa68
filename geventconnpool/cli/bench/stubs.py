"""Our own pools over connections that cost nothing, so that only the pool is measured."""

from __future__ import annotations

from typing import Any, TypeVar

from gevent import socket

from geventconnpool.pool import ConnectionPool

__all__ = ["SocketPool", "StubPool", "ready"]

P = TypeVar("P", bound=ConnectionPool[Any])


class StubPool(ConnectionPool[object]):
    """Connections are bare objects; a ping does nothing."""

    def _new_connection(self) -> object:
        return object()

    def _keepalive(self, c: object) -> None:
        pass


class SocketPool(ConnectionPool[Any]):
    """Connections are sockets, so that they can be watched; the peers' ends stay open."""

    def __init__(self, size: int, **options: Any) -> None:
        self.peers: list[Any] = []
        super().__init__(size, **options)

    def _new_connection(self) -> Any:
        ours, theirs = socket.socketpair()
        self.peers.append(theirs)
        return ours

    def _keepalive(self, c: Any) -> None:
        pass

    def close(self, timeout: float | None = 5.0) -> bool:
        done = super().close(timeout)
        while self.peers:
            self.peers.pop().close()
        return done


def ready(pool: P) -> P:
    """*pool*, full, with every connection used once: new ones have to prove themselves."""
    pool.wait_ready()
    out = [pool.acquire() for _ in range(pool.size)]
    for connection in out:
        pool.release(connection)
    return pool
