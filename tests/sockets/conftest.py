"""Loopback servers and pools of real sockets, all of them gone after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent.ssl
import pytest
from loopback import Server

from geventconnpool import ConnectionPool, Event


class Heard(list[Event]):
    """A listener that remembers."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    @property
    def reasons(self) -> list[str]:
        """Why connections were closed, in order."""
        return [e.reason.name.lower() for e in self if e.kind == "connection_closed"]


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
    pools = []

    def make(
        size: int = 1, kind: type[ConnectionPool[Any]] = ConnectionPool, **options: Any
    ) -> ConnectionPool[Any]:
        if kind._new_connection is ConnectionPool._new_connection:
            options.setdefault("connect", server.connect)
        pool = kind(size, listeners=[heard], **options)
        pools.append(pool)
        pool.wait_ready(timeout=10)
        with ExitStack() as block:  # they have proved themselves: losing one is no failure
            for _ in range(pool.stats().idle):
                block.enter_context(pool.get())
        return pool

    yield make
    for pool in pools:
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
