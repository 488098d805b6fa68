"""A secret that goes through everything comes out nowhere: not in one output of the package."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
import warnings
import weakref
from pathlib import Path

import gevent
import pytest
import security_canary
from gevent import util
from security_canary import CANARY, CanaryPool, Connection, Talkative, dial, things_of_ours
from security_recipes import examples

import geventconnpool
from geventconnpool import (
    Backoff,
    ConnectionPool,
    PoolError,
    PoolTimeout,
    PoolUnavailable,
    RetryBudget,
    WrongHub,
    retry,
)
from geventconnpool.options import PoolOptions
from geventconnpool.testing import FakePeer, RecordingListener, Simulation

HOME = Path(geventconnpool.__file__).resolve().parent.parent
PATCH = {"GEVENTCONNPOOL_TEST_PATCHED": os.environ.get("GEVENTCONNPOOL_TEST_PATCHED", "0")}


@pytest.fixture
def no_secret(caplog, capfd):
    """Looks for the secret in these texts, and in what was logged and printed so far."""
    caplog.set_level(1)
    caplog.set_level(1, logger="geventconnpool")

    def look(*texts):
        assert texts or caplog.records
        out, err = capfd.readouterr()
        said = [str(text) for text in (*texts, out, err)]
        for record in caplog.records:
            said += [record.getMessage(), repr(record.args), repr(vars(record))]
        assert [text for text in said if CANARY in text] == []

    return look


def all_there_is_to(thing):
    """What can be shown of *thing*."""
    return [repr(thing), str(thing), f"{thing}"]


def frames_of(error):
    """Every frame that the traceback of *error* holds, this test's own excepted."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame for frame in frames if frame.f_code.co_filename != __file__]


def locals_of(error):
    """What a tool that shows local variables would show."""
    return [repr(value) for frame in frames_of(error) for value in frame.f_locals.values()]


def busy_pool(sim, told):
    """A pool in the middle of everything: some out, waiting, connecting, checking, closing."""
    pool = CanaryPool(6, keepalive=5, leak_threshold=1, listeners=[told])
    sim.advance(3)
    held = [pool.acquire() for _ in range(3)]
    pool.hanging.update(["ping", "goodbye"])
    pool.release(held.pop(), discard=True)
    sim.advance(6)
    pool.hanging.add("connect")
    pool.resize(8)
    sim.advance(1)
    for _ in range(6):
        sim.spawn(wait_for_one, pool)
    sim.advance(1)
    return pool


def wait_for_one(pool):
    in_the_frame = CANARY
    with contextlib.suppress(PoolError), pool.get(timeout=100):
        return in_the_frame


class TestEverythingAlive:
    """Whatever the package has made, at a moment when much is going on."""

    @pytest.fixture
    def world(self, sim, no_secret):
        told = RecordingListener()
        pool = busy_pool(sim, told)
        stats = pool.stats()
        assert min(stats.active, stats.waiting, stats.connecting, stats.closing) > 0, stats
        yield pool, told
        pool.hanging.clear()
        pool.close(timeout=0)

    def test_says_nothing_in_its_repr(self, world, no_secret):
        things = things_of_ours()
        kinds = {type(thing).__name__ for thing in things}
        assert {"Engine", "Lease", "Waiter", "Job", "Greenlet", "Event", "partial"} <= kinds
        no_secret(*(text for thing in things for text in all_there_is_to(thing)))

    def test_says_nothing_in_gevents_own_report(self, world, no_secret):
        report = util.format_run_info()
        assert any("geventconnpool" in line for line in report)
        no_secret(*report)

    def test_says_nothing_in_pool_stats_and_events(self, world, no_secret):
        pool, told = world
        shown = [pool, pool.stats(), pool.name, vars(type(pool.stats())), *told]
        no_secret(*(text for thing in shown for text in all_there_is_to(thing)))
        assert any(event.stack for event in told)

    def test_says_nothing_in_what_a_simulation_shows(self, sim, world, no_secret):
        blocked, trace = sim.blocked(), sim.loop.trace.recent()
        assert any("wait_for_one" in line for line in blocked)
        assert trace
        no_secret(repr(sim), *blocked, *trace, *sim.loop.debug())


class TestErrors:
    @pytest.fixture
    def error(self, sim):
        pool = CanaryPool()
        pool.failing.add("connect")
        sim.advance(1)
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=1)
        pool.close()
        return caught.value

    def test_say_nothing_but_in_their_cause(self, error, no_secret):
        assert type(error.__cause__) is Talkative
        assert error.__context__ is None
        assert CANARY in "".join(traceback.format_exception(error))
        error.__cause__ = None
        no_secret(*traceback.format_exception(error), *map(repr, vars(error).values()))

    def test_and_the_docs_say_so(self):
        page = " ".join(text_of("docs/reference/errors.rst").split())
        assert "``__cause__`` keeps the exception itself" in page
        assert "a printed traceback shows the cause with its text" in page

    def test_keep_no_secret_in_the_frames(self, error, no_secret):
        chain = [error, error.__cause__, error.__cause__.__cause__]
        assert all(isinstance(each, BaseException) for each in chain)
        assert frames_of(error.__cause__)
        no_secret(*(text for each in chain for text in locals_of(each)), "")

    def test_keep_no_argument_of_a_partial_in_the_frames(self, sim, no_secret):
        pool = ConnectionPool(1, connect=functools.partial(dial, password=CANARY))
        sim.advance(1)
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=0)
        no_secret(*locals_of(caught.value.__cause__))

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
    def test_keep_no_secret_in_the_frames_of_a_group(self, sim):
        class Socket:
            pass

        made = []

        def dial_one():
            half_made = Socket()
            made.append(weakref.ref(half_made))
            raise Talkative

        def dial_all():
            errors = []
            for _ in range(2):
                try:
                    dial_one()
                except Talkative as error:
                    errors.append(error)
            raise ExceptionGroup("no address works", errors)  # noqa: F821

        pool = ConnectionPool(1, connect=dial_all)
        sim.advance(1)
        pool.pause(interrupt=True)
        gc.collect()
        assert made
        assert [ref() for ref in made if ref() is not None] == []

    def test_travel_without_their_cause(self, error, no_secret):
        travelled = pickle.dumps(error)
        assert type(pickle.loads(travelled)) is PoolTimeout
        no_secret(travelled)

    @pytest.mark.parametrize("kind", [PoolError, PoolTimeout, PoolUnavailable])
    def test_of_our_classes_that_a_hook_raises_are_not_shown_either(self, kind, sim, no_secret):
        def refuse():
            raise kind(f"no login for app:{CANARY}")

        told = RecordingListener()
        pool = ConnectionPool(1, connect=refuse, listeners=[told])
        sim.advance(1)
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=0)
        no_secret(caught.value, *told)

    def test_about_misuse_say_nothing(self, sim, no_secret):
        pool = CanaryPool()
        sim.advance(3)
        errors = []
        lease = pool.get()
        for misuse in (
            lambda: pool.release(Connection(pool)),
            lambda: pool.detach(Connection(pool)),
            lambda: pickle.dumps(pool),
            lambda: copy.copy(pool),
            lambda: copy.deepcopy(pool),
            lambda: pickle.dumps(lease),
        ):
            with pytest.raises((PoolError, TypeError)) as caught:
                misuse()
            errors.append(caught.value)
        with lease:
            pass
        no_secret(*(text for error in errors for text in all_there_is_to(error)))
        pool.close(timeout=0)

    def test_from_another_thread_say_nothing(self, no_secret):
        with CanaryPool() as pool:
            pool.wait_ready(timeout=20)
            error = gevent.get_hub().threadpool.apply(error_of, (pool.acquire,))
        assert type(error) is WrongHub
        no_secret(*all_there_is_to(error))


def error_of(action):
    try:
        action()
    except Exception as error:
        return error


class TestOptions:
    def test_of_a_pool_keep_callables_to_themselves(self, no_secret):
        told = functools.partial(print, CANARY)
        options = PoolOptions.checked(
            3,
            connect=functools.partial(dial, password=CANARY),
            is_broken=told,
            listeners=[told],
            exc_classes=Talkative,
            fatal_exc_classes=Talkative,
            backoff=Backoff(),
        )
        no_secret(*all_there_is_to(options))

    def test_also_those_of_a_backoff(self, no_secret):
        backoff = Backoff(jitter=functools.partial(max, CANARY))
        no_secret(repr(backoff), repr(PoolOptions.checked(3, backoff=backoff)))

    def test_of_retry_budgets(self, no_secret):
        no_secret(*all_there_is_to(RetryBudget()))


class TestRetry:
    @pytest.fixture
    def attempt(self, sim):
        def attempt(**options):
            @retry(logger=logging.getLogger("app"), max_failures=2, interval=1, **options)
            def order(password=CANARY):
                raise Talkative

            with pytest.raises(Talkative):
                order()

        return attempt

    def test_shows_nothing_in_messages_that_do_not_ask_for_it(self, attempt, no_secret, caplog):
        messages = {"retry_log_message": "{f} again", "max_failure_log_message": "{f} failed"}
        attempt(**messages, budget=RetryBudget(), deadline=100)
        assert [record.getMessage() for record in caplog.records] == [
            *["order again"] * 2,
            "order failed",
        ]
        no_secret()

    def test_shows_the_exception_in_its_own_and_the_docs_warn_of_it(self, attempt, caplog):
        """The messages are those of 0.2.1, which have always told the error."""
        caplog.set_level(1)
        attempt()
        assert CANARY in caplog.records[0].getMessage()
        page = " ".join(text_of("docs/howto/retry.rst").split())
        assert "Mind that texts of exceptions can hold secrets" in page
        assert "the exception with its whole text" in " ".join((retry.__doc__ or "").split())

    def test_says_nothing_itself_without_a_logger(self, sim, no_secret):
        @retry(max_failures=1)
        def order():
            raise Talkative

        with pytest.raises(Talkative):
            order()
        no_secret(repr(order))


class TestWarnings:
    def test_say_nothing(self, sim, no_secret):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pool = CanaryPool(min_size=2, idle_timeout=1)
            sim.advance(3)
            pool.get()
            sim.advance(5)
            del pool
            gc.collect()
            sim.advance(5)
        assert len(caught) >= 2
        no_secret(
            *(warnings.formatwarning(w.message, w.category, w.filename, w.lineno) for w in caught)
        )


class TestSimulations:
    @pytest.mark.expects_errors
    def test_report_shows_tracebacks_and_says_that_it_does(self):
        with Simulation() as sim:
            sim.spawn(dial, CANARY)
            sim.settle()
            assert len(sim.errors) == 1
            report = sim.report()
        assert CANARY in report
        assert "with tracebacks" in (Simulation.report.__doc__ or "")

    def test_report_shows_no_local_variables(self):
        def fail():
            password = CANARY
            raise ValueError(len(password))

        with Simulation() as sim:
            sim.spawn(fail)
            sim.settle()
            assert len(sim.errors) == 1
            report = sim.report()
        assert "ValueError: 14" in report
        assert CANARY not in report

    def test_fakes_show_only_their_names(self, sim, no_secret):
        peer = FakePeer()
        c = peer.connect()
        c.send(CANARY)
        no_secret(repr(peer), repr(c))


def run(*arguments, env=None, cwd=None, stdin=None):
    """A Python process, with the secret in its environment."""
    secrets = {"DATABASE_URL": f"db://app:{CANARY}@db", "PASSWORD": CANARY, CANARY: CANARY}
    path = os.pathsep.join(map(str, [HOME, Path(__file__).parent, *([cwd] if cwd else [])]))
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **secrets, **PATCH, "PYTHONPATH": path, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


def silent_about_it(done, status=0):
    assert done.returncode == status, done
    assert CANARY not in done.stdout + done.stderr
    return done.stdout + done.stderr


class TestProcesses:
    """What a process says on its way, and at its end."""

    def test_a_life_in_which_everything_fails(self):
        patch = "from gevent import monkey; monkey.patch_all();" * (
            PATCH["GEVENTCONNPOOL_TEST_PATCHED"] == "1"
        )
        program = (
            f"import runpy;{patch}runpy.run_path({security_canary.__file__!r}, run_name='__main__')"
        )
        done = run("-X", "dev", "-W", "always", "-c", program)
        said = silent_about_it(done)
        assert {"connect_failed", "leak_suspected", "connection_pinged", "connection_closed"} <= {
            *json.loads(done.stdout)["kinds"]
        }
        for what in (
            "cannot connect (Talkative)",
            "a listener failed",
            "ResourceWarning",
            "is out",
        ):
            assert what in said
        assert "Traceback" not in said

    @pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
    def test_diagnose(self, form, tmp_path):
        (tmp_path / "redis.py").write_text(
            f"import os\nfrom time import sleep\npassword = os.environ['PASSWORD']\n"
            f"class Client:\n  def __repr__(self): return {CANARY!r}\nclient = Client()\n"
        )
        (tmp_path / "app.py").write_text(
            "import redis\nfrom gevent import monkey\nmonkey.patch_all()\nimport os\n"
        )
        done = run(
            "-W",
            "ignore",
            "-m",
            "geventconnpool",
            "diagnose",
            "--import",
            "app",
            *form,
            cwd=tmp_path,
        )
        assert "redis" in silent_about_it(done, status=1)

    def test_diagnose_with_an_import_that_fails(self, tmp_path):
        (tmp_path / "app.py").write_text(
            "import os\nraise ValueError('cannot parse ' + os.environ['DATABASE_URL'])\n"
        )
        done = run("-m", "geventconnpool", "diagnose", "--import", "app", cwd=tmp_path)
        assert "ValueError" in silent_about_it(done, status=2)

    def test_diagnose_still_says_which_module_is_missing(self, tmp_path):
        (tmp_path / "app.py").write_text("import no_such_client\n")
        done = run("-m", "geventconnpool", "diagnose", "--import", "app", cwd=tmp_path)
        assert "no_such_client" in silent_about_it(done, status=2)

    @pytest.mark.demo
    @pytest.mark.parametrize("form", [[], ["--json"], ["--tls"]], ids=" ".join)
    def test_the_demo(self, form):
        done = run(
            "-m", "geventconnpool", "demo", "--seconds", "1", "--clients", "4", "--size", "2", *form
        )
        assert silent_about_it(done)


def text_of(page):
    return examples.ROOT.joinpath(page).read_text(encoding="utf-8")
