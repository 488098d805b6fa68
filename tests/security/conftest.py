"""Hostile peers, authorities good and bad, pools of the recipes; all of them gone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import security_flood
from availability import require_module
from gevent import ssl
from security_certificates import context_of
from security_peers import HOST, PATIENCE, Peer, Visit
from security_recipes import TLS, recipes

from geventconnpool import Backoff, ConnectionPool

BRISK = Backoff(base=0.01, cap=0.05)


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A recipe without a bound would wait for ever; here it fails."""
    with gevent.Timeout(3 * PATIENCE, AssertionError("the test hangs")):
        yield


@pytest.fixture
def make_peer() -> Iterator[Callable[..., Peer]]:
    """Starts peers that behave as told."""
    peers: list[Peer] = []

    def make(behave: Callable[[Visit], object]) -> Peer:
        peers.append(Peer(behave))
        return peers[-1]

    yield make
    for peer in peers:
        peer.stop()


@pytest.fixture
def make_pool() -> Iterator[Callable[..., Any]]:
    """Makes pools that are quick to try again, and closes them in the end."""
    pools: list[ConnectionPool[Any]] = []

    def make(kind: type[ConnectionPool[Any]], *args: Any, **options: Any) -> ConnectionPool[Any]:
        pools.append(kind(*args, **{"backoff": BRISK, **options}))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture(scope="session")
def flood() -> Iterator[dict[str, tuple[str, int]]]:
    """The addresses of the peer in another process, by what is said there."""
    command = [sys.executable, "-S", security_flood.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        yield {name: ("127.0.0.1", port) for name, port in ports.items()}
        process.stdin.close()


@pytest.fixture(scope="session")
def trustme() -> Any:
    return require_module("trustme")


@pytest.fixture(scope="session")
def authority(trustme: Any) -> Any:
    return trustme.CA()


@pytest.fixture(scope="session")
def trusting(authority: Any, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """The recipe's context. It trusts the authority, and nobody else."""
    cafile = tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(str(cafile))
    context = recipes(TLS).verified_context(str(cafile))
    # The standard library's kind would block the loop, and with it every bound of these tests.
    assert isinstance(context, ssl.SSLContext)
    return context


@pytest.fixture(scope="session")
def honest(authority: Any) -> ssl.SSLContext:
    """A server's context with the right certificate."""
    return context_of(authority.issue_cert(HOST))
