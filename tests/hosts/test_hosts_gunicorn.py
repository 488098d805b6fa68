"""gunicorn's gevent workers: each has connections of its own, wherever the pool was made."""

from __future__ import annotations

import os
import signal
import sys

import pytest
from gevent import socket
from hosting import APPS, ask, backlog, eventually, finish, load, load_until, require_host

SIZE = 4

COMMAND = (
    sys.executable, "-m", "gunicorn",
    "--config", f"{APPS}/gunicorn.conf.py", "gunicorn_app:application",
)  # fmt: skip

WAYS = {
    "imported by the workers": {},
    "preloaded": {"PRELOAD": "1"},
    "preloaded and used": {"PRELOAD": "1", "USE_AT_IMPORT": "1"},
    "preloaded, patched and used": {"PRELOAD": "1", "PATCH_AT_IMPORT": "1", "USE_AT_IMPORT": "1"},
}

every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

# gunicorn 27 in a process that is patched, pool or no pool, hears of a dead worker much later.
UNPATCHED = {name: way for name, way in WAYS.items() if "PATCH_AT_IMPORT" not in way}


@pytest.fixture
def start(start_host):
    """Starts gunicorn; returns it, its port, and the process ids of its workers."""
    require_host("gunicorn")

    def start(*flags, PRELOAD="", **way):
        gunicorn = start_host(*COMMAND, *flags, *["--preload"] * bool(PRELOAD), **way)
        (port,) = gunicorn.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")
        workers = gunicorn.wait_for(r"pool of (\d+) open", 2)
        return gunicorn, int(port), [int(worker) for worker in workers]

    return start


@every_way
def test_every_answer_is_right_and_no_process_speaks_for_another(start, witness, way):
    gunicorn, port, workers = start(**way)
    paths = [f"/{n}" for n in range(300)]

    answers = load(port, paths)
    load_until(port, lambda: all(witness.questions("/.*", worker) for worker in workers))

    assert [answer.split()[2:] for answer in answers] == [[path] for path in paths]
    witness.check_nobody_shares(SIZE)
    masters = witness.sessions(gunicorn.process.pid)
    assert bool(masters) == ("USE_AT_IMPORT" in way)
    assert all(session.ended is None for session in masters)
    assert [len(witness.open(worker)) for worker in workers] == [SIZE, SIZE]


@every_way
def test_a_graceful_stop_answers_what_was_accepted_and_says_goodbye(start, witness, way):
    gunicorn, port, workers = start(**way)
    asked = [ask(port, f"/held/{n}") for n in range(20)]
    eventually(lambda: backlog(port) == 0, "not every request was accepted")
    eventually(lambda: witness.questions("/held/.*"), "no request reached the backend")

    gunicorn.send(signal.SIGTERM)
    eventually(lambda: backlog(port) is None, "the workers go on accepting")
    witness.release()

    assert [finish(sock).split()[2:] for sock in asked] == [[f"/held/{n}"] for n in range(20)]
    assert gunicorn.wait_end() == 0
    for worker in workers:
        assert f"pool of {worker} closed: True" in gunicorn.log
    witness.wait_all_ended()
    witness.check_nobody_shares(SIZE)
    for worker in workers:
        assert [s.said_goodbye for s in witness.sessions(worker)] == [True] * SIZE


@pytest.mark.parametrize("way", UNPATCHED.values(), ids=UNPATCHED)
def test_a_killed_worker_is_replaced_and_the_others_notice_nothing(start, witness, way):
    gunicorn, port, (victim, other) = start(**way)
    before = {s.id for s in witness.open(other)}

    os.kill(victim, signal.SIGKILL)

    newcomer = int(gunicorn.wait_for(r"pool of (\d+) open", 3)[-1])
    sessions = witness.wait_for(lambda all_: all(s.ended for s in all_ if s.owner == victim))
    assert not any(s.said_goodbye for s in sessions)
    assert {s.id for s in witness.open(other)} == before
    assert len(witness.open(newcomer)) == SIZE
    answers = load(port, [f"/{n}" for n in range(100)])
    assert [answer.split()[2] for answer in answers] == [f"/{n}" for n in range(100)]
    witness.check_nobody_shares(SIZE)


@pytest.mark.parametrize("way", UNPATCHED.values(), ids=UNPATCHED)
def test_when_all_are_killed_the_backend_sees_every_session_end(start, witness, way):
    gunicorn, port, workers = start(**way)
    asked = [ask(port, f"/held/{n}") for n in range(20)]
    eventually(lambda: witness.questions("/held/.*"), "no request reached the backend")

    gunicorn.kill()

    sessions = witness.wait_all_ended()
    assert {s.owner for s in sessions} - {gunicorn.process.pid} == set(workers)
    assert not any(s.said_goodbye for s in sessions)
    witness.check_nobody_shares(SIZE)
    for sock in asked:
        sock.close()


def test_workers_that_are_recycled_say_goodbye_and_no_request_is_lost(start, witness):
    gunicorn, port, workers = start("--max-requests", "50")

    def are_gone():
        return set(gunicorn.find(r"pool of (\d+) closed: True")) >= set(map(str, workers))

    load_until(port, are_gone)

    for worker in workers:
        assert [s.said_goodbye for s in witness.sessions(worker)] == [True] * SIZE
    witness.check_nobody_shares(SIZE)


def test_a_worker_that_takes_too_long_is_stopped_all_the_same(start, witness):
    gunicorn, port, _ = start("--graceful-timeout", "1")
    sock = ask(port, "/held")
    eventually(lambda: witness.questions("/held"), "the request did not reach the backend")

    gunicorn.send(signal.SIGTERM)

    gunicorn.wait_end()
    sock.close()
    (session,) = [s for s in witness.wait_all_ended() if (s.owner, "/held") in s.lines]
    assert not session.said_goodbye  # the answer is still under way
    witness.check_nobody_shares(SIZE)


def test_a_backend_that_is_down_keeps_gunicorn_from_starting(start_host):
    require_host("gunicorn")
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        port = str(refusing.getsockname()[1])

        gunicorn = start_host(*COMMAND, BACKEND_PORT=port, READY_WITHIN="0.5")

        assert gunicorn.wait_end() != 0
    assert "PoolTimeout" in gunicorn.log


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["imported", "preloaded"])
def test_the_page_works_as_it_stands(page, start_host, witness, preload):
    require_host("gunicorn")
    folder = page("gunicorn")
    flags = ("--bind", "127.0.0.1:0", *preload, "app:application")
    gunicorn = start_host(sys.executable, "-m", "gunicorn", *flags, folder=folder)
    (port,) = gunicorn.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)")
    witness.wait_for(lambda sessions: len(sessions) == 20)  # four workers, five connections

    answers = load(int(port), ["/"] * 100)
    gunicorn.send(signal.SIGTERM)

    assert {answer.split()[1] for answer in answers} == {"hello"}
    assert gunicorn.wait_end() == 0
    assert len(witness.wait_all_ended()) == 20
