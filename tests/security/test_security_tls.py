"""The recipe for TLS from the first byte: whom it refuses, how, and that it recovers."""

from __future__ import annotations

import gc
import re
import warnings

import gevent
import pytest
from gevent import socket, ssl
from security_certificates import PAST, context_of, limited_to, self_signed
from security_peers import HOST, Peer, echo, eventually, nothing_was_handed_on, refusal, stall
from security_recipes import TLS, recipes

from geventconnpool import PoolTimeout, PoolUnavailable

recipe = recipes(TLS)
OLD_VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def over(context):
    """Echo lines over TLS with *context*."""

    def behave(visit):
        visit.secure(context)
        echo(visit)

    return behave


@pytest.fixture
def secure_pool(make_pool, trusting):
    def make(peer, **options):
        return make_pool(recipe.SecurePool, peer.address, HOST, trusting, 2, **options)

    return make


def ask(pool, question):
    with pool.get(timeout=10) as c:
        c.sendall(question + b"\n")
        return c.recv(100)


class TestTheContext:
    def test_demands_a_certificate_and_the_host_name(self, trusting):
        assert trusting.verify_mode is ssl.CERT_REQUIRED
        assert trusting.check_hostname is True
        assert trusting.minimum_version >= ssl.TLSVersion.TLSv1_2

    def test_so_does_one_for_public_authorities(self):
        context = recipe.verified_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is True

    def test_does_not_stop_checking_certificates_while_it_checks_host_names(self, trusting):
        with pytest.raises(ValueError, match="check_hostname"):
            trusting.verify_mode = ssl.CERT_NONE
        assert trusting.verify_mode is ssl.CERT_REQUIRED

    def test_refuses_to_work_without_a_name(self, trusting, make_peer, honest):
        plain = socket.create_connection(make_peer(over(honest)).address)
        with pytest.raises(ValueError, match="server_hostname"):
            recipe.handshake(plain, trusting, None)
        assert plain.fileno() == -1

    def test_is_cooperative_whether_patched_or_not(self, trusting, make_peer):
        """The standard library's kind would block the loop, and so its own peer and timeout."""
        plain = socket.create_connection(make_peer(stall).address)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.2):
            recipe.handshake(plain, trusting, HOST)
        assert plain.fileno() == -1


@pytest.fixture(params=["wrong name", "unknown authority", "self-signed", "expired"])
def bad(request, trustme, authority, tmp_path):
    """A server's context that must be refused, and what the refusal says."""
    if request.param == "wrong name":
        return context_of(authority.issue_cert("other.example.org")), "Hostname mismatch"
    if request.param == "unknown authority":
        return context_of(trustme.CA().issue_cert(HOST)), "unable to get local issuer"
    if request.param == "self-signed":
        return self_signed(tmp_path), "self.signed certificate"
    return context_of(authority.issue_cert(HOST, not_after=PAST)), "certificate has expired"


class TestBadCertificates:
    def test_are_refused_at_once_and_clearly(self, bad, make_peer, secure_pool):
        context, reason = bad
        peer = make_peer(over(context))
        pool = secure_pool(peer)
        with pytest.raises(PoolUnavailable) as caught:
            ask(pool, b"never said")
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        assert re.search(reason, str(caught.value.__cause__))
        assert "SSLCertVerificationError" in str(caught.value)
        nothing_was_handed_on(pool, peer)
        assert b"never said" not in peer.heard

    def test_the_pool_recovers_when_the_peer_turns_honest(
        self, bad, make_peer, secure_pool, honest
    ):
        peer = make_peer(over(bad[0]))
        pool = secure_pool(peer)
        with pytest.raises(PoolUnavailable):
            ask(pool, b"never said")
        peer.behave = over(honest)
        eventually(lambda: pool.stats().idle, "a connection")
        assert ask(pool, b"hello") == b"HELLO\r\n"

    def test_one_that_comes_later_does_not_touch_what_is_open(
        self, bad, make_peer, secure_pool, honest
    ):
        """The peer is swapped behind a pool that works."""
        peer = make_peer(over(honest))
        pool = secure_pool(peer, min_size=1)
        assert ask(pool, b"hello") == b"HELLO\r\n"
        peer.behave = over(bad[0])
        with pool.get() as good:
            with pytest.raises(PoolTimeout):
                pool.acquire(timeout=0.1)
            eventually(lambda: pool.stats().connect_errors, "the swap is noticed")
            good.sendall(b"still here\n")
            assert good.recv(100) == b"STILL HERE\r\n"
        assert pool.stats().idle == 1


class TestOldVersions:
    @pytest.mark.parametrize("version", OLD_VERSIONS, ids=lambda version: version.name)
    def test_are_refused(self, version, make_peer, secure_pool, authority):
        peer = make_peer(over(limited_to(context_of(authority.issue_cert(HOST)), version)))
        if speaks(peer, authority, version) != version.name.replace("_", "."):
            pytest.skip(f"this OpenSSL cannot make a server of {version.name}")
        peer.visits.clear()
        pool = secure_pool(peer)
        error = refusal(pool).__cause__
        assert isinstance(error, ssl.SSLError)
        assert "PROTOCOL" in str(error)
        nothing_was_handed_on(pool, peer)


def speaks(peer: Peer, authority, version) -> str | None:
    """The version in which a client that takes anything gets along with *peer*."""
    context = limited_to(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), version)
    authority.configure_trust(context)
    try:
        plain = socket.create_connection(peer.address)
        with recipe.handshake(plain, context, HOST) as tls:
            return str(tls.version())
    except OSError:
        return None


class TestSlowHandshakes:
    def test_a_peer_that_stalls_is_given_up(self, make_peer, secure_pool, honest):
        peer = make_peer(stall)
        pool = secure_pool(peer, connect_timeout=0.2)
        assert "connect_timeout" in str(refusal(pool))
        nothing_was_handed_on(pool, peer)
        peer.behave = over(honest)
        eventually(lambda: pool.stats().idle == 2, "full")
        assert ask(pool, b"hello") == b"HELLO\r\n"

    def test_one_that_shakes_hands_byte_by_byte_cannot_stretch_the_deadline(
        self, make_peer, secure_pool, honest
    ):
        """A real handshake, so slow that it would take minutes."""

        def drip(visit):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = honest.wrap_bio(incoming, outgoing, server_side=True)
            while True:
                incoming.write(visit.sock.recv(4096))
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                visit.drip(outgoing.read(), pause=0.1)

        peer = make_peer(drip)
        pool = secure_pool(peer, connect_timeout=0.5)
        assert "connect_timeout" in str(refusal(pool))
        nothing_was_handed_on(pool, peer)

    def test_a_failed_handshake_leaves_no_unclosed_socket(self, make_peer, secure_pool):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pool = secure_pool(make_peer(lambda visit: visit.say(b"SSH-2.0-banner\r\n")))
            error = refusal(pool).__cause__
            pool.close()
            gc.collect()
        assert isinstance(error, OSError)
        assert caught == []
