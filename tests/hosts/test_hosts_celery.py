"""celery's gevent pool: one process, whose tasks share the connections."""

from __future__ import annotations

import json
import signal
import sys

import pytest
from availability import require_program
from hosting import eventually, require_host

SIZE = 10

ASK_MANY = """
from celery import group
from celery_app import ask
answers = group(ask.s(f"/{n}") for n in range(300)).apply_async().get(timeout=30)
"""

SEND_HELD = """
from celery_app import ask
answers = [ask.apply_async((f"/held/{n}",), **OPTIONS).id for n in range(COUNT)]
"""

COLLECT = """
from celery_app import app
answers = [app.AsyncResult(task).get(timeout=30) for task in TASKS]
"""

REVOKE = """
from celery_app import app
answers = app.control.revoke(TASKS, terminate=True)
"""

BE_REFUSED = """
from celery_app import ask_impatiently
from geventconnpool import PoolTimeout
try:
    ask_impatiently.delay().get(timeout=30)
except PoolTimeout as error:
    answers = str(error)
"""

USE_PAGE = """
import os
from celery import group
from tasks import app, ask
app.conf.update(broker_url=os.environ["BROKER_URL"], result_backend=os.environ["BROKER_URL"])
answers = group(ask.s("hello") for _ in range(20)).apply_async().get(timeout=30)
"""


@pytest.fixture
def broker(start_host, tmp_path):
    """The address of a broker of the test's own."""
    program = require_program("redis-server")
    path = tmp_path / "redis.sock"
    redis = start_host(program, "--port", "0", "--unixsocket", str(path), "--save", "")
    redis.wait_for("[Rr]eady to accept connections")
    return f"redis+socket://{path}"


@pytest.fixture
def start(start_host, broker):
    """Starts a worker."""
    require_host("celery")
    require_host("redis")

    def start(app="celery_app"):
        worker = start_host(
            sys.executable, "-m", "celery", "--app", app, "--broker", broker,
            "--result-backend", broker, "worker",
            "--pool", "gevent", "--concurrency", "50", "--loglevel", "INFO",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
            BROKER_URL=broker,
        )  # fmt: skip
        worker.wait_for(r"celery@\S+ ready")
        return worker

    return start


@pytest.fixture
def send(start_host, broker):
    """Runs the code of somebody who sends tasks; returns the answers there."""

    def send(code, **names):
        prelude = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        code = f"import json\n{prelude}{code}\nprint(json.dumps(answers))"
        sender = start_host(sys.executable, "-c", code, BROKER_URL=broker)
        assert sender.wait_end() == 0
        return json.loads(sender.log.splitlines()[-1])

    return send


def test_every_answer_is_right_and_whoever_sends_tasks_opens_nothing(start, send, witness):
    worker = start()

    answers = send(ASK_MANY)

    assert [answer.split()[2] for answer in answers] == [f"/{n}" for n in range(300)]
    assert {session.owner for session in witness.sessions()} == {worker.process.pid}
    witness.check_nobody_shares(SIZE)


def test_a_warm_shutdown_finishes_the_tasks_and_says_goodbye(start, send, witness):
    worker = start()
    tasks = send(SEND_HELD, COUNT=30, OPTIONS={})
    worker.wait_for(r"Task celery_app\.ask\[.*\] received", 30)
    eventually(lambda: len(witness.questions("/held/.*")) == SIZE, "not all are in use")

    worker.send(signal.SIGTERM)
    worker.wait_for("Warm shutdown")
    witness.release()

    assert worker.wait_end() == 0
    answers = send(COLLECT, TASKS=tasks)
    assert [answer.split()[2] for answer in answers] == [f"/held/{n}" for n in range(30)]
    assert "pool closed: True" in worker.log
    sessions = witness.wait_all_ended()
    assert [s.said_goodbye for s in sessions] == [True] * SIZE
    witness.check_nobody_shares(SIZE)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["QUIT", "KILL"])
def test_a_hard_stop_ends_every_session(start, send, witness, how):
    worker = start()
    send(SEND_HELD, COUNT=30, OPTIONS={})
    eventually(lambda: len(witness.questions("/held/.*")) == SIZE, "not all are in use")

    worker.send(how)
    if how is signal.SIGQUIT:  # with gevent, celery lets tasks that run come to their end
        witness.release()

    worker.wait_end()
    sessions = witness.wait_all_ended()
    assert not (how is signal.SIGKILL and any(s.said_goodbye for s in sessions))
    witness.check_nobody_shares(SIZE)


@pytest.mark.parametrize("how", ["time limit", "revoked"])
def test_a_task_that_is_interrupted_costs_nobody_else_an_answer(start, send, witness, how):
    start()
    options = {"time_limit": 1} if how == "time limit" else {}
    tasks = send(SEND_HELD, COUNT=1, OPTIONS=options)
    eventually(lambda: witness.questions("/held/0"), "the task did not begin")
    if how == "revoked":
        send(REVOKE, TASKS=tasks)

    def is_cut_off(sessions):
        (session,) = [s for s in sessions if "/held/0" in [what for _, what in s.lines]]
        return session.ended and not session.said_goodbye

    witness.wait_for(is_cut_off)
    witness.release()  # the late answer finds nobody

    eventually(lambda: len(witness.open()) == SIZE, "the connection was not replaced")
    answers = send(ASK_MANY)
    assert [answer.split()[2] for answer in answers] == [f"/{n}" for n in range(300)]
    witness.check_nobody_shares(SIZE)


def test_an_error_of_the_pool_arrives_where_the_result_is_read(start, send, witness):
    start()
    send(SEND_HELD, COUNT=SIZE, OPTIONS={})
    eventually(lambda: len(witness.questions("/held/.*")) == SIZE, "not all are in use")

    assert "no connection within 0.00 s (10 active" in send(BE_REFUSED)


def test_the_page_works_as_it_stands(page, start, send, witness):
    page("celery")
    worker = start("tasks")

    answers = send(USE_PAGE)
    worker.send(signal.SIGTERM)

    assert [answer.split()[1] for answer in answers] == ["hello"] * 20
    assert worker.wait_end() == 0
    witness.wait_all_ended()
