"""A peer in a process of its own that says more than anybody may take.

Run as a program it prints its ports, and ends when its standard input does. Only in another
process can a peer go on talking while its client never waits, and only there does its memory
not count as the client's.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable

CHUNK = 65536
CHUNKS = 128
"""8 MiB: more than a recipe may take, and a recipe that takes it all ends some time."""


def endless_line(client: socket.socket) -> None:
    for _ in range(CHUNKS):
        client.sendall(b"x" * CHUNK)


def length_bomb(client: socket.socket) -> None:
    client.sendall(b"\xff\xff\xff\xff")
    endless_line(client)


def long_frame(client: socket.socket) -> None:
    """A length within all limits, and then nothing."""
    client.sendall(struct.pack(">I", 1024 * 1024))
    while client.recv(CHUNK):
        pass


def endless_answers(client: socket.socket) -> None:
    for _ in range(CHUNKS):
        client.sendall(b"1 x\r\n" * (CHUNK // 5))


def serve(listener: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client, talk), daemon=True).start()


def answer(client: socket.socket, talk: Callable[[socket.socket], None]) -> None:
    try:
        with client:
            client.recv(1)  # not before the client has asked
            talk(client)
    except OSError:
        pass  # the client hung up


def main() -> None:
    ports = {}
    for talk in (endless_line, length_bomb, long_frame, endless_answers):
        listener = socket.create_server(("127.0.0.1", 0))
        ports[talk.__name__] = listener.getsockname()[1]
        threading.Thread(target=serve, args=(listener, talk), daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
