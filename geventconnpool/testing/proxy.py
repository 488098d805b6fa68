"""A TCP proxy that mistreats the connections through it, for tests with real sockets.

.. code-block:: python

    with FaultProxy(("127.0.0.1", 6379)) as proxy:
        pool = MyPool(4, address=proxy.address)
        proxy.to_client.latency = 0.05  # answers are late
        proxy.black_hole = True         # nothing comes through, in either direction
        proxy.cut()                     # every connection is reset
        proxy.up = False                # connects are refused
        assert proxy.most_open <= 4

It passes bytes on as they are, those of TLS too.
"""

from __future__ import annotations

import contextlib
import select
import struct
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent
from gevent import monkey, socket
from gevent.event import Event as Signal
from gevent.lock import Semaphore
from gevent.pool import Group
from gevent.queue import Queue

from geventconnpool import clock

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FaultProxy", "Way"]

Address = tuple[str, int]

_CHUNK = 65536
_UNDER_WAY = 64  # chunks; then the sender is no longer read from, and blocks in the end
_END = b""  # FIN
_ABORT = None  # RST
_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
_poll: Any = monkey.get_original("select", "poll")
_ENDED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Way:
    """What a `FaultProxy` does to all that flows one way. Change it at any time.

    .. versionadded:: 1.0
    """

    def __init__(self) -> None:
        self.latency = 0.0
        """Seconds under way, for bytes and for the end behind them; holds for what comes next."""
        self.slice_size: int | None = None
        """Pass on at most so many bytes at a time; ``None`` is whatever there is."""
        self.pause = 0.0
        """Seconds between two slices."""
        self._flowing = Signal()
        self._flowing.set()

    @property
    def black_hole(self) -> bool:
        """Whether bytes and ends are taken, and nothing is passed on.

        What was taken comes out when that is over, as after a break in a network: its hosts
        send again what was lost.
        """
        return not self._flowing.is_set()

    @black_hole.setter
    def black_hole(self, value: bool) -> None:
        if value:
            self._flowing.clear()
        else:
            self._flowing.set()

    def heal(self) -> None:
        """Pass everything on at once again."""
        self.latency = self.pause = 0.0
        self.slice_size = None
        self.black_hole = False

    def _delay(self, due: float) -> None:
        """Wait until *due*, and as long as nothing is passed on."""
        gevent.sleep(max(0.0, due - clock.now()))
        while self.black_hole:
            self._flowing.wait()

    def _pass_on(self, data: bytes, sink: socket.socket) -> None:
        at = 0
        while at < len(data):
            size = self.slice_size or len(data)
            sink.sendall(data[at : at + size])
            at += size
            if at < len(data):
                self._delay(clock.now() + self.pause)


class _Flow:
    """One way of one connection: one greenlet takes, another passes on, in order."""

    def __init__(self, way: Way, source: socket.socket, sink: socket.socket) -> None:
        self.way = way
        self.source = source
        self.sink = sink
        self.ended = False
        self._due: Queue[tuple[float, bytes | None]] = Queue()
        self._room = Semaphore(_UNDER_WAY)

    def put(self, data: bytes | None) -> None:
        """Send *data*, or an end of the stream, after all that is under way."""
        self._due.put((clock.now() + self.way.latency, data))

    def take_all(self) -> None:
        """Take what the source sends, to its end."""
        data: bytes | None
        while True:
            self._room.acquire()
            try:
                data = self.source.recv(_CHUNK)
            except OSError:
                data = _ABORT
            self.put(data)
            if not data:
                return

    def pass_on_all(self) -> bool:
        """Pass on what was taken, to the end. Returns whether that was a reset.

        A reset itself is left to the caller: it ends the other way, too.

        :raises OSError: nobody is there to receive it.
        """
        try:
            while data := self._next():
                self.way._pass_on(data, self.sink)
                self._room.release()
            if data is not _ABORT:
                self.sink.shutdown(socket.SHUT_WR)
        finally:
            self.ended = True
        return data is _ABORT

    def _next(self) -> bytes | None:
        due, data = self._due.get()
        self.way._delay(due)
        return data


class _Link:
    """One connection through the proxy: a socket to the client, one to the server."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, address: Address) -> None:
        self.client = client
        self.address = address
        self.flows: tuple[_Flow, ...] = ()
        self._proxy = proxy
        self._sockets = [client]
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._spawn(self._run)

    @property
    def is_open(self) -> bool:
        """Whether the client has not ended it, as the kernel tells: bytes may be unread yet."""
        if self.client.fileno() < 0:
            return False
        poll = _poll()
        poll.register(self.client.fileno(), _ENDED)
        return not poll.poll(0)

    def close(self, abort: bool = True) -> None:
        """Close both sockets, with a reset if *abort*, and end the greenlets."""
        self._proxy._forget(self)
        for sock in self._sockets:
            if abort:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            sock.close()
        gevent.killall(self._greenlets, block=False)

    def hang_up(self, way: Way | None) -> None:
        """End it behind the bytes under way, or only that way of it."""
        for flow in self.flows:
            if way in (None, flow.way):
                flow.put(_END)
        if not self.flows:
            self.close(abort=False)

    def _spawn(self, task: Callable[..., None], *args: Any) -> None:
        self._greenlets.append(self._proxy._greenlets.spawn(task, *args))

    def _run(self) -> None:
        try:
            server = self._connect()
        except OSError:
            self.close()
            return
        proxy, client = self._proxy, self.client
        out = _Flow(proxy.to_server, client, server)
        back = _Flow(proxy.to_client, server, client)
        self.flows = (out, back)
        self._spawn(self._pass_on, out, back)
        self._spawn(self._pass_on, back, out)
        self._spawn(back.take_all)
        out.take_all()

    def _connect(self) -> socket.socket:
        host, _ = self._proxy.target
        server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._sockets.append(server)  # from here on it is closed with the link
        server.connect(self._proxy.target)
        for sock in self._sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a slice is a segment
        return server

    def _pass_on(self, flow: _Flow, opposite: _Flow) -> None:
        try:
            abort = flow.pass_on_all()
        except OSError:  # the receiver has gone: the sender is to hear of it, in due time
            if not opposite.ended:
                opposite.put(_ABORT)
                return
            abort = True
        if abort or opposite.ended:
            self.close(abort)


class FaultProxy:
    """A TCP proxy on a free port of 127.0.0.1 that does what bad networks and peers do.

    It runs in greenlets, also where nothing is monkey-patched. Every attribute can be changed
    at any time. Leaving its ``with`` block, or `close`, ends all that it began.

    A client is told what the server does and the other way round: an end (FIN) as an end, a
    reset as a reset. Where the server cannot be reached, the client gets a reset.

    Connections are named by the address of the client, ``c.getsockname()``.

    :param target: host and port of the server.

    .. versionadded:: 1.0
    """

    def __init__(self, target: Address) -> None:
        self.target = target
        """Where new connections lead."""
        self.to_server = Way()
        """What is done to all that clients send; a `Way`."""
        self.to_client = Way()
        """What is done to all that clients are sent; a `Way`."""
        self.hang_up_on_accept = False
        """Whether connects succeed, and the connection is ended at once."""
        self.accepts = 0
        """How many connects have succeeded so far."""
        self.most_open = 0
        """The most connections that were open at once."""
        self._links: list[_Link] = []
        self._greenlets = Group()
        self._listener: socket.socket | None = None
        # Bound, but not listening: nobody else gets the port while connects are refused.
        self._holder = _bound(("127.0.0.1", 0))
        host, port = self._holder.getsockname()
        self.address: Address = (host, port)
        """Where clients connect to."""
        self.up = True

    # -- what can be seen ---------------------------------------------------------------------

    @property
    def open(self) -> list[Address]:
        """The connections that their clients have not ended, the oldest first."""
        return [link.address for link in self._links if link.is_open]

    def __repr__(self) -> str:
        state = "up" if self.up else "down"
        where = "{}:{} to {}:{}".format(*self.address, *self.target)
        return f"<FaultProxy {where}: {state}, {len(self.open)} open, {self.accepts} accepts>"

    # -- what goes wrong ----------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it listens. Set it to ``False`` to refuse connects; the others live on."""
        return self._listener is not None

    @up.setter
    def up(self, value: bool) -> None:
        if value and self._listener is None:
            self._listener = _bound(self._holder.getsockname())
            self._listener.listen(1024)
            self._greenlets.spawn(self._accept_all, self._listener)
        elif not value and self._listener is not None:
            listener, self._listener = self._listener, None
            with contextlib.suppress(OSError):  # not every system can do that
                listener.shutdown(socket.SHUT_RD)  # refuses from now on, not from the next turn
            listener.close()

    @property
    def black_hole(self) -> bool:
        """Whether nothing is passed on in either direction, see `Way.black_hole`."""
        return self.to_server.black_hole and self.to_client.black_hole

    @black_hole.setter
    def black_hole(self, value: bool) -> None:
        self.to_server.black_hole = self.to_client.black_hole = value

    def cut(self, address: Address | None = None) -> int:
        """Reset one connection, or all of them, on both sides. Returns how many it were."""
        links = self._find(address)
        for link in links:
            link.close()
        return len(links)

    def hang_up(self, address: Address | None = None, *, way: Way | None = None) -> int:
        """End one connection, or all, behind the bytes under way. Returns how many it were.

        :param way: only there: the other way goes on (a half-close).
        """
        links = self._find(address)
        for link in links:
            link.hang_up(way)
        return len(links)

    def heal(self) -> None:
        """Listen, and pass everything on at once again. What is broken stays so."""
        self.to_server.heal()
        self.to_client.heal()
        self.hang_up_on_accept = False
        self.up = True

    # -- coming and going ---------------------------------------------------------------------

    def close(self) -> None:
        """Reset every connection, listen no more, and wait until every greenlet has ended."""
        self.up = False
        self.cut()
        self._holder.close()
        self._greenlets.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _accept_all(self, listener: socket.socket) -> None:
        while True:
            try:
                client, address = listener.accept()
            except OSError:
                if self._listener is listener:
                    raise
                return
            self.accepts += 1
            if self.hang_up_on_accept:
                client.close()
                continue
            self.most_open = max(self.most_open, len(self.open) + 1)
            self._links.append(_Link(self, client, address))

    def _find(self, address: Address | None) -> list[_Link]:
        return [link for link in self._links if address in (None, link.address)]

    def _forget(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)


def _bound(address: Address) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
