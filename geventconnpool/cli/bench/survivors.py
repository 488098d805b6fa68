"""Other pools, over a peer that goes away and comes back."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from geventconnpool.cli.bench.ancestor import AncestorPool
from geventconnpool.cli.bench.outages import Connection, Peer, Take

__all__ = ["survivors"]

Make = Callable[[int, Peer], contextlib.AbstractContextManager[Take]]
"""Makes a pool of a size; it is closed at the end of the block."""


def survivors(absent: list[str]) -> dict[str, Make]:
    """Those that are here; why not is noted in *absent*."""
    found: dict[str, Make] = {"geventconnpool 0.2.1, connects that return None": _ancestor}
    for name, make in {
        "psycopg_pool": _psycopg_pool,
        "generic-connection-pool": _generic_pool,
    }.items():
        try:
            import_module(name.replace("-", "_"))
        except ImportError as error:
            absent.append(f"{name}: cannot be imported ({error})")
        else:
            found[name] = make
    return found


@contextlib.contextmanager
def _ancestor(size: int, peer: Peer) -> Iterator[Take]:
    class Pool(AncestorPool):
        def _new_connection(self) -> Any:
            try:
                return peer.connect()
            except OSError:  # one that raises costs the place for ever
                return None

    yield Pool(size, between_connects=0).get


@contextlib.contextmanager
def _psycopg_pool(size: int, peer: Peer) -> Iterator[Take]:
    psycopg_pool: Any = import_module("psycopg_pool")
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    pool = psycopg_pool.ConnectionPool(
        "", connection_class=_psycopg_connection(peer), min_size=size, max_size=size, open=True
    )
    pool.wait()
    yield pool.connection
    pool.close()


def _psycopg_connection(peer: Peer) -> type[Any]:
    """A class of connections to *peer* that psycopg_pool takes for its own."""
    from psycopg.pq import TransactionStatus

    from geventconnpool.cli.bench.peers.psycopg_pools import StubConnection

    class Link(StubConnection):
        """Is at the same time what the pool asks how the connection is."""

        def __init__(self) -> None:
            self.link = peer.connect()
            self.pgconn: Any = self

        @classmethod
        def connect(cls, conninfo: str, **options: object) -> StubConnection:
            return cls()

        @property
        def transaction_status(self) -> Any:
            return TransactionStatus.IDLE if self.link.is_alive else TransactionStatus.UNKNOWN

        def cut(self) -> None:
            self.link.cut()

        def use(self) -> None:
            self.link.use()

    return Link


@contextlib.contextmanager
def _generic_pool(size: int, peer: Peer) -> Iterator[Take]:
    threading_pool: Any = import_module("generic_connection_pool.threading")

    class Manager(threading_pool.BaseConnectionManager):  # type: ignore[misc]
        def create(self, endpoint: str, timeout: float | None = None) -> Connection:
            return peer.connect()

        def dispose(self, endpoint: str, conn: Connection, timeout: float | None = None) -> None:
            pass

        def check_aliveness(
            self, endpoint: str, conn: Connection, timeout: float | None = None
        ) -> bool:
            return conn.is_alive

    pool = threading_pool.ConnectionPool(
        Manager(), min_idle=size, max_size=size, total_max_size=size, background_collector=False
    )
    yield functools.partial(pool.connection, "endpoint")
    pool.close()
