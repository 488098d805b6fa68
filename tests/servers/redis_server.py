"""A private Redis."""

from __future__ import annotations

import socket as constants
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from availability import require_program
from gevent import socket
from server_process import PATIENCE, ServerProcess, write_certificates


class RedisControl:
    """Speaks to a Redis over its Unix socket, by which it is told apart."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(constants.AF_UNIX)
        try:
            self._sock.settimeout(PATIENCE)
            self._sock.connect(str(path))
        except BaseException:
            self._sock.close()
            raise
        self._answers = self._sock.makefile("rb")

    def __call__(self, command: str) -> str:
        """The answer to *command*; a number or a status comes as text, too."""
        self._sock.sendall(command.encode() + b"\r\n")
        line = self._answers.readline().decode().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == "$":
            return self._answers.read(int(rest) + 2).decode().rstrip()
        if kind not in ("+", ":"):
            raise OSError(f"{command}: {line or 'the end'}")
        return rest

    def clients(self) -> list[int]:
        entries = [dict(word.split("=", 1) for word in line.split()) for line in self._lines()]
        return [
            int(entry["addr"].rpartition(":")[2])
            for entry in entries
            # A: its end was seen, and it is gone as soon as the loop of the server comes round.
            if entry["addr"].startswith("127.0.0.1:") and "A" not in entry["flags"]
        ]

    def _lines(self) -> list[str]:
        return self("CLIENT LIST").splitlines()

    def cut_clients(self) -> int:
        ports = {line.split("laddr=")[1].split()[0] for line in self._lines()}
        return sum(int(self(f"CLIENT KILL LADDR {at}")) for at in ports if at.startswith("127."))

    def close(self) -> None:
        self._answers.close()
        self._sock.close()


class RedisServer(ServerProcess):
    """Redis that keeps nothing on disk, in clear or over TLS.

    :param authority: a ``trustme.CA``, for TLS.
    """

    def __init__(self, authority: Any = None) -> None:
        program = require_program("redis-server")
        super().__init__()
        self._program = program
        self.cafile = write_certificates(authority, self.folder) if authority else None

    def command(self) -> Sequence[str | Path]:
        path = self.folder
        files = ("--tls-cert-file", path / "cert.pem", "--tls-key-file", path / "key.pem",
                 "--tls-ca-cert-file", path / "ca.pem", "--tls-auth-clients", "no")  # fmt: skip
        listen = ("--port", "0", "--tls-port", str(self.port), *files)
        return (
            self._program, "--bind", "127.0.0.1", "--unixsocket", path / "redis.sock",
            "--save", "", "--appendonly", "no", "--dir", path,
            *(listen if self.cafile else ("--port", str(self.port))),
        )  # fmt: skip

    def control(self) -> RedisControl:
        return RedisControl(self.folder / "redis.sock")
