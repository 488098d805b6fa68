"""The recipe for STARTTLS: whoever meddles before the handshake is refused, without a password."""

from __future__ import annotations

import pytest
from gevent import ssl
from security_certificates import context_of
from security_peers import (
    HOST,
    PASSWORD,
    eventually,
    nothing_was_handed_on,
    refusal,
)
from security_recipes import TLS, recipes

from geventconnpool import PoolUnavailable

recipe = recipes(TLS)
LOGIN = b"LOGIN app " + PASSWORD


@pytest.fixture
def mail_pool(make_pool, trusting):
    def make(peer, **options):
        return make_pool(recipe.MailPool, peer.address, HOST, trusting, PASSWORD, 2, **options)

    return make


@pytest.fixture(scope="module")
def stranger(trustme):
    """The context of somebody in between: the right name, vouched for by nobody we know."""
    return context_of(trustme.CA().issue_cert(HOST))


def mail_server(context, *, secure_offer=b"LOGIN HELLO", login=b"OK"):
    """An honest peer, but for what is said here over TLS."""

    def behave(visit):
        assert visit.hear() == b"CAPABILITIES"
        visit.say(b"STARTTLS HELLO\r\n")
        assert visit.hear() == b"STARTTLS"
        visit.say(b"OK\r\n")
        visit.secure(context)
        answers = {b"CAPABILITIES": secure_offer, LOGIN: login}
        while True:
            line = visit.hear()
            visit.say(answers.get(line, line.upper()) + b"\r\n")

    return behave


def script(*answers, then=None):
    """A peer that answers with these, whatever is asked, and listens then to what else comes."""

    def behave(visit):
        for answer in answers:
            visit.hear()
            visit.say(answer)
        if then is not None:
            then(visit)
        visit.wait_for_end()

    return behave


OFFER = b"STARTTLS HELLO\r\n"


def say_in_clear(visit):
    """Answer the client's handshake, once it has begun, with what it might take for an answer."""
    visit.sock.recv(1)
    visit.say(b"LOGIN HELLO\r\n")


MEDDLERS = {
    "offers no TLS": (
        script(b"LOGIN HELLO\r\n", b"OK\r\n"),
        "the peer does not offer TLS",
    ),
    "offers something that looks like it": (
        script(b"XSTARTTLS NOSTARTTLS LOGIN\r\n", b"OK\r\n"),
        "the peer does not offer TLS",
    ),
    "refuses TLS": (script(OFFER, b"NO\r\n", b"OK\r\n"), "the peer does not agree to TLS"),
    "half agrees": (script(OFFER, b"OK, but not now\r\n"), "the peer does not agree to TLS"),
    "agrees, and goes on in the same packet": (
        script(OFFER, b"OK\r\nLOGIN HELLO\r\nOK\r\n"),
        "there were bytes before the handshake",
    ),
    "agrees, and one byte more": (
        script(OFFER, b"OK\r\nx"),
        "there were bytes before the handshake",
    ),
    "agrees before it was asked": (
        script(b"STARTTLS HELLO\r\nOK\r\n"),
        "the peer said more than it was asked",
    ),
    "never ends the offer": (
        script(b"STARTTLS " + b"x" * 100_000),
        "the line is too long",
    ),
    "hangs up": (lambda visit: visit.hear(), "the peer hung up"),
    "hangs up after agreeing": (
        script(OFFER, b"OK\r\n", then=lambda visit: visit.sock.close()),
        "",
    ),
    "goes on in clear, in a packet of its own": (
        script(OFFER, b"OK\r\n", then=say_in_clear),
        "SSL",
    ),
}

STALLERS = {
    "before the offer": script(),
    "before it agrees": script(OFFER),
    "in the handshake": script(OFFER, b"OK\r\n"),
    "byte by byte": lambda visit: visit.drip(b"x" * 4000),
    "byte by byte, after an offer": script(OFFER, b"", then=lambda visit: visit.drip(b"O" * 4000)),
}


def never_heard_the_password(peer):
    return PASSWORD not in peer.heard


class TestAnHonestPeer:
    def test_is_asked_for_its_capabilities_again_and_hears_the_password_over_tls(
        self, make_peer, mail_pool, honest
    ):
        peer = make_peer(mail_server(honest))
        pool = mail_pool(peer, min_size=1)
        with pool.get(timeout=10) as c:
            assert c.ask(b"hello") == b"HELLO"
            assert isinstance(c.sock, ssl.SSLSocket)
        (visit,) = peer.visits
        assert visit.heard == [b"CAPABILITIES", b"STARTTLS", b"CAPABILITIES", LOGIN, b"hello"]

    def test_may_be_slow(self, make_peer, mail_pool, honest):
        def slow(visit):
            say, visit.say = visit.say, lambda data: visit.drip(data, 0.001)
            try:
                mail_server(honest)(visit)
            finally:
                visit.say = say

        pool = mail_pool(make_peer(slow))
        with pool.get(timeout=10) as c:
            assert c.ask(b"hello") == b"HELLO"


@pytest.mark.parametrize(("behave", "reason"), MEDDLERS.values(), ids=MEDDLERS)
class TestMeddlers:
    def test_are_refused_and_hear_no_password(self, behave, reason, make_peer, mail_pool):
        peer = make_peer(behave)
        pool = mail_pool(peer)
        error = refusal(pool)
        assert isinstance(error.__cause__, OSError)
        assert reason in str(error.__cause__)
        nothing_was_handed_on(pool, peer)
        assert b"LOGIN" not in peer.heard
        assert never_heard_the_password(peer)

    def test_the_pool_recovers_when_the_peer_turns_honest(
        self, behave, reason, make_peer, mail_pool, honest
    ):
        peer = make_peer(behave)
        pool = mail_pool(peer)
        refusal(pool)
        peer.behave = mail_server(honest)
        eventually(lambda: pool.stats().idle, "a connection")
        with pool.get() as c:
            assert c.ask(b"hello") == b"HELLO"


@pytest.mark.parametrize("name", [name for name in MEDDLERS if "TLS" in name or "same" in name])
def test_whoever_strips_tls_is_told_to_callers_at_once(name, make_peer, mail_pool):
    pool = mail_pool(make_peer(MEDDLERS[name][0]))
    with pytest.raises(PoolUnavailable) as caught:
        pool.acquire(timeout=None)
    assert type(caught.value.__cause__) is recipe.TLSRefused
    assert "TLSRefused" in str(caught.value)


@pytest.mark.parametrize("behave", STALLERS.values(), ids=STALLERS)
class TestStallers:
    def test_are_given_up_within_the_one_deadline(self, behave, make_peer, mail_pool):
        peer = make_peer(behave)
        pool = mail_pool(peer, connect_timeout=0.2)
        assert "connect_timeout" in str(refusal(pool))
        nothing_was_handed_on(pool, peer)
        assert never_heard_the_password(peer)

    def test_the_pool_recovers(self, behave, make_peer, mail_pool, honest):
        peer = make_peer(behave)
        pool = mail_pool(peer, connect_timeout=0.5)
        refusal(pool)
        peer.behave = mail_server(honest)
        eventually(lambda: pool.stats().idle, "a connection")


class TestWhoeverIsInBetween:
    def test_cannot_show_a_certificate_of_its_own(self, make_peer, mail_pool, stranger):
        peer = make_peer(mail_server(stranger))
        pool = mail_pool(peer)
        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire(timeout=None)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        nothing_was_handed_on(pool, peer)
        assert never_heard_the_password(peer)

    def test_what_was_offered_in_clear_does_not_count(self, make_peer, mail_pool, honest):
        peer = make_peer(mail_server(honest, secure_offer=b"HELLO"))
        pool = mail_pool(peer)
        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire(timeout=None)
        assert str(caught.value.__cause__) == "the peer has no login"
        nothing_was_handed_on(pool, peer)
        assert never_heard_the_password(peer)


class TestTheLogin:
    def test_a_refused_one_gives_no_connection(self, make_peer, mail_pool, honest):
        peer = make_peer(mail_server(honest, login=b"NO"))
        pool = mail_pool(peer)
        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire(timeout=None)
        assert type(caught.value.__cause__) is recipe.LoginRefused
        assert PASSWORD.decode() not in str(caught.value.__cause__)
        nothing_was_handed_on(pool, peer)

    def test_a_password_cannot_smuggle_in_a_command(self, make_peer, make_pool, trusting, honest):
        peer = make_peer(mail_server(honest))
        password = b"x\r\nDELETE everything"
        pool = make_pool(recipe.MailPool, peer.address, HOST, trusting, password, 1)
        assert isinstance(refusal(pool).__cause__, ValueError)
        assert b"DELETE" not in peer.heard

    @pytest.mark.parametrize("name", ["offers no TLS", "refuses TLS", "hangs up"])
    def test_nothing_that_is_said_of_a_failure_shows_the_password(
        self, name, make_peer, mail_pool, caplog
    ):
        caplog.set_level(1)
        pool = mail_pool(make_peer(MEDDLERS[name][0]))
        error = refusal(pool)
        said = [str(error), repr(error), str(error.__cause__), repr(pool), str(pool.stats())]
        said += [record.getMessage() for record in caplog.records]
        assert caplog.records
        assert [text for text in said if PASSWORD.decode() in text] == []
