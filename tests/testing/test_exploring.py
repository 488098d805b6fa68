"""Plans that leave nothing out: counted by hand on toys."""

from __future__ import annotations

import itertools

import gevent
import pytest

from geventconnpool.testing import (
    Plan,
    Record,
    Simulation,
    play,
    random_plans,
    schedules,
    single_faults,
)


def two_sleepers(sim: Simulation) -> None:
    """Greenlets 1 and 2: one sleeps twice, the other once; all of it is forgiven."""

    def sleeper(times: int) -> None:
        for _ in range(times):
            try:
                gevent.sleep(1)
            except BaseException:
                return

    sim.spawn(sleeper, 2)
    sim.spawn(sleeper, 1)
    sim.sleep(5)


def racers(count: int):
    """So many greenlets, runnable at once; the order in which they ran is what is recorded."""
    orders: list[str] = []

    def scenario(sim: Simulation) -> None:
        log: list[str] = []
        for who in range(count):
            sim.spawn(log.append, str(who))
        sim.sleep(1)
        orders.append("".join(log))

    return scenario, orders


class TestSingleFaults:
    def test_none_is_left_out(self) -> None:
        plans = list(single_faults(two_sleepers, errors=["OSError"]))

        # Both begin, both wake, the first wakes again, the main one wakes; before each step
        # lives who has not ended yet.
        beside = [p.faults[0] for p in plans if p.faults[0].way == "beside"]
        assert [(fault.position, fault.victim) for fault in beside] == [
            (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (4, 2), (5, 1),
        ]  # fmt: skip
        # Woken by a switch: the first twice, the second once.
        instead = [p.faults[0] for p in plans if p.faults[0].way == "instead"]
        assert [(fault.position, fault.victim) for fault in instead] == [(1, 1), (2, 2), (3, 1)]
        assert len(plans) == len(set(plans)) == len(beside) + len(instead)

    def test_each_meets_its_victim(self) -> None:
        for plan in single_faults(two_sleepers, errors=["OSError", "GreenletExit"]):
            record = play(two_sleepers, plan)
            fault = plan.faults[0]
            assert record.failure is None, plan
            assert len(record.struck) == 1, plan
            assert f"met greenlet {fault.victim} " in record.struck[0]

    def test_errors_and_ways_multiply(self) -> None:
        one = len(list(single_faults(two_sleepers, errors=["OSError"], ways=["instead"])))
        assert one == 3
        assert len(list(single_faults(two_sleepers, ways=["instead"]))) == one * 5

    def test_a_scenario_that_fails_by_itself_is_refused(self) -> None:
        def broken(sim: Simulation) -> None:
            raise LookupError("by itself")

        with pytest.raises(LookupError, match="by itself"):
            next(single_faults(broken))


class TestSchedules:
    def test_without_departures_there_is_the_straight_one(self) -> None:
        scenario, orders = racers(3)
        assert [record.plan for record in schedules(scenario, 0)] == [Plan()]
        assert orders == ["012"]

    def test_one_departure(self) -> None:
        """Of three: the first choice has two others, the second one."""
        scenario, orders = racers(3)
        records = list(schedules(scenario, 1))
        assert sorted(orders) == ["012", "021", "102", "201"]
        assert len({record.plan for record in records}) == 4
        assert orders[0] == "012"

    @pytest.mark.parametrize(("count", "all_of_them"), [(2, 2), (3, 6), (4, 24), (5, 120)])
    def test_enough_departures_are_all_orders_each_once(self, count: int, all_of_them: int) -> None:
        scenario, orders = racers(count)
        for record in schedules(scenario, count):
            assert record.failure is None
        every = ["".join(map(str, each)) for each in itertools.permutations(range(count))]
        assert sorted(orders) == sorted(every)
        assert len(orders) == all_of_them

    def test_choices_that_departures_bring_about_are_explored_too(self) -> None:
        """Whoever is third spawns a fourth if it comes first: only then there is one more."""
        seen = set()

        def scenario(sim: Simulation) -> None:
            log: list[str] = []

            def third() -> None:
                if not log:
                    sim.spawn(log.append, "d")
                log.append("c")

            sim.spawn(log.append, "a")
            sim.spawn(log.append, "b")
            sim.spawn(third)
            sim.sleep(1)
            seen.add("".join(log))

        list(schedules(scenario, 4))
        late = {"c" + "".join(each) for each in itertools.permutations("abd")}
        assert late <= seen
        assert seen - late == {"abc", "bac", "acb", "bca"}

    def test_shares_make_up_the_whole(self) -> None:
        scenario, _ = racers(4)
        whole = sorted(str(record.plan) for record in schedules(scenario, 3))
        shared = [
            str(record.plan)
            for share in range(3)
            for record in schedules(scenario, 3, share=share, shares=3)
        ]
        assert sorted(shared) == whole

    def test_a_schedule_is_a_plan_that_can_be_played(self) -> None:
        scenario, orders = racers(4)
        for record in list(schedules(scenario, 2)):
            replayed = play(scenario, Plan.parse(str(record.plan)))
            assert replayed.trace_hash == record.trace_hash
        half = len(orders) // 2
        assert orders[:half] == orders[half:]


class TestRandomPlans:
    @staticmethod
    def survey(seed: int) -> Record:
        return play(two_sleepers, Plan(seed, shuffle=True))

    def test_a_seed_decides_them(self) -> None:
        plans = list(random_plans(self.survey(3), 5))
        assert plans == list(random_plans(self.survey(3), 5))
        assert plans != list(random_plans(self.survey(4), 5))
        assert all(plan.shuffle and plan.seed == 3 and len(plan.faults) == 3 for plan in plans)
        assert len(set(map(str, plans))) > 1

    def test_one_at_most_comes_in_place_of_a_switch(self) -> None:
        ways = [[f.way for f in plan.faults] for plan in random_plans(self.survey(1), 50)]
        assert {each.count("instead") for each in ways} == {0, 1}

    def test_they_throw_what_they_say(self) -> None:
        plans = random_plans(self.survey(5), 20, faults=1)
        assert all(len(play(two_sleepers, plan).struck) == 1 for plan in plans)

    def test_a_scenario_that_fails_by_itself_is_refused(self) -> None:
        def broken(sim: Simulation) -> None:
            raise LookupError("by itself")

        with pytest.raises(LookupError):
            list(random_plans(play(broken), 1))
