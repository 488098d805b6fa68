"""Loopback servers and pools of real sockets, all of them gone after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent.ssl
import pytest
from loopback import Server

from geventconnpool import ConnectionPool


class Heard:
    """What became of the connections of a test's pools.

    Read off their stats: with a listener every checkout would take the careful path.
    """

    def __init__(self) -> None:
        self.pools: list[ConnectionPool[Any]] = []

    @property
    def reasons(self) -> list[str]:
        """Why connections were closed."""
        counts = [pool.stats().closes.items() for pool in self.pools]
        return [str(reason) for items in counts for reason, n in items for _ in range(n)]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make_pool(server: Server, heard: Heard) -> Iterator[Callable[..., ConnectionPool[Any]]]:
    """Makes pools of connections to *server* that are open, and closes them in the end."""

    def make(
        size: int = 1, kind: type[ConnectionPool[Any]] = ConnectionPool, **options: Any
    ) -> ConnectionPool[Any]:
        if kind._new_connection is ConnectionPool._new_connection:
            options.setdefault("connect", server.connect)
        pool = kind(size, **options)
        heard.pools.append(pool)
        pool.wait_ready(timeout=10)
        with ExitStack() as block:  # they have proved themselves: losing one is no failure
            for _ in range(pool.stats().idle):
                block.enter_context(pool.get())
        return pool

    yield make
    for pool in heard.pools:
        pool.close()


@pytest.fixture(scope="session")
def authority() -> Any:
    return pytest.importorskip("trustme").CA()


@pytest.fixture
def tls_server(authority: Any) -> Iterator[Server]:
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server = Server(ssl_context=context)
    yield server
    server.stop()


@pytest.fixture
def trusting(authority: Any) -> gevent.ssl.SSLContext:
    """A client's context that trusts the authority, and nobody else."""
    context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context
