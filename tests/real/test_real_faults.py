"""A pool of real sockets, a server in another process, and a proxy between them that errs.

Clients ask numbered questions. Whatever happens, nobody gets the answer to another question,
there are never more than ``size`` connections, and when it is over the pool is whole again.
"""

from __future__ import annotations

import random
from contextlib import contextmanager

import pytest
from availability import require_module
from gevent import socket, ssl
from line_clients import Clients, LinePool, check_whole, eventually, is_full
from line_server import LineServer
from proxy_faults import FAULTS

from geventconnpool.testing.proxy import FaultProxy

SIZE = 4
CLIENTS = 10
STEPS = 6


@pytest.fixture(autouse=True, scope="session")
def cooperative():
    """These clients are gevent's own: they cooperate where nothing is patched, too."""


@pytest.fixture(scope="module", params=["plain", "tls"])
def line(request, tmp_path_factory):
    """A server, and the context to speak to it; ``None`` where it speaks no TLS."""
    if request.param == "plain":
        with LineServer(seconds=600) as server:
            yield server, None
        return
    authority = require_module("trustme").CA()
    issued = authority.issue_cert("localhost")
    paths = [tmp_path_factory.mktemp("tls") / name for name in ("certificate", "key")]
    paths[0].write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    paths[1].write_bytes(issued.private_key_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    with LineServer(tls=tuple(map(str, paths)), seconds=600) as server:
        yield server, context


@contextmanager
def life(line, seed, **options):
    """A full pool behind a proxy, and busy clients. Checks what has to hold in the end."""
    server, tls = line
    options = {"connect_timeout": 0.3, "keepalive": 0.1, "keepalive_timeout": 0.5} | options
    with FaultProxy(server.address) as proxy:
        pool = LinePool(proxy.address, SIZE, tls=tls, **options)
        pool.wait_ready(timeout=30)
        clients = Clients(pool, CLIENTS, seed)
        try:
            clients.get_answers(20)
            yield proxy, pool, clients
            proxy.heal()
            clients.get_answers(20)
            clients.stop()
            check_whole(pool)
            assert clients.wrong == []
            assert proxy.most_open <= SIZE
            eventually(lambda: len(proxy.open) == server.report()["now"] == SIZE)
        finally:
            proxy.heal()
            clients.kill()
            assert pool.close(timeout=10)
    eventually(lambda: server.report()["now"] == 0)


def suffer(proxy, clients, faults, chance, steps=STEPS):
    """Step by step, with requests that end, well or badly, in between."""
    for _ in range(steps):
        chance.choice(faults).step(proxy, chance)
        clients.make_requests(CLIENTS)


@pytest.mark.parametrize("name", FAULTS)
def test_after_each_fault_the_pool_is_whole_and_no_answer_was_wrong(line, name):
    with life(line, seed=name) as (proxy, pool, clients):
        suffer(proxy, clients, [FAULTS[name]], random.Random(name))
        felt = FAULTS[name].reasons
        if felt:
            eventually(lambda: felt & {r for r, n in pool.stats().closes.items() if n}, felt)


@pytest.mark.parametrize("seed", [1, None])
def test_after_mixtures_of_faults_too(line, seed):
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    print(f"seed {seed}")
    chance = random.Random(seed)
    with life(line, seed) as (proxy, _, clients):
        for _ in range(4):
            suffer(proxy, clients, chance.sample(list(FAULTS.values()), 3), chance)
            proxy.heal()
            clients.get_answers(5)


def test_the_limit_holds_as_the_server_counts_too_where_goodbyes_are_waited_for(line):
    """The server hears of an end late; the place is free only when it has hung up, too."""
    server, tls = line

    class PolitePool(LinePool):
        def _close_connection(self, c, reason):
            try:
                if self.tls is not None:
                    c.sock.unwrap()
                c.sock.shutdown(socket.SHUT_WR)
                while c.sock.recv(4096):
                    pass
            except OSError:
                pass  # this server does not take its leave of TLS
            finally:
                c.sock.close()

    server.report()
    with FaultProxy(server.address) as proxy:
        proxy.to_server.latency = 0.02
        with PolitePool(proxy.address, SIZE, tls=tls) as pool:
            for _ in range(5):
                eventually(lambda: is_full(pool))
                pool.drain()
            eventually(lambda: is_full(pool))
            report = server.report()
    assert (report["now"], report["most"], report["new"]) == (SIZE, SIZE, 6 * SIZE)
