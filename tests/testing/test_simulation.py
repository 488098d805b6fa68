"""The simulated world: time, order, ends of the world, and what it tells of them."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import time
import weakref

import gevent
import pytest
from gevent import Greenlet, GreenletExit, getcurrent
from gevent.event import AsyncResult, Event
from gevent.exceptions import LoopExit
from gevent.hub import Hub
from gevent.lock import BoundedSemaphore
from gevent.pool import Pool
from gevent.queue import Queue

from geventconnpool import backoff, clock
from geventconnpool.testing import LivelockError, SimulatedLoop, Simulation


class TestTime:
    def test_sleep_is_exact_and_takes_no_time(self, sim):
        started = time.monotonic()

        sim.sleep(86_400.25)

        assert sim.now == 86_400.25
        assert time.monotonic() - started < 5

    def test_clock_of_the_package_tells_virtual_time(self, sim):
        sim.advance(12.5)

        assert clock.now() == sim.now == gevent.get_hub().loop.now() == 12.5

    def test_clock_can_start_anywhere(self):
        with Simulation(start=1000.0) as sim:
            sim.sleep(1)

            assert sim.now == 1001.0

    def test_sleepers_wake_in_the_order_of_their_times(self, sim):
        log = []
        for seconds in (3, 1, 2):
            gevent.spawn_later(seconds, log.append, seconds)

        sim.advance(10)

        assert log == [1, 2, 3]

    def test_advance_includes_what_is_due_at_its_last_moment(self, sim):
        log = []

        def later():
            gevent.sleep(1)
            sim.spawn(log.append, "child of the last moment")

        sim.spawn(later)
        sim.advance(1)

        assert log == ["child of the last moment"]
        assert sim.now == 1

    def test_advance_leaves_alone_what_comes_later(self, sim):
        log = []
        gevent.spawn_later(1.5, log.append, "late")

        sim.advance(1)
        assert log == []
        sim.advance(0.5)

        assert log == ["late"]

    def test_settle_runs_what_can_run_now_and_passes_no_time(self, sim):
        log = []

        def chain(n):
            log.append(n)
            if n < 5:
                sim.spawn(chain, n + 1)

        sim.spawn(chain, 0)
        gevent.spawn_later(0.001, log.append, "later")
        gevent.get_hub().loop.timer(0).start(log.append, "now")
        sim.settle()

        assert sorted(log, key=str) == [0, 1, 2, 3, 4, 5, "now"]
        assert sim.now == 0

    def test_advance_by_nothing_settles(self, sim):
        log = []
        sim.spawn(log.append, 1)

        sim.advance(0)

        assert (log, sim.now) == ([1], 0)

    def test_timers_of_the_present_are_not_starved_by_callbacks(self, sim):
        def spin():
            while True:
                gevent.sleep(0)

        spinner = sim.spawn(spin)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0):
            spinner.join()


class TestGeventInVirtualTime:
    def test_timeout_fires_on_time(self, sim):
        with pytest.raises(gevent.Timeout), gevent.Timeout(5):
            gevent.sleep(60)

        assert sim.now == 5
        assert sim.timers == []

    def test_what_is_done_in_time_is_not_too_late(self, sim):
        with gevent.Timeout(5):
            gevent.sleep(5)

        assert sim.now == 5

    def test_timeout_of_nothing_fires_and_of_none_never(self, sim):
        with pytest.raises(gevent.Timeout), gevent.Timeout(0):
            gevent.sleep(1)
        with gevent.Timeout(None):
            gevent.sleep(1)

        assert sim.now == 1

    def test_kill_interrupts_a_sleep(self, sim):
        sleeper = sim.spawn(gevent.sleep, 60)
        sim.settle()

        sleeper.kill()

        assert isinstance(sleeper.value, GreenletExit)
        assert sim.now == 0

    def test_greenlet_killed_before_it_began_never_runs(self, sim):
        log = []
        victim = sim.spawn(log.append, 1)

        victim.kill()
        sim.settle()

        assert log == []
        assert victim.dead

    def test_event_wakes_everybody_and_times_out(self, sim):
        event = Event()
        waiters = [sim.spawn(event.wait) for _ in range(3)]
        gevent.spawn_later(2, event.set)

        assert event.wait(1) is False
        assert sim.now == 1
        gevent.joinall(waiters)

        assert sim.now == 2
        assert [w.value for w in waiters] == [True] * 3

    def test_async_result_delivers(self, sim):
        result = AsyncResult()
        gevent.spawn_later(1, result.set, "value")

        assert result.get(timeout=2) == "value"

    def test_joinall_killall_and_links(self, sim):
        log = []
        sleepers = [sim.spawn(gevent.sleep, n) for n in (1, 2, 30)]
        for sleeper in sleepers:
            sleeper.link(lambda g: log.append(sleepers.index(g)))

        done = gevent.joinall(sleepers, timeout=5)
        gevent.killall(sleepers)
        sim.settle()

        assert set(done) == set(sleepers[:2])
        assert log == [0, 1, 2]
        assert sim.now == 5

    def test_pool_queue_and_semaphore_work(self, sim):
        queue, lock = Queue(), BoundedSemaphore(1)

        def work(n):
            with lock:
                gevent.sleep(1)
            queue.put(n)

        pool = Pool(4)
        pool.map(work, range(6))

        assert [queue.get() for _ in range(6)] == list(range(6))
        assert sim.now == 6

    def test_hub_join_returns_when_nothing_is_left(self, sim):
        gevent.spawn_later(3, lambda: None)

        assert gevent.get_hub().join() is True
        assert sim.now == 3

    def test_hub_join_gives_up_in_time(self, sim):
        gevent.spawn_later(30, lambda: None)

        assert gevent.get_hub().join(timeout=2) is False
        assert sim.now == 2

    def test_iwait_and_idle(self, sim):
        sleepers = [sim.spawn(gevent.sleep, n) for n in (2, 1)]

        assert [sleepers.index(g) for g in gevent.iwait(sleepers)] == [1, 0]
        gevent.idle(priority=1)

    def test_raw_greenlets_run(self, sim):
        log = []

        gevent.spawn_raw(log.append, 1)
        sim.settle()

        assert log == [1]


class TestEndsOfTheWorld:
    def test_deadlock_raises_in_the_main_greenlet_and_shows_who_waits(self, sim):
        event = Event()

        def wait_in_vain():
            event.wait()

        sim.spawn(wait_in_vain)
        with pytest.raises(LoopExit) as caught:
            event.wait()

        assert "wait_in_vain" in repr(caught.value)
        assert f"{__file__}" in repr(caught.value)
        assert "greenlet 1" in repr(caught.value)

    def test_life_goes_on_after_a_deadlock(self, sim):
        with pytest.raises(LoopExit):
            Event().wait()

        sim.sleep(1)

        assert sim.now == 1

    def test_livelock_in_one_moment(self):
        with Simulation(seed=3, max_steps_at_once=1000) as sim:

            def spin_for_ever():
                while True:
                    gevent.sleep(0)

            sim.spawn(spin_for_ever)
            with pytest.raises(LivelockError, match="spin_for_ever") as caught:
                sim.sleep(1)

            assert "after 1000 steps, at 0.0" in str(caught.value)
        assert len(sim.leftovers) == 1

    def test_livelock_over_all_time(self):
        with Simulation(max_steps=500) as sim:

            def tick():
                while True:
                    gevent.sleep(1)

            ticker = sim.spawn(tick)
            with pytest.raises(LivelockError):
                ticker.join()

            sim.advance(100)
            assert 500 < sim.steps < 1000

    def test_many_steps_are_no_livelock_while_time_passes(self):
        with Simulation(max_steps_at_once=20) as sim:
            for _ in range(100):
                sim.sleep(1)

    def test_system_error_in_a_greenlet_reaches_the_main_one(self, sim):
        def stop():
            raise SystemExit(3)

        sim.spawn(stop)
        with pytest.raises(SystemExit):
            sim.sleep(1)


class TestErrors:
    @pytest.mark.expects_errors
    def test_errors_are_collected_not_printed(self, sim, capfd):
        error = ValueError("of a greenlet")

        def fail():
            raise error

        sim.spawn(fail)
        sim.loop.run_callback(int, "of a callback")
        sim.settle()

        assert sim.errors[0] is error
        assert isinstance(sim.errors[1], ValueError)
        assert "test_simulation.py" in sim.report()
        assert capfd.readouterr().err == ""

    def test_a_kill_is_no_error(self, sim):
        victim = sim.spawn(gevent.sleep, 1)
        sim.settle()
        victim.kill()

        assert sim.errors == []

    def test_cleared_errors_are_forgiven(self, sim):
        sim.spawn(int, "x")
        sim.settle()

        sim.errors.clear()

    def test_errors_that_nobody_looked_at_are_printed(self, capsys):
        with Simulation(seed=77) as sim:
            sim.spawn(int, "x")
            sim.settle()

        printed = capsys.readouterr().err
        assert "seed=77" in printed
        assert "invalid literal for int()" in printed

    @pytest.mark.expects_errors
    def test_an_error_without_an_instance_is_made_one(self, sim):
        gevent.get_hub().handle_error("a test", ValueError, None, None)

        assert isinstance(sim.errors[0], ValueError)


class TestSeeds:
    def run(self, seed, shuffle=True):
        with Simulation(seed=seed, shuffle=shuffle) as sim:
            order = []

            def work(n):
                for _ in range(5):
                    gevent.sleep(0)
                    order.append(n)
                    gevent.sleep(backoff.uniform(0, 1) + random.random() + sim.random.random())

            for n in range(8):
                sim.spawn(work, n)
            sim.advance(100)
            return sim.trace_hash, order, sim.steps

    def test_same_seed_same_run(self):
        assert self.run(1) == self.run(1)

    def test_different_seed_different_run(self):
        assert self.run(1)[0] != self.run(2)[0]

    def test_same_seed_same_hash_in_another_process(self):
        script = (
            "import sys, gevent; from geventconnpool.testing import Simulation\n"
            "with Simulation(seed=5, shuffle=True) as sim:\n"
            "    gs = [sim.spawn(gevent.sleep, sim.random.random()) for _ in range(20)]\n"
            "    gevent.joinall(gs)\n"
            "print(sim.trace_hash)\n"
        )

        runs = [subprocess.check_output([sys.executable, "-c", script]) for _ in range(2)]

        assert runs[0] == runs[1]
        assert len(runs[0].strip()) == 16

    def test_order_is_first_in_first_out_by_default(self, sim):
        order = []
        for n in range(20):
            sim.spawn(order.append, n)

        sim.settle()

        assert order == list(range(20))

    def test_shuffled_order_is_another(self):
        with Simulation(shuffle=True) as sim:
            order = []
            for n in range(20):
                sim.spawn(order.append, n)
            sim.settle()

        assert order != sorted(order)
        assert sorted(order) == list(range(20))

    def test_order_can_be_chosen(self):
        with Simulation(choose=lambda runnable: runnable - 1) as sim:
            order = []
            for n in range(5):
                sim.spawn(order.append, n)
            sim.settle()

        assert order == [4, 3, 2, 1, 0]

    def test_hash_tells_who_was_woken(self):
        def run(first):
            with Simulation() as sim:
                events = [Event(), Event()]
                waiters = [sim.spawn(e.wait) for e in events]
                sim.settle()
                sim.loop.run_callback(waiters[first].throw, GreenletExit)
                sim.settle()
                return sim.trace_hash

        assert run(0) == run(0)
        assert run(0) != run(1)

    def test_global_randomness_is_put_back(self):
        random.seed(42)
        expected = random.random()

        random.seed(42)
        with Simulation():
            inside = random.random()
        after = random.random()

        assert after == expected
        assert inside != expected

    @pytest.mark.simulation(seed=11, shuffle=True)
    def test_marker_sets_the_options_of_the_fixture(self, sim):
        assert sim.seed == 11
        assert sim.loop.choose is not None


class TestInjection:
    def test_victim_can_be_hit_at_any_step(self):
        ends = []
        for step in range(1, 12):
            with Simulation() as sim:
                log = []

                def work(log=log):
                    try:
                        for _ in range(3):
                            gevent.sleep(1)
                    except gevent.Timeout:
                        log.append("hit")
                        raise
                    log.append("done")

                victim = sim.spawn(work)

                def inject(loop, step=step, victim=victim):
                    if loop.steps == step and not victim.ready():
                        victim.throw(gevent.Timeout)

                sim.inject = inject
                sim.advance(10)
                assert sim.inject is inject
                assert not sim.alive()
                ends.append((log, len(sim.errors)))

        assert ends[0] == ([], 1)  # hit before it began
        assert ends.count((["hit"], 1)) == 3  # asleep for the first, second, third time
        assert ends[-1] == (["done"], 0)

    def test_each_step_is_announced_once_with_its_number(self, sim):
        announced = []
        sim.inject = lambda loop: announced.append(loop.steps)
        for n in range(5):
            gevent.spawn_later(n, gevent.sleep, 0)
        sim.advance(10)

        assert announced == list(range(1, sim.steps + 1))

    def test_pending_wake_up_of_the_victim_stays(self, sim):
        log = []

        def sleeper():
            try:
                gevent.sleep(0)
            except ValueError:
                log.append("hit")
            gevent.sleep(1)
            log.append("woken")

        victim = sim.spawn(sleeper)
        fired = []

        def inject(loop):
            if loop.steps == 2 and not fired:
                fired.append(True)
                victim.throw(ValueError)

        sim.inject = inject
        sim.advance(5)

        assert log == ["hit", "woken"]

    def test_step_that_the_fault_called_off_does_not_run(self, sim):
        log = []
        step = sim.loop.run_callback(log.append, 1)
        sim.inject = lambda loop: step.stop()

        sim.settle()

        assert log == []

    @pytest.mark.expects_errors
    def test_error_in_the_hook_is_an_error(self, sim):
        def inject(loop):
            sim.inject = None
            raise ValueError("in the hook")

        sim.inject = inject
        sim.settle()

        assert str(sim.errors[0]) == "in the hook"

    def test_main_greenlet_can_be_a_victim(self, sim):
        main = gevent.getcurrent()

        def inject(loop):
            sim.inject = None
            main.throw(KeyboardInterrupt)

        sim.inject = inject
        with pytest.raises(KeyboardInterrupt):
            sim.sleep(1)
        sim.settle()


class TestLooking:
    def test_observers_look_before_each_step_and_before_faults(self, sim):
        seen = []
        sim.observe(lambda: seen.append("look"))
        sim.inject = lambda loop: seen.append("inject")

        sim.advance(1)

        assert seen[:4] == ["look", "inject"] * 2

    def test_an_observer_that_fails_is_an_error(self):
        with Simulation() as sim:
            error = AssertionError("seen")

            def look():
                sim.loop.observers.clear()
                raise error

            sim.observe(look)
            sim.advance(1)
            assert sim.errors == [error]

    def test_switches_are_traced_in_the_greenlet_switched_to(self, sim):
        seen = []
        sim.trace_switches(lambda origin, target: seen.append(getcurrent() is target))

        sim.spawn(gevent.sleep, 1)
        sim.advance(2)

        assert len(seen) > 3
        assert all(seen)

    def test_what_the_tracer_raises_comes_in_place_of_the_switch(self, sim):
        def sleep():
            try:
                gevent.sleep(1)
            except ValueError as error:
                return sim.now, str(error)
            return None

        sleeper = sim.spawn(sleep)
        sim.settle()

        def look(origin, target):
            if target is sleeper:
                raise ValueError("instead")

        sim.trace_switches(look)
        sim.advance(2)

        assert sleeper.value == (1.0, "instead")

    def test_when_it_has_calmed_down_nothing_is_thrown_traced_or_shuffled(self):
        with Simulation(seed=5, shuffle=True) as sim:
            seen = []
            sim.inject = lambda loop: seen.append("inject")
            sim.trace_switches(lambda origin, target: seen.append("switch"))

            sim.calm_down()
            order = []
            for number in range(20):
                sim.spawn(order.append, number)
            sim.advance(1)

            assert seen == []
            assert order == list(range(20))

    def test_a_greenlet_is_found_by_its_number_while_it_lives(self, sim):
        sleeper = sim.spawn(gevent.sleep, 1)
        number = sim.number(sleeper)

        assert sim.find(number) is sleeper
        assert sim.describe(sleeper) == f"{number} sleep not begun"
        sim.advance(2)
        assert sim.find(number) is None


class TestGreenlets:
    def test_everything_spawned_is_known_by_number(self, sim):
        first = sim.spawn(gevent.sleep, 1)
        second = Greenlet.spawn_later(1, gevent.sleep, 1)

        assert sim.alive() == [first, second]
        assert set(sim.greenlets) == {first, second}
        assert [sim.number(g) for g in (gevent.getcurrent(), first, second)] == [0, 1, 2]

    def test_greenlets_are_held_weakly(self, sim):
        gone = weakref.ref(sim.spawn(gevent.sleep, 1))

        sim.advance(2)
        gc.collect()

        assert gone() is None
        assert len(sim.greenlets) == 0

    def test_blocked_says_where(self, sim):
        def task():
            gevent.sleep(10)

        sim.spawn(task)
        assert sim.blocked() == [
            "greenlet 1 TestGreenlets.test_blocked_says_where.<locals>.task not begun"
        ]
        sim.settle()

        assert f"{__file__}:" in sim.blocked()[0]
        assert sim.blocked()[0].endswith(" in task")

    def test_blocked_in_nothing_but_gevent_says_that(self, sim):
        sim.spawn(gevent.sleep, 10)
        sim.settle()

        assert "/gevent/" in sim.blocked()[0]

    def test_active_timers_are_seen(self, sim):
        sim.spawn(gevent.sleep, 10)
        timeout = gevent.Timeout.start_new(5)
        sim.settle()

        assert [timer.due for timer in sim.timers] == [5, 10]
        timeout.close()
        assert [timer.due for timer in sim.timers] == [10]

    def test_greenlets_of_other_hubs_are_not_its_business(self):
        with Simulation() as outer:
            with Simulation() as inner:
                stranger = inner.spawn(gevent.sleep, 1)

            assert set(outer.greenlets) == set()
            assert set(inner.greenlets) == {stranger}


class TestComingAndGoing:
    def test_everything_is_put_back(self):
        hub, now = gevent.get_hub(), clock._source

        with Simulation(), pytest.raises(ZeroDivisionError), Simulation():
            raise ZeroDivisionError

        assert gevent.get_hub() is hub
        assert clock._source is now
        gevent.sleep(0)

    def test_works_where_there_was_no_hub(self):
        log = []

        def run():
            with Simulation() as sim:
                sim.sleep(1)
                log.append(sim.now)
            log.append(gevent._hub_local.get_hub_if_exists())

        gevent.get_hub().threadpool.apply(run)

        assert log[0] == 1
        assert log[1] is None or isinstance(log[1], Hub)

    def test_works_inside_a_greenlet(self):
        def run():
            with Simulation() as sim:
                sim.sleep(1)
                with pytest.raises(LoopExit):
                    Event().wait()
                return sim.now

        assert gevent.spawn(run).get() == 1

    def test_can_be_entered_once(self):
        sim = Simulation()
        with sim:
            pass

        with pytest.raises(RuntimeError, match="once"):
            sim.__enter__()

    def test_leftovers_are_killed_and_named(self):
        log = []

        def linger():
            try:
                Event().wait()
            finally:
                gevent.sleep(1)
                log.append("cleaned up")

        with Simulation() as sim:
            sim.spawn(linger)
            sim.settle()

        assert log == ["cleaned up"]
        assert len(sim.leftovers) == 1
        assert "linger" in sim.leftovers[0]
        assert sim.alive() == []

    def test_leftovers_that_will_not_die_are_abandoned(self):
        def immortal():
            while True:
                try:
                    Event().wait()
                except GreenletExit:
                    pass

        with Simulation() as sim:
            sim.spawn(immortal)
            sim.settle()

        assert len(sim.leftovers) == 1
        assert len(sim.alive()) == 1

    def test_leftovers_that_spin_are_abandoned(self):
        def spin():
            while True:
                try:
                    gevent.sleep(0)
                except GreenletExit:
                    pass

        with Simulation(max_steps_at_once=100) as sim:
            sim.spawn(spin)
            gevent.sleep(0)

        assert len(sim.leftovers) == 1

    def test_dead_hub_is_no_obstacle(self):
        with pytest.raises(IndexError), Simulation(choose=lambda n: n) as sim:
            sim.spawn(gevent.sleep, 1)
            sim.spawn(gevent.sleep, 1)
            sim.settle()

        assert len(sim.leftovers) == 2

    def test_timers_of_a_simulation_that_is_over_are_closed(self):
        with Simulation() as sim:
            timer = sim.loop.timer(10)
            timer.start(print)

        assert not timer.active
        timer.stop()
        assert sim.timers == []

    def test_failure_tells_the_seed(self, capsys):
        with pytest.raises(ZeroDivisionError) as caught, Simulation(seed=4711):
            raise ZeroDivisionError

        told = [*getattr(caught.value, "__notes__", ()), capsys.readouterr().err]
        assert "seed=4711" in "".join(told)

    def test_repr_is_a_picture(self, sim):
        sim.spawn(gevent.sleep, 10)
        sim.advance(2)

        assert repr(sim) == f"<Simulation seed=0: now 2.000000, {sim.steps} steps, " + (
            "1 greenlets, 0 errors>"
        )
        assert "simulated now=2.000000" in repr(gevent.get_hub())

    @pytest.mark.slow
    def test_a_day_passes_quickly(self):
        with Simulation(max_steps=10**7) as sim:

            def tick():
                while True:
                    gevent.sleep(1)

            sim.spawn(tick)
            sim.advance(86_400)

            assert sim.now == 86_400
            assert sim.steps > 86_400

    def test_the_world_can_be_any_loop_for_gevent(self):
        loop = SimulatedLoop(start=5)

        assert loop.now() == 5
        loop.run()
