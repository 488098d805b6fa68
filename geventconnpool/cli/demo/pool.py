"""The demo's pool: what a user of the package writes for a protocol of their own."""

from __future__ import annotations

from collections.abc import Callable

from gevent import socket, ssl

from geventconnpool.backoff import Backoff
from geventconnpool.cli.demo.certificates import HOST_NAME
from geventconnpool.cli.demo.lines import Lines
from geventconnpool.events import CloseReason, Event
from geventconnpool.pool import ConnectionPool

__all__ = ["DemoConnection", "DemoPool"]


class DemoConnection(Lines):
    """One greeted connection to the demo's server."""

    def ask(self, token: str) -> str:
        """Ask for *token*, and return what came back."""
        self.send("ASK", token)
        return self.answer()

    def answer(self) -> str:
        """The answer to a question that was sent."""
        line = self.read()
        if self.has_more:
            raise ConnectionError("the server said more than it was asked")
        verb, _, token = line.partition(" ")
        return token if verb == "ANSWER" else line

    def ping(self) -> None:
        """Prove that the connection is alive and owes no answer."""
        self.send("PING")
        if self.read() != "PONG" or self.has_more:
            raise ConnectionError("no PONG")

    def say_goodbye(self) -> None:
        """Part politely, where the server still listens."""
        try:
            self.send("BYE")
            self.read()
        except OSError:
            pass

    def hang_up(self) -> None:
        """End the stream, and wait until the server has ended it, too.

        Only then does the server count one less: what it still had to say is thrown away.
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(4096):
                pass
        except OSError:
            pass  # the server was gone before
        finally:
            self.sock.close()


class DemoPool(ConnectionPool[DemoConnection]):
    """Connections to the demo's server, pinged after two idle seconds."""

    def __init__(
        self,
        size: int,
        port: int,
        context: ssl.SSLContext | None,
        listener: Callable[[Event], None],
    ) -> None:
        super().__init__(
            size,
            keepalive=2.0,
            name="demo",
            connect_timeout=5.0,
            keepalive_timeout=2.0,
            close_timeout=2.0,
            backoff=Backoff(cap=1.0),  # the server is near, and back soon
            listeners=[listener],
        )
        self.port = port
        self.context = context

    def _new_connection(self) -> DemoConnection:
        sock = socket.create_connection(("127.0.0.1", self.port))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                # The handshake on its own: while it waits, the socket is already ours to close.
                sock = self.context.wrap_socket(
                    sock, server_hostname=HOST_NAME, do_handshake_on_connect=False
                )
                sock.do_handshake()
            connection = DemoConnection(sock)
            connection.send("HELLO")
            if not connection.read().startswith("WELCOME "):
                raise ConnectionError("no WELCOME")
        except BaseException:  # a kill or the deadline, too, must not leave a socket behind
            sock.close()
            raise
        return connection

    def _keepalive(self, c: DemoConnection) -> None:
        c.ping()

    def _close_connection(self, c: DemoConnection, reason: CloseReason) -> None:
        if reason.healthy:
            c.say_goodbye()
        c.hang_up()
