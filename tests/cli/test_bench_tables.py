"""What the benchmark writes: aligned, complete, and not more exact than it is."""

from __future__ import annotations

import json

import bench_fakes
import pytest

from geventconnpool.cli.bench import tables
from geventconnpool.cli.bench.answers import Answer, Bar, Figure
from geventconnpool.cli.bench.record import Record, Surroundings, surroundings

HERE = Surroundings(
    "python -m geventconnpool bench blocked",
    "2026-01-02 03:04 UTC",
    "a machine",
    {"gevent": "26.9.0", "greenlet": "3.5"},
    {"redis": "8.1"},
    ["pymongo"],
)


def figure(subject: str, value: float, x: float | None = None, note: str = "") -> Figure:
    return Figure("cost", subject, value, value - 0.5, value + 0.5, "x", x, note)


def lines_of(*figures: Figure) -> list[str]:
    """The table alone."""
    text = tables.answer_text(Answer("key", "What?", list(figures)))
    assert text.startswith("key: What?\n\n")
    return text.splitlines()[2:]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1.00"),
        (1.256, "1.26"),
        (99.96, "100.0"),
        (12.34, "12.3"),
        (123.4, "123"),
        (-8.71, "-8.71"),
        (98765.4, "98,765"),
        (0.0123, "0.012"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert tables.number(value) == text


def test_columns_are_aligned() -> None:
    found = lines_of(figure("floor", 1.0, note="9 ns"), figure("a long name", 123.0, note="10 ns"))

    assert found == [
        "  cost (x)",
        "    floor        1.00  0.50 .. 1.50   9 ns",
        "    a long name   123    122 .. 124  10 ns",
    ]


def test_figures_on_an_axis_stand_beside_each_other() -> None:
    found = lines_of(
        figure("floor", 1.0, 100), figure("floor", 1.0, 1000), figure("pool", 2.0, 1000, "7 ns")
    )

    assert found == [
        "  cost (x)",
        "            100        1,000",
        "    floor  1.00         1.00",
        "    pool      -  2.00 (7 ns)",
    ]


def test_long_notes_get_rows_of_their_own() -> None:
    found = lines_of(
        figure("pool", 1.0, 100, "300 of 333 pings"), figure("pool", 2.0, 1000, "all in time")
    )

    assert found == [
        "  cost (x)",
        "    pool    100  1.00  0.50 .. 1.50  300 of 333 pings",
        "    pool  1,000  2.00  1.50 .. 2.50  all in time",
    ]


@pytest.mark.parametrize("x", [None, 100])
def test_shares_of_a_distribution_are_one_table(x: float | None) -> None:
    shares = {"wait, p50": 1.0, "wait, p99": 20.0, "longest wait": 300.0}
    found = lines_of(
        *(Figure(f"{s}, at night", "pool", v, v, v, "ms", x) for s, v in shares.items())
    )

    assert found[0] == "  wait, at night: p50 / p99 / longest (ms)"
    assert found[-1] == "    pool  1.00 / 20.0 / 300"
    assert [line.strip() for line in found[1:-1]] == ([] if x is None else ["100"])


def test_bars_say_what_they_had_to_be() -> None:
    answer = Answer("key", "What?", bars=[Bar("a", 1.6, 1.5), Bar("b", 7, 2, "ms", at_most=False)])

    text = tables.answer_text(answer)

    assert "    a   1.60 x    at most 1.50 x  MISSED" in text
    assert "    b  7.00 ms  at least 2.00 ms    pass" in text


def test_what_is_absent_is_told() -> None:
    text = tables.answer_text(Answer("key", "What?", absent=["redis: not installed"]))

    assert "  not measured: redis: not installed" in text


def test_the_heading_has_all_surroundings_and_no_long_lines() -> None:
    many = {f"peer-{number}": "1.0" for number in range(40)}

    text = tables.heading(Surroundings(*list(vars(HERE).values())[:4], many, ["pymongo"]))

    for part in (HERE.command, HERE.date, HERE.machine, "gevent 26.9.0", "peer-39 1.0", "pymongo"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_verdict_counts_and_names_what_failed() -> None:
    record = Record(HERE, [bench_fakes.answer(ratio=2.0)], {"memory": "OSError: full"})

    assert tables.verdict(record).splitlines() == [
        "memory: not answered: OSError: full",
        "1 of 2 bars held",
    ]


def test_a_record_survives_json() -> None:
    record = Record(HERE, [bench_fakes.answer()], {"memory": "OSError: full"})

    assert Record.from_json(json.loads(json.dumps(record.as_json()))) == record


def test_the_surroundings_are_those_of_this_process() -> None:
    import gevent

    found = surroundings("command")

    assert found.command == "command"
    assert found.versions["gevent"] == gevent.__version__
    assert "cores" in found.machine
    assert "redis" in {*found.peers, *found.missing}
    assert not set(found.peers) & set(found.missing)
