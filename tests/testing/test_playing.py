"""Playing a plan: faults hit whom they name, where they say; nothing else is forgiven."""

from __future__ import annotations

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event as Signal

from geventconnpool.testing import Fault, Plan, Record, Simulation, play
from geventconnpool.testing.plans import ERRORS


class Sleepers:
    """A scenario: greenlets 1 and 2 sleep until 1.0 and 2.0, and note what they get."""

    def __init__(self, *, forgiving: bool = True) -> None:
        self.forgiving = forgiving
        self.log: list[object] = []

    def __call__(self, sim: Simulation) -> None:
        self.log.clear()
        for who in (1, 2):
            sim.spawn(self.sleep, sim, who)
        sim.sleep(5)

    def sleep(self, sim: Simulation, who: int) -> None:
        try:
            gevent.sleep(who)
        except BaseException as error:
            self.log.append((who, type(error).__name__, sim.now))
            if not self.forgiving:
                raise
        else:
            self.log.append((who, "slept", sim.now))

    def play(self, *faults: Fault) -> Record:
        return play(self, Plan(faults=faults))


class TestSurvey:
    def test_it_tells_who_lives_at_each_step_and_whom_each_switch_goes_to(self) -> None:
        record = play(Sleepers())
        assert record.failure is None
        # 1 and 2 begin, 1 wakes, 2 wakes, the main one wakes
        assert record.crowds == [(1, 2), (1, 2), (1, 2), (2,), ()]
        assert record.switches == [1, 2]
        assert record.steps == 5
        assert record.seconds == 5.0
        assert record.struck == []

    def test_choices_are_counted_where_there_is_one(self) -> None:
        assert play(Sleepers()).choices == [2]


class TestBeside:
    @pytest.mark.parametrize("error", ERRORS)
    def test_it_is_thrown_before_that_step(self, error: str) -> None:
        scenario = Sleepers()
        record = scenario.play(Fault("beside", 3, 2, error))
        assert scenario.log == [(2, error, 1.0), (1, "slept", 1.0)]
        assert record.failure is None

    def test_a_wake_up_on_its_way_stays_there(self) -> None:
        woken: list[object] = []

        def scenario(sim: Simulation) -> None:
            signal = Signal()

            def wait_twice() -> None:
                for _ in range(2):
                    try:
                        gevent.get_hub().switch()
                    except OSError:
                        woken.append("error")
                    else:
                        woken.append("woken")

            waiting = sim.spawn(wait_twice)
            sim.settle()
            sim.loop.run_callback(waiting.switch)
            sim.settle()
            signal.set()

        survey = play(scenario, Plan(faults=(Fault("beside", 3, 1, "OSError"),)))
        assert survey.failure is None
        assert woken == ["error", "woken"]

    def test_one_that_has_not_begun_never_does(self) -> None:
        scenario = Sleepers()
        record = scenario.play(Fault("beside", 1, 2, "OSError"))
        assert scenario.log == [(1, "slept", 1.0)]
        assert "(not begun)" in record.struck[0]
        assert record.failure is None

    def test_the_stack_is_the_victims(self) -> None:
        record = Sleepers().play(Fault("beside", 3, 2, "OSError"))
        assert record.struck[0].startswith("fault beside:3:2:OSError met greenlet 2 Sleepers.sleep")
        assert "gevent.sleep(who)" in record.struck[0]

    def test_whoever_is_gone_is_not_met(self) -> None:
        scenario = Sleepers()
        record = scenario.play(Fault("beside", 4, 1, "OSError"))
        assert record.struck == []
        assert record.failure is None


class TestInstead:
    def test_it_is_raised_where_the_victim_goes_on(self) -> None:
        scenario = Sleepers()
        record = scenario.play(Fault("instead", 2, 2, "OSError"))
        assert scenario.log == [(1, "slept", 1.0), (2, "OSError", 2.0)]
        assert record.failure is None
        assert record.struck[0].startswith("fault instead:2:2:OSError met greenlet 2")

    def test_the_first_switch_counts_from_one(self) -> None:
        scenario = Sleepers()
        scenario.play(Fault("instead", 1, 1, "GreenletExit"))
        assert scenario.log == [(1, "GreenletExit", 1.0), (2, "slept", 2.0)]


class TestFailures:
    def test_what_was_thrown_may_kill(self) -> None:
        scenario = Sleepers(forgiving=False)
        for fault in (Fault("beside", 3, 2, "OSError"), Fault("instead", 2, 2, "BaseException")):
            assert scenario.play(fault).failure is None

    def test_what_was_not_thrown_may_not(self) -> None:
        def scenario(sim: Simulation) -> None:
            sim.spawn(int, "not a number")
            sim.sleep(1)

        record = play(scenario)
        assert isinstance(record.failure, ValueError)

    def test_nor_may_another_of_the_same_kind(self) -> None:
        def scenario(sim: Simulation) -> None:
            def fail() -> None:
                try:
                    gevent.sleep(1)
                except OSError:
                    raise OSError("another") from None

            sim.spawn(fail)
            sim.sleep(2)

        record = play(scenario, Plan(faults=(Fault("beside", 2, 1, "OSError"),)))
        assert str(record.failure) == "another"

    def test_what_dies_while_the_rest_is_ended_counts(self) -> None:
        def scenario(sim: Simulation) -> None:
            def fail_when_killed() -> None:
                try:
                    gevent.sleep(100)
                except GreenletExit:
                    raise LookupError("at the end") from None

            sim.spawn(fail_when_killed)
            sim.sleep(1)

        assert str(play(scenario).failure) == "at the end"

    def test_a_scenario_that_raises_has_failed(self) -> None:
        def scenario(sim: Simulation) -> None:
            raise AssertionError("something is wrong")

        assert str(play(scenario).failure) == "something is wrong"

    def test_a_deadlock_is_one(self) -> None:
        record = play(lambda sim: gevent.get_hub().switch())
        assert "would block forever" in str(record.failure)


class TestReplay:
    PLANS = (
        Plan(),
        Plan(3, shuffle=True),
        Plan(turns=((0, 1),)),
        Plan(faults=(Fault("beside", 3, 2, "OSError"),)),
    )

    @pytest.mark.parametrize("plan", PLANS, ids=str)
    def test_the_same_plan_gives_the_same_run(self, plan: Plan) -> None:
        one, other = play(Sleepers(), plan), play(Sleepers(), Plan.parse(str(plan)))
        assert (one.trace_hash, one.steps, one.struck) == (
            other.trace_hash, other.steps, other.struck,
        )  # fmt: skip

    def test_another_plan_gives_another(self) -> None:
        straight, turned, struck = (play(Sleepers(), self.PLANS[i]).trace_hash for i in (0, 2, 3))
        assert len({straight, turned, struck}) == 3

    def test_a_turn_departs_from_the_order(self) -> None:
        log: list[str] = []

        def scenario(sim: Simulation) -> None:
            for name in "abc":
                sim.spawn(log.append, name)
            sim.sleep(1)

        play(scenario, Plan(turns=((0, 2), (1, 1))))
        assert log == ["c", "b", "a"]

    def test_the_report_tells_how(self) -> None:
        def scenario(sim: Simulation) -> None:
            raise AssertionError("something is wrong")

        record = play(scenario, Plan(9))
        lines = record.report("toy", "replay-it").splitlines()
        assert lines[0] == f"scenario toy, seed=9, 0 steps, trace {record.trace_hash}"
        assert "AssertionError: something is wrong" in lines
        assert lines[-1] == "replay: replay-it 'toy seed=9'"
