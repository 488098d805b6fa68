"""A network that swallows packets: half-open connections, and what ends them.

The server runs in a network namespace of its own, behind a pair of virtual interfaces. A
filter in there drops every packet, both ways: nobody is told anything, as when a cable is cut
or a firewall forgets a flow. Needs root, ``ip`` and ``nft``.
"""

from __future__ import annotations

import errno
import os
import random
import struct
import subprocess

import gevent
import pytest
from availability import missing, require_program
from gevent import socket
from line_clients import Clients, LinePool, check_whole, eventually
from line_server import LineServer

from geventconnpool import PoolTimeout

SIZE = 3

DROP = """
table inet fault {
    chain incoming {
        type filter hook input priority 0
        policy drop
    }
    chain outgoing {
        type filter hook output priority 0
        policy drop
    }
}
"""


@pytest.fixture(autouse=True, scope="session")
def cooperative():
    """These clients are gevent's own: they cooperate where nothing is patched, too."""


class Network:
    """A network namespace, reached over a pair of interfaces. The names carry the pid."""

    def __init__(self):
        self.ip = require_program("ip", "/usr/sbin", "/sbin")
        self.nft = require_program("nft", "/usr/sbin", "/sbin")
        if os.geteuid() != 0:
            missing("the rights of root, to make network namespaces")
        pid = os.getpid()
        self.name = f"pool{pid}"
        self.outside, self.inside = f"po{pid}", f"pi{pid}"
        # A network of four addresses out of 198.18.0.0/15, which is reserved for tests.
        base = (198 << 24) + (18 << 16) + 4 * (pid % (1 << 15))
        self.here, self.there = (self._dotted(base + host) for host in (1, 2))

    @property
    def prefix(self):
        """What runs a command inside."""
        return (self.ip, "netns", "exec", self.name)

    def make(self):
        first = self._run(self.ip, "netns", "add", self.name, check=False)
        if first.returncode:
            missing(f"the right to make network namespaces ({first.stderr.strip()})")
        link = ["link", "add", self.outside, "type", "veth", "peer", self.inside]
        self._run(self.ip, *link, "netns", self.name)
        self._run(self.ip, "address", "add", f"{self.here}/30", "dev", self.outside)
        self._run(self.ip, "link", "set", self.outside, "up")
        self._run(
            self.ip, "-n", self.name, "address", "add", f"{self.there}/30", "dev", self.inside
        )
        self._run(self.ip, "-n", self.name, "link", "set", self.inside, "up")

    def remove(self):
        # The pair of interfaces goes with it.
        self._run(self.ip, "netns", "delete", self.name, check=False)

    def drop(self):
        """Drop every packet from now on."""
        self._run(*self.prefix, self.nft, "-f", "-", input=DROP)

    def heal(self):
        self._run(*self.prefix, self.nft, "flush", "ruleset")

    def _run(self, *command, check=True, **options):
        return subprocess.run(
            command, check=check, capture_output=True, text=True, timeout=30, **options
        )

    @staticmethod
    def _dotted(number):
        return ".".join(str(byte) for byte in number.to_bytes(4, "big"))


@pytest.fixture(scope="module")
def cable():
    network = Network()
    try:
        network.make()
        yield network
    finally:
        network.remove()


@pytest.fixture
def network(cable):
    yield cable
    cable.heal()


@pytest.fixture(scope="module")
def server(cable):
    with LineServer(cable.there, prefix=cable.prefix, seconds=600) as server:
        yield server


@pytest.fixture
def make_pool(server, network):
    """Makes pools that find out fast, and closes them in the end."""
    pools = []

    def make(size=SIZE, ready=True, **options):
        pool = LinePool(server.address, size, **{"connect_timeout": 0.5, **options})
        pools.append(pool)
        if ready:
            pool.wait_ready(timeout=30)
        return pool

    yield make
    network.heal()
    for pool in pools:
        pool.close(timeout=10)


def closes(pool):
    """Why connections were closed, without the failed connects."""
    return {r: n for r, n in pool.stats().closes.items() if n and r != "connect_failed"}


def retransmits(sock):
    """How often the bytes that nobody acknowledges were sent again."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]


def unacknowledged(sock):
    """How many segments are under way."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28), 24)[0]


class Asker:
    """Asks one question in a greenlet of its own."""

    def __init__(self, pool, delay=0.0, patience=None):
        self.answer = self.error = self.connection = None
        self._request = (pool, delay, patience)
        self.greenlet = gevent.spawn(self._ask)

    def _ask(self):
        pool, delay, patience = self._request
        try:
            with gevent.Timeout(patience), pool.get() as self.connection:
                self.answer = self.connection.ask(17, delay)
        except (Exception, gevent.Timeout) as error:
            self.error = error

    def get_error(self):
        eventually(self.greenlet.ready, "the request ends")
        return self.error


class TestDeadlines:
    def test_a_timeout_around_the_block_ends_a_request_in_the_middle(
        self, make_pool, network, server
    ):
        pool = make_pool()
        before = server.report()["asked"]
        asker = Asker(pool, delay=0.5, patience=1.0)
        eventually(lambda: server.report()["asked"] == before + 1, "the question has arrived")
        network.drop()

        assert isinstance(asker.get_error(), gevent.Timeout)
        assert closes(pool) == {"interrupted": 1}
        eventually(lambda: pool.stats().connect_errors >= 2, "its place is tried again and again")
        assert pool.stats().idle == SIZE - 1, "the others do not know yet"

        network.heal()
        check_whole(pool)

    def test_the_ping_finds_idle_connections_that_are_dead(self, make_pool, network):
        pool = make_pool(keepalive=0.3, keepalive_timeout=0.3)
        network.drop()

        eventually(lambda: closes(pool) == {"unchecked": SIZE})
        assert pool.stats().ping_errors == SIZE

        network.heal()
        check_whole(pool)

    def test_a_check_finds_them_before_they_are_handed_out(self, make_pool, network):
        pool = make_pool(check_after=0, keepalive_timeout=0.3)
        network.drop()

        with pytest.raises(PoolTimeout):
            pool.acquire(timeout=2)

        eventually(lambda: closes(pool) == {"unchecked": SIZE})
        network.heal()
        check_whole(pool)

    def test_the_pool_bounds_connects_that_nobody_answers(self, make_pool, network):
        network.drop()
        pool = make_pool(ready=False)
        with pytest.raises(PoolTimeout) as caught:
            pool.wait_ready(timeout=2)
        assert "connect_timeout (0.5 s)" in str(caught.value.__cause__)

        network.heal()
        check_whole(pool)

    def test_a_connection_that_the_break_outlasted_serves_on(self, make_pool, network):
        """A short break is none of the pool's affair: TCP sends again what was lost."""
        pool = make_pool(1)
        network.drop()
        asker = Asker(pool)
        eventually(lambda: asker.connection and retransmits(asker.connection.sock))
        network.heal()

        assert asker.get_error() is None
        assert asker.answer == 17
        assert closes(pool) == {}


@pytest.mark.parametrize("seed", [1, None])
def test_through_breaks_at_any_moment_no_answer_is_wrong(make_pool, network, seed):
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    print(f"seed {seed}")
    chance = random.Random(seed)
    pool = make_pool(keepalive=0.3, keepalive_timeout=0.3)
    clients = Clients(pool, 8, seed)
    try:
        for _ in range(5):
            clients.get_answers(10)
            network.drop()
            clients.make_requests(chance.choice([1, 10, 30]))
            network.heal()
        clients.get_answers(20)
        clients.stop()
    finally:
        clients.kill()
    assert clients.wrong == []
    assert clients.outcomes["timed out"] > 0
    check_whole(pool)


# -- half-open connections: as docs/howto/timeouts.rst recommends, only faster ------------------


def with_keepalive(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)


def with_user_timeout(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000)


def with_both(sock):
    with_keepalive(sock)
    with_user_timeout(sock)


class TestHalfOpen:
    @pytest.mark.parametrize("tune", [with_keepalive, with_both])
    def test_keepalive_ends_idle_connections_and_the_pool_notices(self, make_pool, network, tune):
        tuned, plain = make_pool(tune=tune), make_pool()
        network.drop()

        eventually(lambda: closes(tuned) == {"lost": SIZE})

        assert closes(plain) == {}
        assert plain.stats().idle == SIZE
        network.heal()
        check_whole(tuned)

    def test_the_user_timeout_ends_a_request_whose_bytes_do_not_arrive(self, make_pool, network):
        tuned, plain = make_pool(tune=with_user_timeout), make_pool()
        network.drop()
        asker, waiting = Asker(tuned), Asker(plain)

        error = asker.get_error()

        assert isinstance(error, TimeoutError)
        assert error.errno == errno.ETIMEDOUT
        assert closes(tuned) == {"broken": 1}
        assert not waiting.greenlet.ready()
        network.heal()
        check_whole(tuned)
        eventually(waiting.greenlet.ready)
        assert waiting.answer == 17

    def test_keepalive_alone_does_not_end_such_a_request(self, make_pool, network):
        """Bytes that wait for their acknowledgement put it off: so both are needed."""
        tuned, other = make_pool(tune=with_keepalive), make_pool(tune=with_both)
        network.drop()
        waiting, asker = Asker(tuned), Asker(other)

        assert asker.get_error().errno == errno.ETIMEDOUT
        eventually(lambda: closes(tuned) == {"lost": SIZE - 1}, "the idle ones")
        assert not waiting.greenlet.ready()

        network.heal()
        eventually(waiting.greenlet.ready)
        assert waiting.answer == 17

    def test_keepalive_ends_the_wait_for_an_answer_that_is_never_sent(
        self, make_pool, network, server
    ):
        """The question has arrived: no bytes are under way, so no user timeout counts."""
        tuned, plain = make_pool(1, tune=with_both), make_pool(1, tune=with_user_timeout)
        before = server.report()["asked"]
        asker, waiting = Asker(tuned, delay=5.0), Asker(plain, delay=5.0)
        eventually(lambda: server.report()["asked"] == before + 2, "the questions have arrived")
        eventually(
            lambda: not any(unacknowledged(each.connection.sock) for each in (asker, waiting))
        )
        network.drop()

        assert asker.get_error().errno == errno.ETIMEDOUT

        assert closes(tuned) == {"broken": 1}
        assert not waiting.greenlet.ready()
        network.heal()
        check_whole(tuned)
        eventually(waiting.greenlet.ready)
