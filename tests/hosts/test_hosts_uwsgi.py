"""uWSGI with gevent: it forks in C, and each worker has connections of its own all the same."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from availability import require_program
from hosting import APPS, ask, backlog, eventually, finish, load, load_until

SIZE = 4

WAYS = {
    "loaded by the master": {},
    "loaded and used by the master": {"USE_AT_IMPORT": "1"},
    "loaded by the workers": {"LAZY": "1"},
}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")


@pytest.fixture
def program():
    return require_program("uwsgi", str(Path(sys.executable).parent))


@pytest.fixture
def start(start_host, program):
    """Starts uWSGI; returns it, its port, and the process ids of its workers."""

    def start(*flags, LAZY="", **way):
        uwsgi = start_host(
            program, "--http-socket", "127.0.0.1:0", "--wsgi-file", f"{APPS}/uwsgi_app.py",
            "--master", "--processes", "2", "--gevent", "100", "--gevent-monkey-patch",
            *flags, *["--lazy-apps"] * bool(LAZY), **way,
        )  # fmt: skip
        (port,) = uwsgi.wait_for(r"bound to TCP address 127\.0\.0\.1:(\d+)")
        workers = uwsgi.wait_for(r"spawned uWSGI worker \d \(pid: (\d+)", 2)
        return uwsgi, int(port), [int(worker) for worker in workers]

    return start


def loaded(port, workers, witness):
    """Have each of *workers* use its pool."""
    load_until(port, lambda: all(witness.open(worker) for worker in workers))


@every_way
def test_every_answer_is_right_and_no_process_speaks_for_another(start, witness, way):
    uwsgi, port, workers = start(**way)
    paths = [f"/{n}" for n in range(300)]

    answers = load(port, paths)
    loaded(port, workers, witness)

    assert [answer.split()[2:] for answer in answers] == [[path] for path in paths]
    witness.check_nobody_shares(SIZE)
    assert {s.owner for s in witness.sessions()} - {uwsgi.process.pid} == set(workers)
    masters = witness.sessions(uwsgi.process.pid)
    assert bool(masters) == ("USE_AT_IMPORT" in way)
    assert all(session.ended is None for session in masters)


@every_way
def test_a_graceful_stop_answers_what_was_accepted_and_says_goodbye(start, witness, way):
    uwsgi, port, workers = start(*GRACEFUL, **way)
    loaded(port, workers, witness)
    asked = [ask(port, f"/held/{n}") for n in range(20)]
    eventually(lambda: backlog(port) == 0, "not every request was accepted")
    eventually(lambda: witness.questions("/held/.*"), "no request reached the backend")

    uwsgi.send(signal.SIGTERM)
    uwsgi.wait_for(r"waiting for \d+ running requests")
    witness.release()

    assert [finish(sock).split()[2:] for sock in asked] == [[f"/held/{n}"] for n in range(20)]
    assert uwsgi.wait_end() == 0
    for worker in workers:
        assert f"pool of {worker} closed: True" in uwsgi.log
    witness.wait_all_ended()
    witness.check_nobody_shares(SIZE)
    for worker in workers:
        assert all(s.said_goodbye for s in witness.sessions(worker))


@every_way
def test_a_killed_worker_is_replaced_and_the_others_notice_nothing(start, witness, way):
    uwsgi, port, (victim, other) = start(**way)
    loaded(port, [victim, other], witness)
    before = {s.id for s in witness.open(other)}

    os.kill(victim, signal.SIGKILL)

    sessions = witness.wait_for(lambda all_: all(s.ended for s in all_ if s.owner == victim))
    assert not any(s.said_goodbye for s in sessions)
    newcomer = int(uwsgi.wait_for(r"Respawned uWSGI worker \d \(new pid: (\d+)")[0])
    loaded(port, [newcomer], witness)
    assert {s.id for s in witness.open(other)} >= before
    witness.check_nobody_shares(SIZE)


@every_way
def test_when_all_are_killed_the_backend_sees_every_session_end(start, witness, way):
    uwsgi, port, workers = start(**way)
    loaded(port, workers, witness)
    asked = [ask(port, f"/held/{n}") for n in range(20)]
    eventually(lambda: witness.questions("/held/.*"), "no request reached the backend")

    uwsgi.kill()

    sessions = witness.wait_all_ended()
    assert not any(s.said_goodbye for s in sessions)
    witness.check_nobody_shares(SIZE)
    for sock in asked:
        sock.close()


def test_the_page_works_as_it_stands(page, start_host, witness, program):
    folder = page("uwsgi")
    ini = folder / "uwsgi.ini"
    ini.write_text(ini.read_text().replace(":8000", ":0"))
    uwsgi = start_host(program, "uwsgi.ini", folder=folder)
    (port,) = uwsgi.wait_for(r"bound to TCP address 127\.0\.0\.1:(\d+)")

    answers = load(int(port), ["/"] * 100)
    uwsgi.send(signal.SIGTERM)

    assert {answer.split()[1] for answer in answers} == {"hello"}
    assert uwsgi.wait_end() == 0
    witness.wait_all_ended()
