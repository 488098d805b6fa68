"""A server in a process of its own: remembers what every client sent, forks or no forks.

Run as a program it prints its ports. A line to the control port asks for a report.
"""

from __future__ import annotations

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
    """Answers each line with ``<session> <line>``; lines that begin with ``mute`` it does not.

    On the silent port it never says anything.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.sessions: list[dict[str, Any]] = []
        self.asking: list[socket.socket] = []
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
            for key, _ in events:
                self.handle(key)

    def handle(self, key: selectors.SelectorKey) -> None:
        kind, session = key.data
        sock: Any = key.fileobj
        if session is not None:
            self.receive(sock, session)
        elif kind == "asker":
            if not sock.recv(100):
                sys.exit()  # whoever started this is gone
            self.asking.append(sock)
        else:
            client, _ = sock.accept()
            if kind == "control":
                self.selector.register(client, selectors.EVENT_READ, ("asker", None))
                return
            number = len(self.sessions)
            session = {"id": number, "received": "", "closed": False, "silent": kind == "silent"}
            self.sessions.append(session)
            self.selector.register(client, selectors.EVENT_READ, (kind, session))

    def receive(self, sock: socket.socket, session: dict[str, Any]) -> None:
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            session["closed"] = True
            self.selector.unregister(sock)
            sock.close()
            return
        session["received"] += data.decode()
        for line in data.decode().splitlines():
            if not session["silent"] and not line.startswith("mute"):
                sock.sendall(f"{session['id']} {line}\n".encode())


if __name__ == "__main__":
    recorder = Recorder()
    print(json.dumps(recorder.ports), flush=True)
    recorder.run()
