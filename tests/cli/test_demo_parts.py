"""The demo's parts, one by one: they are what tells a good pool from a broken one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace

import gevent
import pytest
from gevent import socket

from geventconnpool.cli.demo.clients import Waits
from geventconnpool.cli.demo.faults import kill_times, quiet_from
from geventconnpool.cli.demo.lines import Lines
from geventconnpool.cli.demo.screen import duration
from geventconnpool.cli.demo.server import DemoServer
from geventconnpool.cli.demo.summary import RestartSummary, Summary

GOOD = Summary(
    seconds=15.0,
    seed=1,
    size=20,
    clients=200,
    requests=100,
    right=90,
    failures={"killed": 10},
    most_at_server=20,
    full_at_end=True,
    open_at_end=20,
)


class Visitor(Lines):
    """A client of the demo's server."""

    def __init__(self, port: int) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", port)))
        self.sock.settimeout(30)

    def greet(self) -> Visitor:
        self.send("HELLO")
        assert self.read().startswith("WELCOME ")
        return self

    def leave(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(100):
            pass
        self.sock.close()


@pytest.fixture
def server() -> Iterator[DemoServer]:
    """A server in this process."""
    server = DemoServer()
    yield server
    server.stop()


# -- the verdict


def test_a_good_run_has_no_problems() -> None:
    assert GOOD.ok
    assert "GOOD" in str(GOOD)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"wrong": 1}, "1 answers were wrong"),
        ({"most_at_server": 21}, "the server counted 21 connections at once, 1 more"),
        ({"full_at_end": False, "open_at_end": 19}, "not full at the end: 19 of 20"),
        ({"unexpected": {"KeyError": 2}}, "KeyError 2"),
        ({"right": 0, "failures": {"killed": 100}}, "no answer was right"),
    ],
)
def test_a_broken_pool_is_found_out(change: dict[str, object], problem: str) -> None:
    summary = replace(GOOD, **change)  # type: ignore[arg-type]

    assert not summary.ok
    assert any(problem in text for text in summary.problems)
    assert f"WRONG: {summary.problems[0]}" in str(summary)
    assert "GOOD" not in str(summary)


def test_a_summary_goes_into_json() -> None:
    restart = RestartSummary(at=2.0, by="others", down=10.0, full_after=0.5)

    made = json.loads(json.dumps(replace(GOOD, restarts=(restart,)).as_dict(), allow_nan=False))

    assert made["ok"] is True
    assert made["problems"] == []
    assert made["restarts"] == [{"at": 2.0, "by": "others", "down": 10.0, "full_after": 0.5}]


def test_a_restart_that_the_pool_never_got_over_is_told() -> None:
    restarts = (
        RestartSummary(at=2.0, by="schedule", down=1.0, full_after=None),
        RestartSummary(at=4.0, by="others", down=None, full_after=None),
    )

    text = str(replace(GOOD, restarts=restarts))

    assert "at 2.0 s: down 1.0 s, not full before the next" in text
    assert "at 4.0 s: ended by somebody else, not started again" in text


# -- the waits


def test_quantiles_are_within_two_percent() -> None:
    waits = Waits()
    for milliseconds in range(1, 1001):
        waits.add(milliseconds / 1000)

    assert waits.quantile(0.5) == pytest.approx(0.5, rel=0.025)
    assert waits.quantile(0.99) == pytest.approx(0.99, rel=0.025)
    assert waits.quantile(1.0) == waits.longest == 1.0
    assert waits.count == 1000


def test_no_waits_have_no_quantiles() -> None:
    assert Waits().quantile(0.5) is None


def test_a_wait_of_nothing_counts() -> None:
    waits = Waits()
    waits.add(0.0)

    assert waits.quantile(0.5) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0.000 ms"),
        (0.0000042, "0.004 ms"),
        (0.00999, "9.99 ms"),
        (0.9, "900 ms"),
        (0.9999, "1.00 s"),
        (61.0, "61.00 s"),
    ],
)
def test_durations_for_people(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


# -- the faults


@pytest.mark.parametrize("seconds", [6.0, 6.5, 8.0, 15.0, 60.0, 600.0])
def test_every_run_from_six_seconds_on_sees_the_server_killed(seconds: float) -> None:
    for seed in range(300):
        kills = list(kill_times(random.Random(seed), seconds))

        assert kills
        assert all(0 < at < quiet_from(seconds) for at, _ in kills)
        assert all(0.5 <= pause <= 2.0 for _, pause in kills)


def test_the_same_seed_kills_at_the_same_moments() -> None:
    once, again = (list(kill_times(random.Random(5), 60.0)) for _ in range(2))

    assert once == again


def test_faults_end_well_before_the_run() -> None:
    assert quiet_from(100.0) == 80.0
    assert quiet_from(6.0) == 3.0
    assert quiet_from(1.0) == 0.0
    assert list(kill_times(random.Random(1), 5.9)) == []


# -- the server


def test_an_answer_carries_the_token_of_its_question(server: DemoServer) -> None:
    visitor = Visitor(server.port).greet()

    visitor.send("ASK", "one")
    visitor.send("PING")
    visitor.send("ASK", "two")

    assert [visitor.read() for _ in range(3)] == ["ANSWER one", "PONG", "ANSWER two"]
    visitor.leave()
    assert server.figures.answers == 2


def test_a_session_counts_from_its_greeting_to_its_end(server: DemoServer) -> None:
    silent, visitor = Visitor(server.port), Visitor(server.port).greet()
    assert server.figures.open == 1

    visitor.leave()
    assert server.figures.open == 0  # already, when its client sees the end

    silent.leave()
    assert server.figures.most == server.figures.sessions == 1


def test_a_client_that_hangs_up_counts_no_longer_although_its_answer_is_due(
    server: DemoServer,
) -> None:
    server.obey("LATE", "60", "1.0", "60.0")
    visitor = Visitor(server.port).greet()
    visitor.send("ASK", "never mind")
    gevent.sleep(0.01)

    visitor.leave()

    assert server.figures.open == 0
    assert server.figures.late == 1
    assert server.figures.answers == 0


def test_the_most_at_once_is_remembered(server: DemoServer) -> None:
    visitors = [Visitor(server.port).greet() for _ in range(3)]
    for visitor in visitors:
        visitor.leave()
    Visitor(server.port).greet().leave()

    assert server.figures.most == 3
    assert server.figures.sessions == 4


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_cut_ends_the_session(server: DemoServer, how: str) -> None:
    visitor = Visitor(server.port).greet()

    server.obey("CUT", "5", how)
    with pytest.raises(OSError):
        visitor.send("ASK", "cut-me")
        visitor.read()
        visitor.send("ASK", "cut-me")
        visitor.read()

    visitor.sock.close()
    assert server.figures.open == 0


def test_what_is_not_understood_is_left(server: DemoServer) -> None:
    stranger = Visitor(server.port)
    stranger.send("GET", "/")
    with pytest.raises(ConnectionError):
        stranger.read()
    stranger.sock.close()

    visitor = Visitor(server.port).greet()
    visitor.send("WHAT")
    visitor.send("PING")
    assert visitor.read() == "PONG"
    visitor.leave()
    server.obey("DANCE")


def test_an_endless_line_is_an_error(server: DemoServer) -> None:
    visitor = Visitor(server.port).greet()

    visitor.sock.sendall(b"x" * 100_000)

    with pytest.raises(OSError):
        visitor.read()
    visitor.sock.close()
