"""A server in a process of its own: remembers what every client sent, forks or no forks.

Run as a program it prints its ports. A line to the control port asks for a report; the line
``release`` first answers those who were made to wait.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import sys
from typing import Any


def listen() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


class Recorder:
    """Answers each line with ``<session> <line>``.

    Lines that begin with ``mute`` it does not answer, and those with ``held`` in them only
    after it was told to release them. On the silent port it never says anything. ``opened``
    and ``ended`` of a session number all beginnings and ends in the order in which they came.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.sessions: list[dict[str, Any]] = []
        self.asking: list[socket.socket] = []
        self.held: list[tuple[socket.socket, str]] = []
        self.holds = True
        self.moments = itertools.count(1)
        self.ports = {}
        for kind in ("open", "silent", "control"):
            listener = listen()
            self.ports[kind] = listener.getsockname()[1]
            self.selector.register(listener, selectors.EVENT_READ, (kind, None))

    def run(self) -> None:
        while True:
            events = self.selector.select(0 if self.asking else None)
            if not events:  # everything that had come was looked at: now tell
                for control in self.asking:
                    control.sendall(json.dumps(self.sessions).encode() + b"\n")
                self.asking.clear()
            # Ends before beginnings: a client that replaces a session has closed it before.
            for key, _ in sorted(events, key=lambda event: event[0].data[1] is None):
                self.handle(key)

    def handle(self, key: selectors.SelectorKey) -> None:
        kind, session = key.data
        sock: Any = key.fileobj
        if session is not None:
            self.receive(sock, session)
        elif kind == "asker":
            command = sock.recv(100)
            if not command:
                sys.exit()  # whoever started this is gone
            if command == b"release\n":
                self.release()
            self.asking.append(sock)
        else:
            client, _ = sock.accept()
            if kind == "control":
                self.selector.register(client, selectors.EVENT_READ, ("asker", None))
                return
            session = {
                "id": len(self.sessions), "received": "", "closed": False,
                "silent": kind == "silent", "opened": next(self.moments), "ended": None,
            }  # fmt: skip
            self.sessions.append(session)
            self.selector.register(client, selectors.EVENT_READ, (kind, session))

    def receive(self, sock: socket.socket, session: dict[str, Any]) -> None:
        """All that has come, down to the end if that has come, too."""
        try:
            while data := sock.recv(65536, socket.MSG_DONTWAIT):
                session["received"] += data.decode()
                for line in data.decode().splitlines():
                    self.answer(sock, session, line)
        except BlockingIOError:
            return
        except OSError:
            pass  # an end like any other
        session["closed"] = True
        session["ended"] = next(self.moments)
        self.selector.unregister(sock)
        sock.close()

    def answer(self, sock: socket.socket, session: dict[str, Any], line: str) -> None:
        if session["silent"] or line.startswith("mute"):
            return
        answer = f"{session['id']} {line}\n"
        if self.holds and "held" in line:
            self.held.append((sock, answer))
        else:
            sock.sendall(answer.encode())

    def release(self) -> None:
        """Answer those who were made to wait, and make nobody wait from now on."""
        self.holds = False
        for sock, answer in self.held:
            try:
                sock.sendall(answer.encode())
            except OSError:
                pass  # whoever asked is gone
        self.held.clear()


if __name__ == "__main__":
    recorder = Recorder()
    print(json.dumps(recorder.ports), flush=True)
    recorder.run()
