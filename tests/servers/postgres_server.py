"""A private PostgreSQL, in clear and over TLS on the same port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from availability import require_module, require_program
from server_process import PATIENCE, ServerProcess, write_certificates

FOLDERS = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
"""Where Debian has the programs, which are not on PATH; the newest first."""

OF_CLIENTS = (
    "FROM pg_stat_activity WHERE client_addr IS NOT NULL AND backend_type = 'client backend'"
)

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "fsync": "off",
    "full_page_writes": "off",
    "ssl": "on",
}


def unprivileged_user() -> str | None:
    """Whom to become where we are root, as whom PostgreSQL refuses to run."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresControl:
    """Speaks to a PostgreSQL over its Unix socket, by which it is told apart."""

    def __init__(self, folder: Path, port: int) -> None:
        psycopg = require_module("psycopg")
        self._connection = psycopg.connect(
            host=str(folder), port=port, user="postgres", dbname="postgres", autocommit=True
        )

    def clients(self) -> list[int]:
        rows = self._connection.execute(f"SELECT client_port {OF_CLIENTS}").fetchall()
        return [row[0] for row in rows]

    def cut_clients(self) -> int:
        command = f"SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) {OF_CLIENTS}"
        count: int = self._connection.execute(command).fetchone()[0]
        return count

    def close(self) -> None:
        self._connection.close()


class PostgresServer(ServerProcess):
    """PostgreSQL with a fresh database; trusts everybody on 127.0.0.1.

    :param authority: a ``trustme.CA``.
    """

    goodbye = signal.SIGINT

    def __init__(self, authority: Any) -> None:
        self.down = (OSError, require_module("psycopg").Error)
        programs = [require_program(name, *FOLDERS) for name in ("initdb", "postgres")]
        self._initdb, self._program = programs
        user = unprivileged_user()
        if user is not None:
            self.prefix = ("--reuid", user, "--regid", user_group(user), "--clear-groups")
        super().__init__()
        try:
            self.cafile = write_certificates(authority, self.folder)
            if user is not None:
                for path in (self.folder, *self.folder.iterdir()):
                    shutil.chown(path, user)
            self._make_database()
        except BaseException:
            self.remove()
            raise

    def _make_database(self) -> None:
        done = subprocess.run(
            [*self._prefix, self._initdb, "-D", self.folder / "data", "-U", "postgres",
             "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, timeout=2 * PATIENCE, cwd=self.folder,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stdout}{done.stderr}")

    def command(self) -> Sequence[str | Path]:
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "ssl_cert_file": str(self.folder / "cert.pem"),
            "ssl_key_file": str(self.folder / "key.pem"),
        }
        flags = [word for item in settings.items() for word in ("-c", "=".join(item))]
        return (self._program, "-D", self.folder / "data", *flags)

    def control(self) -> PostgresControl:
        return PostgresControl(self.folder, self.port)


def user_group(user: str) -> str:
    """The number of the group that *user* belongs to first."""
    return str(pwd.getpwnam(user).pw_gid)
