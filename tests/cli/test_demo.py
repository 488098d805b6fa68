"""The demo as its users run it: a process, a server in another, real sockets."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import geventconnpool

pytestmark = pytest.mark.demo

HOME = Path(geventconnpool.__file__).resolve().parent.parent
PATIENCE = 120  # seconds; only against hanging

PATCHED = "from gevent import monkey; monkey.patch_all(); "
MAIN = "import sys; from geventconnpool.cli import main; sys.exit(main(sys.argv[1:]))"


BROKEN = {
    "hands out what was left half-way": """
from contextlib import contextmanager
class Broken(DemoPool):
    @contextmanager
    def get(self, timeout=None):
        connection = self.acquire(timeout=timeout)
        try:
            yield connection
        finally:
            self.release(connection)
    def discard(self, connection):
        pass
""",
    "forgets to close": """
kept = []
class Broken(DemoPool):
    def _close_connection(self, connection, reason):
        kept.append(connection)
""",
    "gives up connecting": """
class Broken(DemoPool):
    attempts = 0
    def _new_connection(self):
        self.attempts += 1
        if self.attempts > 25:
            raise ConnectionRefusedError
        return super()._new_connection()
""",
}
"""Pools with a fault each, and nothing but the demo to find it."""

FOUND = {
    "hands out what was left half-way": "answers were wrong",
    "forgets to close": "more than the size of the pool",
    "gives up connecting": "not full at the end",
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "geventconnpool", "demo", *arguments]


def environment(*paths: Path, **others: str) -> dict[str, str]:
    path = os.pathsep.join(map(str, [*paths, HOME]))
    return {**os.environ, "PYTHONPATH": path, **others}


def run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=env or environment(), capture_output=True, text=True, timeout=PATIENCE
    )


def summary_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON, after the checks that every good run must pass."""
    assert done.returncode == 0, done
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["wrong"] == 0
    assert found["right"] > 0
    assert found["most_at_server"] <= found["size"]
    assert found["open_at_end"] == found["size"]
    assert found["opened"] - sum(found["closed"].values()) == found["size"]
    failed = sum(found["failures"].values())
    assert found["requests"] == found["right"] + failed
    assert found["repairs"] == found["leaks"] == 0
    return found


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A demo under way, its server's process number and port."""
    demo = subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        assert demo.stdout is not None
        first = demo.stdout.readline()
        found = re.search(r"server (\d+) on 127\.0\.0\.1:(\d+)", first)
        assert found is not None, first
        yield demo, int(found[1]), int(found[2])
    finally:
        demo.kill()
        demo.wait()
        for pipe in (demo.stdout, demo.stderr):
            assert pipe is not None
            pipe.close()


def is_served(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_every_answer_is_right_while_everything_goes_wrong() -> None:
    found = summary_of(run(command("--seconds", "6", "--seed", "7", "--json")))

    assert found["seed"] == 7
    assert found["faults"]["server_kills"] >= 1
    assert found["faults"]["cuts"] >= 1
    assert found["faults"]["client_kills"] >= 1
    assert [restart["by"] for restart in found["restarts"]] == ["schedule"]
    assert found["restarts"][0]["full_after"] is not None
    assert found["failures"]["killed"] >= 1
    assert found["closed"]["interrupted"] >= 1
    assert found["waits"]["count"] > 0
    assert found["waits"]["p50"] <= found["waits"]["p99"] <= found["waits"]["max"]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_pool_is_found_out(fault: str) -> None:
    source = (
        "from geventconnpool.cli.demo import run\n"
        "from geventconnpool.cli.demo.pool import DemoPool\n"
        f"{BROKEN[fault]}\nrun.DemoPool = Broken\n{MAIN}"
    )

    done = run([sys.executable, "-c", source, "demo", "--seconds=6", "--seed=7", "--json"])

    assert done.returncode == 1, done
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert any(FOUND[fault] in problem for problem in found["problems"])


def test_without_faults_nothing_fails() -> None:
    found = summary_of(run(command("--seconds", "2", "--calm", "--json", "--size=5")))

    assert found["failures"] == found["closed"] == found["faults"] == {}
    assert found["opened"] == found["most_at_server"] == 5
    assert found["connect_errors"] == 0
    assert found["restarts"] == []


def test_over_tls() -> None:
    found = summary_of(run(command("--seconds", "6", "--seed", "3", "--tls", "--json")))

    assert found["tls"] is True
    assert found["faults"]["server_kills"] >= 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")
def test_over_tls_with_the_openssl_command(tmp_path: Path) -> None:
    (tmp_path / "trustme.py").write_text("raise ImportError('not installed')")

    done = run(command("--seconds", "1", "--calm", "--tls", "--json"), environment(tmp_path))

    assert summary_of(done)["tls"] is True


def test_tls_without_anything_to_make_a_certificate_with(tmp_path: Path) -> None:
    (tmp_path / "trustme.py").write_text("raise ImportError('not installed')")

    done = run(command("--tls", "--seconds", "1"), environment(tmp_path, PATH=str(tmp_path)))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "geventconnpool[tls]" in done.stderr


@pytest.mark.parametrize("options", [[], ["--tls"]], ids=["plain", "tls"])
def test_monkey_patched(options: list[str]) -> None:
    patched = [sys.executable, "-c", PATCHED + MAIN, "demo", "--seconds", "6", "--json", *options]

    found = summary_of(run(patched))

    assert found["faults"]["server_kills"] >= 1


def test_a_small_pool_and_a_single_client() -> None:
    done = run(command("--seconds", "1", "--size", "1", "--clients", "1", "--calm", "--json"))

    assert summary_of(done)["most_at_server"] == 1


def test_without_a_terminal_it_writes_a_line_each_second() -> None:
    done = run(command("--seconds", "3.5", "--calm", "--seed", "11"))

    assert done.returncode == 0, done
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert "seed 11" in done.stdout.splitlines()[0]
    assert len(re.findall(r"(?m)^ *\d\.\d s \| .* answers/s", done.stdout)) >= 3
    assert "GOOD" in done.stdout.splitlines()[-1]


def test_on_a_terminal_it_redraws_in_place() -> None:
    pytest.importorskip("rich")

    shown = run_on_a_terminal("--seconds", "1", "--calm")

    assert "\x1b[1A" in shown  # the cursor moves up
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"pool +\d+ active", shown)
    assert re.search(r"rates +[\d,]+ answers/s", shown)
    assert re.search(r"waits +p50", shown)
    assert shown.rstrip().splitlines()[-1].startswith("GOOD")


def test_ctrl_c_ends_it_with_the_summary_so_far() -> None:
    with started("--seconds", "600", "--seed", "1") as (demo, _, port):
        time.sleep(1.5)
        demo.send_signal(signal.SIGINT)
        out, err = demo.communicate(timeout=PATIENCE)

    assert demo.returncode == 0, out
    assert err == ""
    assert "interrupted" in out
    assert "GOOD" in out.splitlines()[-1]
    assert not is_served(port)


def test_a_reader_that_has_enough_ends_it() -> None:
    with started("--seconds", "600", "--calm") as (demo, _, port):
        assert demo.stdout is not None
        demo.stdout.close()
        assert demo.wait(timeout=PATIENCE) == 1
        assert demo.stderr is not None
        assert demo.stderr.read() == ""
    assert not is_served(port)


def test_a_server_that_somebody_else_killed_is_restarted() -> None:
    with started("--seconds", "600", "--calm", "--restart-after", "0.5") as (demo, pid, _):
        os.kill(pid, signal.SIGKILL)
        assert demo.stdout is not None
        for line in demo.stdout:
            if "pool full again" in line:
                break
        demo.send_signal(signal.SIGINT)
        out, _ = demo.communicate(timeout=PATIENCE)

    assert demo.returncode == 0, out
    assert re.search(r"restart +at .* s: ended by somebody else, down .* s, full ", out)


def test_the_server_ends_with_the_demo_even_with_kill_9() -> None:
    with started("--seconds", "600") as (demo, _, port):
        assert is_served(port)
        demo.kill()
        demo.wait()

        deadline = time.monotonic() + PATIENCE
        while is_served(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_server_alone() -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "geventconnpool", "demo-server"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        ready, port = server.stdout.readline().split()
        assert ready == "READY"
        assert is_served(int(port))
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=PATIENCE) == 0
    finally:
        server.kill()
        server.communicate()


def run_on_a_terminal(*arguments: str) -> str:
    """What a demo in a pseudo-terminal shows."""
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-c", spawn, *command(*arguments)],
        env=environment(TERM="xterm-256color", COLUMNS="120", LINES="40"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done
    return done.stdout
