"""``diagnose``, each time in a fresh process: what is imported and patched stays so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import geventconnpool
from geventconnpool.cli import main

HOME = Path(geventconnpool.__file__).resolve().parent.parent

PATCH = "from gevent import monkey\nmonkey.patch_all()\n"

# Client libraries made up for the test; the real ones need not be installed.
LIBRARIES = {
    "redis": "from queue import LifoQueue\nfrom time import sleep\n",
    "pymysql": "import socket\n",
    "psycopg2": "from psycopg2 import extensions\n",
    "psycopg2/extensions": "callback = None\ndef get_wait_callback(): return callback\n",
    "psycopg": "from psycopg import waiting\n",
    "psycopg/waiting": "def wait_c(): pass\ndef wait_poll(): pass\nwait = wait_c\n",
    "MySQLdb": "",
    "zmq": "",
    "zmq/green": "",
    "grpc": "from grpc._cython import cygrpc\n",
    "grpc/_cython": "",
    "grpc/_cython/cygrpc": "g_gevent_activated = False\n",
    "pika": "import socket\nclass Early(socket.socket): pass\n",
    "pymongo": "import ssl\nclass Context(ssl.SSLContext): pass\n",
    "somebody": "from time import sleep\n",
}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Where the made-up libraries and the test's own modules live."""
    for name, source in LIBRARIES.items():
        package = tmp_path / name
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(source)
    return tmp_path


def diagnose(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(app), str(HOME)])
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "geventconnpool", "diagnose", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=app,
        capture_output=True,
        text=True,
        timeout=120,
    )


def run_program(app: Path, source: str) -> str:
    """What a program with this *source* writes."""
    path = os.pathsep.join([str(app), str(HOME)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done
    return done.stdout


def found_in(app: Path, source: str, status: int) -> dict[str, Any]:
    """What is said of a program with this *source*."""
    (app / "program.py").write_text(source)
    done = diagnose(app, "--json", "--import", "program")
    assert done.returncode == status, done
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] is (status == 0)
    assert bool(found["problems"]) is (status == 1)
    return found


def client(found: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = (client for client in found["clients"] if client["name"] == name)
    return dict(one)


def test_nothing_imported_and_nothing_patched(app: Path) -> None:
    done = diagnose(app, "--json")

    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert found["problems"] == []
    assert found["notes"] == ["nothing is patched"]
    assert not any(found["patched"].values())
    assert {"geventconnpool", "Python", "gevent", "greenlet", "loop", "platform"} <= {
        *found["versions"]
    }
    assert found["versions"]["geventconnpool"] == geventconnpool.__version__


def test_for_people(app: Path) -> None:
    done = diagnose(app)

    assert done.returncode == 0
    assert done.stdout.startswith("Versions\n")
    assert f"geventconnpool  {geventconnpool.__version__}" in done.stdout
    assert done.stdout.endswith("\nNothing is wrong.\n")


def test_clients_in_a_process_that_is_not_patched_are_noted(app: Path) -> None:
    found = found_in(app, "import redis, pymysql, MySQLdb", 0)

    assert found["notes"] == [
        "nothing is patched, so these block every greenlet: redis, pymysql, MySQLdb"
    ]


def test_patched_first_and_imported_then_is_right(app: Path) -> None:
    found = found_in(app, PATCH + "import redis, pymysql, pika, pymongo, ssl, http.client", 0)

    assert all(found["patched"][name] for name in ("socket", "ssl", "select", "threading", "time"))
    assert client(found, "redis")["imported"]
    assert client(found, "redis")["too_early"] == []
    assert client(found, "pymongo")["too_early"] == []
    assert not [note for note in found["notes"] if not note.startswith("queue.Queue")]


def test_a_client_imported_too_early_is_found_by_what_it_holds(app: Path) -> None:
    found = found_in(app, "import redis\n" + PATCH, 1)

    assert "time.sleep" in client(found, "redis")["too_early"]
    (problem,) = found["problems"]
    assert problem.startswith("redis was imported too early, before monkey.patch_all()")
    assert "time.sleep" in problem


def test_a_class_built_on_an_unpatched_one_is_found(app: Path) -> None:
    found = found_in(app, "import pika\n" + PATCH, 1)

    assert "socket.socket" in client(found, "pika")["too_early"]


def test_early_but_harmless_is_right(app: Path) -> None:
    """A module that looks its functions up when it calls them gets the patched ones."""
    found = found_in(app, "import pymysql, http.client\n" + PATCH, 0)

    assert client(found, "pymysql")["too_early"] == []


def test_the_program_itself_must_not_hold_unpatched_objects(app: Path) -> None:
    found = found_in(app, "from socket import create_connection\n" + PATCH, 1)

    assert found["problems"] == ["program imported socket.create_connection before patching"]


def test_somebody_unknown_is_only_noted(app: Path) -> None:
    found = found_in(app, "import somebody\n" + PATCH, 0)

    assert "somebody holds the unpatched time.sleep, it may be by design" in found["notes"]


def test_ssl_before_patching_is_noted(app: Path) -> None:
    looking = "from geventconnpool.cli.diagnose import diagnose\nprint(diagnose().notes)"

    early = run_program(app, "import ssl\n" + PATCH + looking)
    late = run_program(app, PATCH + "import ssl\n" + looking)

    assert "ssl was imported before it was patched: patch first, then import" in early
    assert "ssl was" not in late


def test_half_a_patch_is_noted(app: Path) -> None:
    found = found_in(app, "from gevent import monkey\nmonkey.patch_all(ssl=False)", 0)

    assert found["patched"]["socket"]
    assert not found["patched"]["ssl"]
    assert any(note.startswith("ssl is not patched") for note in found["notes"])


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("MySQLdb", None),
        ("psycopg", "psycopg.waiting.wait = psycopg.waiting.wait_poll"),
        ("psycopg2", "psycopg2.extensions.callback = print"),
        ("zmq", "import zmq.green"),
        ("grpc", "grpc._cython.cygrpc.g_gevent_activated = True"),
    ],
)
def test_a_client_that_blocks_although_patched(app: Path, name: str, remedy: str | None) -> None:
    found = found_in(app, PATCH + f"import {name}", 1)

    assert client(found, name)["blocks"]
    assert found["problems"][0].startswith(f"{name} blocks every greenlet: ")
    if remedy is not None:
        found_in(app, PATCH + f"import {name}\n{remedy}", 0)


def test_what_the_program_prints_does_not_spoil_the_json(app: Path) -> None:
    found_in(app, "print('hello')", 0)


def test_from_within_a_program(app: Path) -> None:
    said = run_program(
        app,
        "import redis\n"
        + PATCH
        + "from geventconnpool.cli.diagnose import diagnose\n"
        + "found = diagnose()\n"
        + "print(found.ok, len(found.problems))\n"
        + "assert str(found).endswith('Something is wrong.')\n",
    )

    assert said == "False 1\n"


def test_real_libraries_that_are_at_hand(app: Path) -> None:
    """``requests`` and ``urllib3`` as they are, patched in time and not."""
    pytest.importorskip("requests")

    assert found_in(app, PATCH + "import requests", 0)["problems"] == []
    early = found_in(app, "import requests\n" + PATCH, 1)
    assert "ssl.SSLContext" in client(early, "urllib3")["too_early"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('no settings')", "program: ValueError in "),
        ("raise SystemExit(3)", "program: SystemExit in "),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    ],
)
def test_a_program_that_cannot_be_imported(app: Path, source: str, said: str) -> None:
    (app / "program.py").write_text(source)

    done = diagnose(app, "--import", "program")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--import" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("name", ["", "a b", "1x", "os.", "./app.py", "a-b"])
def test_a_name_that_is_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", f"--import={name}"]) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert f"--import: must be the name of a module, not {name!r}" in output.err
