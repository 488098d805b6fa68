"""Peers and connections that are not real, so that a test can see what no real peer would tell.

A :class:`FakePeer` is a server: it can be slow, silent or down, cut connections, and it counts.
Time passes through gevent, so these work in a :class:`~geventconnpool.testing.Simulation` and
outside it.

.. code-block:: python

    peer = FakePeer(latency=0.01)
    pool = ConnectionPool(3, connect=peer.connect)
    with pool.get() as c:
        assert c.request("question") == "question"
    assert peer.complaints == []
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import gevent
from gevent.event import Event as Signal

from geventconnpool import clock
from geventconnpool.events import Event

__all__ = ["FakeConnection", "FakePeer", "RecordingListener"]

_PING = "ping"


@dataclass(frozen=True)
class SecondHalf:
    """The rest of an answer whose first half was read by somebody who did not wait for it."""

    answer: object


@dataclass(frozen=True)
class _FirstHalf:
    answer: object

    def completed_by(self, piece: object) -> object:
        """The whole answer, if *piece* belongs to it."""
        return self.answer if piece == SecondHalf(self.answer) else (self, piece)


class FakeConnection:
    """A connection to a :class:`FakePeer`; made by :meth:`FakePeer.connect`.

    What is asked is answered in order, as over a real connection. So who leaves an exchange
    half done leaves an answer behind, and the next :meth:`request` gets it: the wrong one.

    It has no file descriptor.

    .. versionadded:: 1.0
    """

    def __init__(self, peer: FakePeer, number: int) -> None:
        self.peer = peer
        self.number = number
        """1, 2, 3, ... for each peer."""
        self.closes = 0
        """How often it was closed; more than once is a mistake."""
        self.closed_at = 0.0
        """When that began, once it has."""
        self.requests = 0
        self.heard_at = clock.now()
        """When the peer last heard of its user: on opening, or a request."""
        self.fails_after = peer.fails_after
        """Cut by the peer when so many requests have been served; ``None`` is never."""
        self.holder: object = None
        """Who has it, between :meth:`taken_by` and its end."""
        self._answers: deque[tuple[float, object]] = deque()
        self._lost: str | None = None
        self._told = False
        self._reading = False
        self._news = Signal()

    # -- what a user does ---------------------------------------------------------------------

    def request(self, token: object) -> object:
        """Ask and wait for the answer, which is *token* if nothing is amiss."""
        self.send(token)
        return self.recv()

    def ping(self) -> None:
        """Ask whether the peer is there; raise ``OSError`` if not, or if it says anything else."""
        self.peer.pings += 1
        answer = self.request(_PING)
        if answer != _PING:
            raise OSError(errno.EPROTO, f"connection {self.number}: a ping got {answer!r}")

    def send(self, token: object) -> None:
        """Ask, without waiting."""
        self._begin("send")
        if self.fails_after is not None and self.requests >= self.fails_after:
            self.peer.cut(self)
            self._check()
        self.requests += 1
        self.heard_at = clock.now()
        due, gap = clock.now() + self.peer.latency, self.peer.answer_gap
        if gap > 0:
            self._answers.append((due, _FirstHalf(token)))
            self._answers.append((due + gap, SecondHalf(token)))
        else:
            self._answers.append((due, token))

    def recv(self) -> object:
        """Wait for the next answer, both halves of it. A second half without a first is
        returned as it is: somebody else has read the first.
        """
        self._begin("recv")
        if self._reading:
            self.peer.complain(f"connection {self.number}: two read from it at once")
        self._reading = True
        try:
            answer = self._next_piece()
            if isinstance(answer, _FirstHalf):
                answer = answer.completed_by(self._next_piece())
            return answer
        finally:
            self._reading = False

    def _next_piece(self) -> object:
        while True:
            self._check()
            self._news.clear()
            if self.peer.black_hole or not self._answers:
                self._news.wait()
                continue
            wait = self._answers[0][0] - clock.now()
            if wait > 0 and self._news.wait(wait):
                continue
            # Nothing new in that time, so the time is over, however floats are rounded.
            if self._answers:
                return self._answers.popleft()[1]

    def close(self) -> None:
        """Say goodbye, which takes as long as the peer likes; from then on it is not open."""
        self.closes += 1
        if self.closes > 1:
            self.peer.complain(f"connection {self.number}: closed {self.closes} times")
            return
        self.closed_at = clock.now()
        try:
            if self._lost is None and self.peer.close_latency > 0:
                self.peer.pass_time(self.peer.close_latency)
        finally:
            self.peer.forget(self)
            self._lose("closed")

    @contextmanager
    def taken_by(self, holder: object) -> Iterator[FakeConnection]:
        """Hold it inside the block; whoever else does too is complained of.

        :raises AssertionError: if somebody holds it already.
        """
        if self.holder is not None:
            self.peer.complain(f"connection {self.number}: in two hands")
            raise AssertionError(f"{self!r} is held by {self.holder!r}, and now by {holder!r}")
        self.holder = holder
        try:
            yield self
        finally:
            self.holder = None

    # -- what can be seen ---------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether its user closed it."""
        return self.closes > 0

    @property
    def cut(self) -> bool:
        """Whether the peer cut it."""
        return self._lost == "cut"

    @property
    def unread(self) -> int:
        """How many answers are there or under way that nobody has read."""
        return len(self._answers)

    def __repr__(self) -> str:
        state = self._lost or "open"
        return f"<FakeConnection {self.number} to {self.peer.name!r}: {state}>"

    # -- what the peer does -------------------------------------------------------------------

    def _speak(self, token: object) -> None:
        self._answers.append((clock.now(), token))
        self._news.set()

    def _wake(self) -> None:
        self._news.set()

    def _lose(self, how: str) -> None:
        if self._lost is None:
            self._lost = how
        self._news.set()

    def _begin(self, what: str) -> None:
        if self.closed:
            self.peer.complain(f"connection {self.number}: {what} after close")
        self._check()

    def _check(self) -> None:
        """Raise what the operating system would if the connection is gone."""
        if self.closed:
            raise OSError(errno.EBADF, f"connection {self.number} is closed")
        if self._lost is None:
            return
        if self._told:
            raise BrokenPipeError(errno.EPIPE, f"connection {self.number} is broken")
        self._told = True
        raise ConnectionResetError(errno.ECONNRESET, f"connection {self.number} was cut")


class FakePeer:
    """A server that is not real: slow, silent, down or unreliable as the test wants it.

    Every attribute can be changed at any time.

    :param latency: seconds until a connect or a request is answered.
    :param answer_gap: seconds between the two halves of each answer; at 0 it comes in one piece.
        Who is interrupted in between leaves the second half behind.
    :param close_latency: seconds that a polite close takes.
    :param black_hole: nothing is ever answered, neither connects nor requests.
    :param hang_up_on_accept: connects succeed, and the connection is cut at once.
    :param fails_after: each new connection is cut after so many requests.
    :param connection_class: what :meth:`connect` makes.

    .. versionadded:: 1.0
    """

    def __init__(
        self,
        name: str = "peer",
        *,
        latency: float = 0.001,
        answer_gap: float = 0.0,
        close_latency: float = 0.0,
        black_hole: bool = False,
        hang_up_on_accept: bool = False,
        fails_after: int | None = None,
        connection_class: type[FakeConnection] = FakeConnection,
    ) -> None:
        self.name = name
        self.latency = latency
        self.answer_gap = answer_gap
        self.close_latency = close_latency
        self.hang_up_on_accept = hang_up_on_accept
        self.fails_after = fails_after
        self.connection_class = connection_class
        self.connects = 0
        """Attempts to connect, the failed ones too."""
        self.connect_times: list[float] = []
        """When they were made, on :func:`geventconnpool.clock.now`."""
        self.connecting = 0
        self.most_connecting = 0
        """The most attempts that were under way at once."""
        self.accepts = 0
        """How many succeeded."""
        self.most_open = 0
        """The most connections that were open at once, as the peer counts."""
        self.pings = 0
        self.complaints: list[str] = []
        """What its clients did wrong: closing twice, use after close, two users of one."""
        self._open: dict[int, FakeConnection] = {}
        self._black_hole = black_hole
        self._healed = Signal()
        self._refuses = False
        self._down_until: float | None = None

    # -- what a client does -------------------------------------------------------------------

    def connect(self) -> FakeConnection:
        """Open a connection; this is what a pool's ``connect`` or ``_new_connection`` calls."""
        self.connects += 1
        self.connect_times.append(clock.now())
        self.connecting += 1
        self.most_connecting = max(self.most_connecting, self.connecting)
        try:
            self.pass_time(self.latency)
        finally:
            self.connecting -= 1
        if not self.up:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{self.name}: connection refused")
        return self._accept()

    def _accept(self) -> FakeConnection:
        self.accepts += 1
        connection = self.connection_class(self, self.accepts)
        self._open[connection.number] = connection
        self.most_open = max(self.most_open, len(self._open))
        if self.hang_up_on_accept:
            self.cut(connection)
        return connection

    # -- what can be seen ---------------------------------------------------------------------

    @property
    def open(self) -> set[FakeConnection]:
        """The connections that are open, as the peer counts."""
        return set(self._open.values())

    def complain(self, text: str) -> None:
        """Note down what a client did wrong; for connections."""
        self.complaints.append(text)

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        return (
            f"<FakePeer {self.name!r}: {state}, {len(self._open)} open, {self.connects} connects>"
        )

    # -- what goes wrong ----------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it accepts connections. Set it to change only that."""
        return not self._refuses and (self._down_until is None or clock.now() >= self._down_until)

    @up.setter
    def up(self, value: bool) -> None:
        self._refuses = not value
        self._down_until = None

    @property
    def black_hole(self) -> bool:
        """Whether it is silent. What waits gets its answer when that is over."""
        return self._black_hole

    @black_hole.setter
    def black_hole(self, value: bool) -> None:
        self._black_hole = value
        if value:
            self._healed.clear()
        else:
            self._healed.set()
        for connection in list(self._open.values()):
            connection._wake()

    def down(self) -> None:
        """Stop: cut every connection, refuse new ones."""
        self.up = False
        self.cut_all()

    def restart(self, downtime: float = 0.0) -> None:
        """Cut every connection, and be up again after *downtime* seconds."""
        self.up = True
        if downtime > 0:
            self._down_until = clock.now() + downtime
        self.cut_all()

    def cut(self, connection: FakeConnection) -> None:
        """Break one connection: its user gets a reset, now or when it is next used."""
        self.forget(connection)
        connection._lose("cut")

    def cut_all(self) -> None:
        """Break every connection, the oldest first."""
        for connection in list(self._open.values()):
            self.cut(connection)

    def speak(self, connection: FakeConnection, token: object) -> None:
        """Say something unasked: whoever reads next gets it."""
        connection._speak(token)

    # -- for connections ----------------------------------------------------------------------

    def forget(self, connection: FakeConnection) -> None:
        """It is not open any more."""
        self._open.pop(connection.number, None)

    def pass_time(self, seconds: float) -> None:
        """Wait for *seconds*, and as long as the silence lasts."""
        if seconds > 0:
            gevent.sleep(seconds)
        while self._black_hole:
            self._healed.wait()


class RecordingListener(list[Event]):
    """A listener that keeps every event, in order.

    .. versionadded:: 1.0
    """

    def __call__(self, event: Event) -> None:
        self.append(event)

    def kinds(self) -> list[str]:
        """What happened, by name."""
        return [event.kind for event in self]

    def of(self, kind: str) -> list[Event]:
        """The events of one kind."""
        return [event for event in self if event.kind == kind]
