"""The simulated loop, watcher by watcher; where it can be, beside the real one."""

from __future__ import annotations

import gevent
import gevent.event
import gevent.socket
import pytest

from geventconnpool.testing import SimulatedLoop, Simulation


def on_real_loop(scenario):
    log = []
    scenario(gevent.get_hub().loop, log, gevent.sleep)
    return log


def on_simulated_loop(scenario):
    with Simulation() as sim:
        log = []
        scenario(sim.loop, log, gevent.sleep)
        return log


def started_twice(loop, log, sleep):
    with loop.timer(0.01) as timer:
        timer.start(log.append, "first")
        timer.start(log.append, "second")
        log.append((timer.active, timer.pending))
        sleep(0.03)
        log.append((timer.active, timer.pending, timer.callback, timer.args))


def started_again(loop, log, sleep):
    with loop.timer(0.01) as timer:
        for n in range(3):
            timer.start(log.append, n, update=True)
            sleep(0.03)


def again_without_repeat(loop, log, sleep):
    with loop.timer(0.01) as timer:
        timer.again(log.append, "never")
        log.append(timer.active)
        timer.start(log.append, "stopped")
        timer.again(log.append, "never")
        log.append(timer.active)
        sleep(0.03)


def again_with_repeat(loop, log, sleep):
    with loop.timer(10, 0.02) as timer:
        timer.again(log.append, "tick", update=True)
        sleep(0.07)
        log.append(timer.active)
        timer.stop()
        log.append((timer.active, timer.callback))
        sleep(0.03)


def one_stops_the_other(loop, log, sleep):
    with loop.timer(0.01) as first, loop.timer(0.01) as second:

        def stop_both(name):
            log.append(name)
            first.stop()
            second.stop()

        first.start(stop_both, "one of them")
        second.start(stop_both, "one of them")
        sleep(0.03)


def priority_decides(loop, log, sleep):
    with loop.timer(0.01, priority=-1) as low, loop.timer(0.01, priority=1) as high:
        low.start(log.append, "low")
        high.start(log.append, "high")
        sleep(0.03)


def callbacks(loop, log, sleep):
    first = loop.run_callback(log.append, 1)
    log.append((bool(first), first.pending, first.args))
    stopped = loop.run_callback(log.append, "stopped")
    stopped.stop()
    log.append((bool(stopped), stopped.pending))
    running = loop.run_callback(lambda: log.append((bool(running), running.pending)))
    sleep(0.001)
    log.append((bool(first), first.pending, first.callback, bool(running)))


def reference_is_settable(loop, log, sleep):
    with loop.timer(5, ref=False) as timer:
        log.append(timer.ref)
        timer.ref = True
        log.append(timer.ref)
        timer.start(log.append)
        timer.ref = False
        log.append(timer.ref)


def async_watcher(loop, log, sleep):
    with loop.async_() as watcher:
        watcher.start(log.append, "sent")
        watcher.send()
        sleep(0.01)
        watcher.send_ignoring_arg(object())
        sleep(0.01)


def idle_watcher(loop, log, sleep):
    with loop.idle() as watcher:
        watcher.start(lambda: (log.append("idle"), watcher.stop()))
        loop.run_callback(log.append, "busy")
        sleep(0.01)


@pytest.mark.parametrize(
    "scenario",
    [
        started_twice,
        started_again,
        again_without_repeat,
        again_with_repeat,
        one_stops_the_other,
        priority_decides,
        callbacks,
        reference_is_settable,
        async_watcher,
        idle_watcher,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_behaves_like_the_real_loop(scenario):
    assert on_simulated_loop(scenario) == on_real_loop(scenario)


@pytest.mark.parametrize("loop", [None, SimulatedLoop()], ids=["real", "simulated"])
class TestMistakes:
    @pytest.fixture(autouse=True)
    def take_loop(self, loop):
        self.loop = loop or gevent.get_hub().loop

    @pytest.mark.parametrize("callback", [None, 3])
    def test_callback_must_be_callable(self, callback):
        with self.loop.timer(1) as timer, pytest.raises(TypeError, match="callable"):
            timer.start(callback)

    def test_repeat_must_not_be_negative(self):
        with pytest.raises(ValueError, match="repeat must be positive or zero"):
            self.loop.timer(1, -1)

    def test_descriptor_must_not_be_negative(self):
        with pytest.raises(ValueError, match="fd must be non-negative"):
            self.loop.io(-1, 1)

    def test_events_must_be_known(self):
        with pytest.raises(ValueError, match="illegal event mask"):
            self.loop.io(0, 8)

    def test_priority_is_fixed_while_active(self):
        with self.loop.timer(1) as timer:
            timer.priority = 1
            timer.start(print)
            with pytest.raises(AttributeError, match="priority of an active watcher"):
                timer.priority = 2
            assert timer.priority == 1


class TestTimers:
    def test_due_together_fire_in_start_order(self, sim):
        log = []
        timers = [sim.loop.timer(5) for _ in range(10)]
        for timer in reversed(timers):
            timer.start(log.append, timers.index(timer))

        sim.advance(5)

        assert log == list(range(9, -1, -1))

    def test_unreferenced_one_does_not_keep_the_loop_alive(self, sim):
        log = []
        sim.loop.timer(1, ref=False).start(log.append, "fired")

        with pytest.raises(gevent.exceptions.LoopExit):
            gevent.event.Event().wait()

        assert log == []
        assert sim.now == 0

    def test_unreferenced_one_fires_while_something_else_goes_on(self, sim):
        log = []
        sim.loop.timer(1, ref=False).start(lambda: log.append(sim.now))

        sim.sleep(2)

        assert log == [1]

    def test_reference_can_change_while_active(self, sim):
        timer = sim.loop.timer(1, ref=False)
        timer.start(lambda: None)
        timer.ref = True

        assert gevent.get_hub().join() is True
        assert sim.now == 1

        timer.start(lambda: None)
        timer.ref = False
        timer.ref = False
        assert gevent.get_hub().join() is True
        assert sim.now == 1

    def test_repeats_without_drift_until_stopped(self, sim):
        times = []
        timer = sim.loop.timer(3, 2)
        timer.start(lambda: times.append(sim.now))

        sim.advance(9)
        timer.stop()
        sim.advance(9)

        assert times == [3, 5, 7, 9]

    def test_stopped_between_due_and_run(self, sim):
        log = []
        victim = sim.loop.timer(1)
        sim.loop.timer(1).start(victim.stop)
        victim.start(log.append, "fired")

        sim.advance(2)

        assert log == []

    def test_restarted_between_due_and_run_fires_once(self, sim):
        log = []
        victim = sim.loop.timer(1)

        def restart():
            assert victim.pending
            assert not victim.active
            victim.start(lambda: log.append(sim.now))

        sim.loop.timer(1).start(restart)
        victim.start(log.append, "old")
        sim.advance(5)

        assert log == [2]

    def test_restarted_by_its_own_callback(self, sim):
        times = []
        timer = sim.loop.timer(1)

        def again():
            times.append(sim.now)
            if len(times) < 3:
                timer.start(again)

        timer.start(again)
        sim.advance(10)

        assert times == [1, 2, 3]

    def test_closed_one_cannot_be_started(self, sim):
        timer = sim.loop.timer(1)
        timer.close()

        with pytest.raises(ValueError, match="closed timer"):
            timer.start(print)

    def test_time_that_is_over_is_now(self, sim):
        log = []
        sim.sleep(5)
        sim.loop.timer(-3).start(lambda: log.append(sim.now))

        sim.settle()

        assert log == [5]

    def test_stopped_ones_take_no_room(self, sim):
        for _ in range(10_000):
            timer = sim.loop.timer(3600)
            timer.start(print)
            timer.stop()

        assert len(sim.loop.timers) == 0
        assert len(sim.loop.timers._heap) < 200

    def test_stopped_one_is_passed_over_among_others(self, sim):
        log = []
        first, second = sim.loop.timer(1), sim.loop.timer(1)
        first.start(log.append, 1)
        second.start(log.append, 2)
        second.stop()

        sim.advance(1)

        assert log == [1]

    def test_repr_is_a_picture(self, sim):
        timer = sim.loop.timer(3600, ref=False)
        assert "timer watcher stopped ref=False" in repr(timer)

        timer.start(print)

        assert "timer watcher due 3600.000000 active" in repr(timer)
        assert "timer: " in "\n".join(sim.loop.debug())


class TestDescriptors:
    def test_never_ready_by_itself(self, sim):
        log = []
        sim.loop.io(5, 1).start(log.append, "ready")

        sim.advance(3600)

        assert log == []

    def test_fired_by_the_test(self, sim):
        log = []
        reader, writer, other = sim.loop.io(5, 1), sim.loop.io(5, 2), sim.loop.io(6, 1)
        reader.start(log.append, "readable")
        writer.start(lambda *args: log.append(args), "writable", pass_events=True)
        other.start(log.append, "other")

        assert sim.loop.fire_io(5, 3) == 2
        sim.settle()
        assert log == ["readable", (2, "writable")]

        assert sim.loop.fire_io(5) == 1
        assert sim.loop.fire_io(7) == 0
        reader.stop()
        assert sim.loop.fire_io(5, 1) == 0
        sim.settle()
        assert log == ["readable", (2, "writable")]

    def test_fired_twice_before_anybody_looks_is_once(self, sim):
        log = []
        sim.loop.io(5, 1).start(log.append, "ready")

        sim.loop.fire_io(5)
        sim.loop.fire_io(5)
        sim.settle()

        assert log == ["ready"]

    def test_fired_by_its_own_callback_is_once_more(self, sim):
        log = []

        def again():
            log.append("ready")
            if len(log) < 3:
                sim.loop.fire_io(5)

        sim.loop.io(5, 1).start(again)
        sim.loop.fire_io(5)
        sim.settle()

        assert log == ["ready"] * 3

    def test_wait_on_a_descriptor(self, sim):
        waiter = sim.spawn(gevent.socket.wait_read, 5, 10)
        sim.settle()
        assert "fd=5 events=1" in "\n".join(sim.loop.debug())

        sim.loop.fire_io(5)
        waiter.get()

        assert sim.now == 0

    def test_wait_that_is_cancelled(self, sim):
        io = sim.loop.io(5, 1)
        waiter = sim.spawn(gevent.get_hub().wait, io)
        sim.settle()

        gevent.get_hub().cancel_wait(io, OSError("cancelled"), close_watcher=True)
        sim.settle()

        assert str(waiter.exception) == "cancelled"
        assert [str(e) for e in sim.errors] == ["cancelled"]
        sim.errors.clear()


class TestOtherWatchers:
    @pytest.mark.parametrize("kind", ["prepare", "check", "fork"])
    def test_fires_when_told(self, sim, kind):
        log = []
        watcher = getattr(sim.loop, kind)(ref=False)
        assert watcher.fire() is False

        watcher.start(log.append, kind)
        assert watcher.active
        assert not watcher.ref
        watcher.ref = True
        assert watcher.ref
        assert watcher.fire() is True
        sim.advance(1)

        assert log == [kind]
        assert watcher.active
        watcher.close()
        assert not watcher.active

    def test_signals_children_and_files_never_come(self, sim):
        watchers = [sim.loop.signal(2), sim.loop.child(4711), sim.loop.stat("/nowhere")]
        for watcher in watchers:
            watcher.start(print)

        sim.advance(1)

        assert [w.active for w in watchers] == [True] * 3
        assert (watchers[1].pid, watchers[1].rpid, watchers[1].rstatus) == (4711, None, 0)
        assert "signal 2" in repr(watchers[0])
        assert sim.loop.activecnt == 3


class TestLoop:
    def test_runs_what_is_runnable_without_waiting(self):
        loop, log = SimulatedLoop(), []
        loop.run_callback(log.append, 1)
        loop.timer(1).start(log.append, 2)

        loop.run(nowait=True)
        assert (log, loop.now()) == ([1], 0)
        loop.run(once=True)

        assert (log, loop.now()) == ([1, 2], 1)

    def test_callback_must_be_callable(self):
        with pytest.raises(TypeError, match="callable"):
            SimulatedLoop().run_callback(None)

    def test_without_a_hub_errors_come_out(self):
        loop = SimulatedLoop()
        loop.run_callback(int, "x")

        with pytest.raises(ValueError, match="invalid literal"):
            loop.run()

    def test_without_a_hub_a_livelock_comes_out(self):
        loop = SimulatedLoop(max_steps_at_once=10)

        def spin():
            loop.run_callback(spin)

        spin()
        with pytest.raises(RuntimeError, match="no end in sight after 10 steps"):
            loop.run()

    def test_repr_of_a_callback_tells_its_state(self):
        loop, log = SimulatedLoop(), []
        callback = loop.run_callback(lambda: log.append(repr(callback)))
        assert " pending " in repr(callback)

        loop.run()

        assert " running " in log[0]
        assert " stopped " in repr(callback)

    def test_what_else_gevent_may_call_does_nothing(self):
        loop = SimulatedLoop()

        assert loop.fileno() is None
        assert loop.closing_fd(1) is False
        for call in ("ref", "unref", "reinit", "install_sigchld", "reset_sigchld", "break_"):
            getattr(loop, call)()
        loop.update()
        assert (loop.activecnt, loop.pendingcnt) == (0, 0)
        loop.handle_error(None, None, None, None)

    def test_destroyed_loop_runs_nothing(self):
        loop, log = SimulatedLoop(), []
        loop.run_callback(log.append, 1)
        timer = loop.timer(1)
        timer.start(log.append, 2)
        loop.idle().start(log.append, 3)
        loop.io(1, 1).start(log.append, 4)

        loop.destroy()
        loop.run()

        assert log == []
        assert not timer.active
