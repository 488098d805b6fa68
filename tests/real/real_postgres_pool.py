"""A pool of psycopg connections, as a user would write it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from geventconnpool import CloseReason, ConnectionPool

MUDDLED = (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN)


class PostgresPool(ConnectionPool[psycopg.Connection]):
    """Of connections to a PostgreSQL on 127.0.0.1, over TLS where *cafile* says whom to trust."""

    errors = (psycopg.OperationalError, psycopg.InterfaceError)

    def __init__(self, port: int, size: int, cafile: Path | None = None, **options: Any) -> None:
        tls = {"sslmode": "verify-full", "sslrootcert": str(cafile)}
        self.arguments = {
            "host": "localhost",
            "hostaddr": "127.0.0.1",  # libpq would look the name up without gevent's knowledge
            "port": port,
            "user": "postgres",
            "dbname": "postgres",
            **(tls if cafile else {"sslmode": "disable"}),
        }
        # The server may speak unasked, and libpq hides its TLS: only a closed peer counts.
        super().__init__(size, watch_idle="closed", is_broken=is_broken, **options)

    def _new_connection(self) -> psycopg.Connection:
        return psycopg.connect(**self.arguments)

    def _keepalive(self, c: psycopg.Connection) -> None:
        c.execute("")
        c.rollback()

    def _reset_connection(self, c: psycopg.Connection) -> None:
        if c.info.transaction_status in MUDDLED:
            raise OSError("in the middle of a conversation")
        c.rollback()

    def _close_connection(self, c: psycopg.Connection, reason: CloseReason) -> None:
        """Stop what the server does for it, and wait for the end of its process there."""
        if c.closed:  # libpq has seen its end
            return
        with socket.socket(fileno=os.dup(c.fileno())) as ending:
            try:
                if c.info.transaction_status == TransactionStatus.ACTIVE:
                    c.cancel_safe(timeout=0.5)
            finally:
                c.close()
            with contextlib.suppress(OSError):
                while ending.recv(65536):
                    pass

    def ask(self, c: psycopg.Connection, token: str, pause: float = 0) -> bool:
        query = "SELECT %s, length(%s) FROM pg_sleep(%s)"
        return c.execute(query, [token, token, pause]).fetchone() == (token, len(token))

    def hang(self, c: psycopg.Connection) -> None:
        c.execute("SELECT pg_sleep(600)")


def is_broken(c: psycopg.Connection, error: Exception) -> bool:
    """What libpq knows of the connection; the class of the error does not tell."""
    return c.closed or c.info.transaction_status in MUDDLED
