"""Plans and faults: one line each, there and back."""

from __future__ import annotations

import gevent
import pytest

from geventconnpool.testing import Fault, Plan
from geventconnpool.testing.plans import ERRORS, WAYS

PLANS = [
    Plan(),
    Plan(7),
    Plan(7, shuffle=True),
    Plan(1, turns=((3, 1), (10, 2))),
    Plan(2, faults=(Fault("beside", 4, 1, "OSError"), Fault("instead", 9, 2, "Timeout"))),
    Plan(3, True, ((0, 1),), (Fault("instead", 0, 0, "GreenletExit"),)),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_plan_is_one_line(plan: Plan) -> None:
    assert Plan.parse(str(plan)) == plan
    assert "\n" not in str(plan)


def test_a_plan_reads_as_it_is_documented() -> None:
    plan = Plan(3, True, ((4, 2),), (Fault("beside", 5, 1, "OSError"),))
    assert str(plan) == "seed=3 shuffle turn=4:2 fault=beside:5:1:OSError"
    assert Plan.parse("") == Plan()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", ERRORS)
def test_a_fault_is_one_word(way: str, error: str) -> None:
    fault = Fault(way, 12, 3, error)
    assert str(fault) == f"{way}:12:3:{error}"
    assert Fault.parse(str(fault)) == fault


def test_a_fault_more_leaves_the_plan_as_it_was() -> None:
    one, other = Fault("beside", 1, 1, "OSError"), Fault("instead", 2, 2, "ValueError")
    plan = Plan(5, turns=((1, 1),))
    assert plan.with_fault(one).with_fault(other) == Plan(5, False, ((1, 1),), (one, other))
    assert plan.faults == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed=0 speed=3", "a plan has no 'speed' ('seed=0 speed=3')"),
        ("seed=x", "'x'"),
        ("turn=3", "''"),
        ("fault=aside:1:1:OSError", "way must be one of beside, instead ('aside')"),
        ("fault=beside:1:1:KeyError", "error must be one of GreenletExit, "),
        ("fault=beside:1:OSError", "unpack"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Plan.parse(text)
    assert message in str(refusal.value)


class TestErrors:
    def test_each_is_made_afresh_and_tells_of_the_plan(self) -> None:
        fault = Fault("beside", 5, 2, "OSError")
        error = fault.make_error()
        assert type(error) is OSError
        assert str(error) == "thrown on purpose: beside:5:2:OSError"
        assert fault.make_error() is not error

    def test_a_timeout_is_one_that_never_expires_by_itself(self) -> None:
        error = Fault("beside", 1, 1, "Timeout").make_error()
        assert type(error) is gevent.Timeout
        assert error.seconds is None

    @pytest.mark.parametrize("name", ERRORS)
    def test_each_is_of_the_kind_that_it_is_called(self, name: str) -> None:
        assert type(Fault("beside", 1, 1, name).make_error()).__name__ == name
