"""``retry`` and its budget. Time and pauses are simulated; nothing here waits."""

from __future__ import annotations

import functools
import gc
import inspect
import logging
import math
import random
import re
import weakref

import gevent
import pytest

from geventconnpool import clock, retries
from geventconnpool.backoff import Backoff
from geventconnpool.retries import RetryBudget, retry

SEED = 83


class BrokenError(OSError):
    """What the functions of these tests fail with."""


class World:
    """A clock that only pauses move, and the pauses."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.pauses: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds


class Flaky:
    """Makes functions that fail *times* times, then succeed; each attempt may take *seconds*."""

    def __init__(self, times: float, error: type[BaseException] = BrokenError) -> None:
        self.times = times
        self.error = error
        self.raised: list[BaseException] = []
        self.attempts = 0

    def function(self, world: World | None = None, seconds: float = 0.0):
        def send(*args, **kwargs):
            self.attempts += 1
            if world is not None:
                world.time += seconds
            if self.attempts > self.times:
                return args, kwargs
            self.raised.append(self.error(self.attempts))
            raise self.raised[-1]

        return send


class Notes:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, message: str) -> None:
        self.lines.append((level, message))


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(retries, "sleep", world.sleep)
    with clock.replaced(world.now):
        yield world


def retried_line(error: object, name: str = "send") -> tuple[int, str]:
    text = f"Connection broken in '{name}' (error: '{error}'); retrying with new connection."
    return logging.INFO, text


def given_up_line(name: str = "send") -> tuple[int, str]:
    return logging.ERROR, f"Max retries reached for '{name}'. Aborting."


def send(data: bytes, *, urgent: bool = False) -> int:
    """Send *data*."""
    return len(data)


# --- ways to use it ----------------------------------------------------------------------


def bare(f):
    return retry(f)


def with_arguments(f):
    return retry(max_failures=3)(f)


def without_arguments(f):
    return retry()(f)


def as_a_function(f):
    return retry(f, max_failures=3)


def as_a_partial(f):
    return functools.partial(retry, max_failures=3)(f)


def as_a_partial_with_arguments(f):
    return functools.partial(retry, max_failures=3)(interval=1)(f)


def with_a_deadline(f):
    return retry(f, deadline=60)


def with_a_budget(f):
    return retry(f, budget=RetryBudget())


WAYS = [
    bare,
    with_arguments,
    without_arguments,
    as_a_function,
    as_a_partial,
    as_a_partial_with_arguments,
    with_a_deadline,
    with_a_budget,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_fails_is_made_again_with_the_same_arguments(way, world):
    flaky = Flaky(2)

    result = way(flaky.function())(1, self=2, f=3, seconds=4)

    assert result == ((1,), {"self": 2, "f": 3, "seconds": 4})
    assert flaky.attempts == 3
    assert len(world.pauses) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_succeeds_is_made_once(way, world):
    flaky = Flaky(0)

    way(flaky.function())()

    assert flaky.attempts == 1
    assert world.pauses == []


@pytest.mark.parametrize("way", WAYS)
def test_name_docstring_and_signature_stay(way):
    again = way(send)

    assert (again.__name__, again.__qualname__, again.__doc__) == ("send", "send", "Send *data*.")
    assert again.__wrapped__ is send
    assert inspect.signature(again) == inspect.signature(send)


@pytest.mark.parametrize("way", WAYS)
def test_it_works_on_methods_and_beneath_classmethod_and_staticmethod(way, world):
    class Client:
        failed = 0

        @way
        def send(self, data):
            """Send it."""
            return self.fail_first("method", data)

        @classmethod
        @way
        def build(cls, data):
            return cls.fail_first("class", data)

        @staticmethod
        @way
        def pack(data):
            return Client.fail_first("static", data)

        @classmethod
        def fail_first(cls, *result):
            cls.failed += 1
            if cls.failed % 2:
                raise BrokenError
            return result

    assert Client().send(1) == ("method", 1)
    assert Client.build(2) == ("class", 2)
    assert Client().pack(3) == ("static", 3)
    assert Client.failed == 6
    assert Client().send.__doc__ == "Send it."
    assert Client.send.__qualname__.endswith("<locals>.Client.send")


def test_the_parameters_of_021_keep_their_places_and_defaults():
    parameters = list(inspect.signature(retry).parameters.values())

    assert [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD] == [
        "f",
        "exc_classes",
        "logger",
        "retry_log_level",
        "retry_log_message",
        "max_failures",
        "interval",
        "max_failure_log_level",
        "max_failure_log_message",
    ]
    assert [each.default for each in parameters[1:9]] == [
        (OSError,),
        None,
        logging.INFO,
        "Connection broken in '{f}' (error: '{e}'); retrying with new connection.",
        None,
        0,
        logging.ERROR,
        "Max retries reached for '{f}'. Aborting.",
    ]
    assert [each.name for each in parameters[9:]] == ["deadline", "budget", "retry_if", "on_retry"]
    assert {each.kind for each in parameters[9:]} == {inspect.Parameter.KEYWORD_ONLY}


# --- which failures are retried ----------------------------------------------------------


@pytest.mark.parametrize("classes", [KeyError, (KeyError,), [ValueError, KeyError]])
def test_one_class_or_several_can_be_named(classes, world):
    flaky = Flaky(1, KeyError)

    retry(flaky.function(), exc_classes=classes)()

    assert flaky.attempts == 2


@pytest.mark.parametrize("error", [ValueError, gevent.GreenletExit, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_any_other_exception_passes_at_once(way, after, error, world):
    attempts = []

    def send():
        attempts.append(1)
        raise error if len(attempts) == after else BrokenError

    with pytest.raises(error):
        way(send)()

    assert len(attempts) == after


@pytest.mark.parametrize("error", [gevent.Timeout, GeneratorExit, gevent.GreenletExit])
def test_interruptions_pass_even_where_every_exception_is_retried(error, world):
    flaky = Flaky(math.inf, error)

    with pytest.raises(error):
        retry(flaky.function(), exc_classes=Exception)()

    assert flaky.attempts == 1


def test_an_exception_must_please_the_predicate_too(world):
    asked = []

    def again(exc):
        asked.append(exc)
        return len(asked) < 3

    flaky, notes = Flaky(math.inf), Notes()

    with pytest.raises(BrokenError) as caught:
        retry(flaky.function(), retry_if=again, logger=notes)()

    assert caught.value is flaky.raised[2]
    assert asked == flaky.raised
    assert notes.lines == [retried_line(1), retried_line(2)]


def test_the_predicate_is_not_asked_about_exceptions_of_other_classes():
    flaky = Flaky(math.inf, KeyError)

    with pytest.raises(KeyError):
        retry(flaky.function(), retry_if=pytest.fail)()


# --- how often ---------------------------------------------------------------------------


@pytest.mark.parametrize("max_failures", [0, 1, 5])
def test_the_failure_after_the_last_allowed_one_is_raised_as_it_is(max_failures, world):
    flaky, notes = Flaky(math.inf), Notes()

    with pytest.raises(BrokenError) as caught:
        retry(flaky.function(), logger=notes, max_failures=max_failures, interval=2)()

    assert caught.value is flaky.raised[-1]
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert flaky.attempts == max_failures + 1
    assert world.pauses == [2.0] * max_failures
    retries_told = [retried_line(failures) for failures in range(1, max_failures + 1)]
    assert notes.lines == [*retries_told, given_up_line()]


def test_without_a_limit_it_goes_on(world):
    flaky = Flaky(1000)

    retry(flaky.function())()

    assert flaky.attempts == 1001


def test_each_call_has_its_own_count(world):
    flaky = Flaky(math.inf)
    again = retry(flaky.function(), max_failures=1)

    for _ in range(2):
        with pytest.raises(BrokenError):
            again()

    assert flaky.attempts == 4


# --- pauses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "pauses"),
    [
        (0, [0.0, 0.0, 0.0]),
        (2, [2.0, 2.0, 2.0]),
        (0.5, [0.5, 0.5, 0.5]),
        (Backoff(1, jitter="none"), [1.0, 2.0, 4.0]),
        (lambda failures: 10 * failures, [10.0, 20.0, 30.0]),
    ],
)
def test_the_interval_is_a_number_a_backoff_or_a_callable(interval, pauses, world):
    retry(Flaky(3).function(), interval=interval)()

    assert world.pauses == pauses


@pytest.mark.parametrize(
    ("returned", "error"), [(-1, ValueError), (math.nan, ValueError), (None, TypeError)]
)
def test_an_interval_that_returns_no_duration_is_told_so(returned, error, world):
    flaky = Flaky(math.inf)

    with pytest.raises(error) as caught:
        retry(flaky.function(), interval=lambda failures: returned)()

    wanted = "what interval returns must be a finite number of at least 0"
    assert str(caught.value) == f"{wanted} ({returned})"
    assert caught.value.__context__ is flaky.raised[0]


def test_an_interval_of_0_still_lets_others_run():
    order = []

    def send():
        order.append("attempt")
        if order.count("attempt") < 3:
            raise BrokenError

    def other():
        for _ in range(2):
            order.append("other")
            gevent.sleep(0)

    greenlets = [gevent.spawn(retry(send)), gevent.spawn(other)]
    gevent.joinall(greenlets, raise_error=True)

    assert order == ["attempt", "other", "attempt", "other", "attempt"]


@pytest.mark.parametrize("error", [gevent.GreenletExit, gevent.Timeout, KeyError])
def test_a_pause_can_be_interrupted(error):
    flaky = Flaky(math.inf)
    caught = []

    def run():
        try:
            retry(flaky.function(), exc_classes=(BrokenError, KeyError), interval=3600)()
        except error as exc:
            caught.append(exc)

    greenlet = gevent.spawn(run)
    gevent.sleep(0)
    thrown = error()
    greenlet.kill(thrown)

    assert caught == [thrown]
    assert thrown.__context__ is None
    assert flaky.attempts == 1


# --- the deadline ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deadline", "interval", "seconds", "attempts"),
    [
        (10, 3, 0, 4),
        (9, 3, 0, 4),
        (8.9, 3, 0, 3),
        (10, 0, 4, 3),
        (10, 1, 4, 3),
        (10, 1.5, 4, 2),
        (10, 11, 0, 1),
        (10, 0, 11, 1),
    ],
)
def test_no_pause_is_begun_that_would_end_after_the_deadline(
    deadline, interval, seconds, attempts, world
):
    flaky, notes = Flaky(math.inf), Notes()
    again = retry(
        flaky.function(world, seconds), deadline=deadline, interval=interval, logger=notes
    )

    with pytest.raises(BrokenError) as caught:
        again()

    assert flaky.attempts == attempts
    assert world.pauses == [interval] * (attempts - 1)
    assert caught.value is flaky.raised[-1]
    assert notes.lines == [*(retried_line(n) for n in range(1, attempts)), given_up_line()]


def test_the_deadline_counts_from_each_call(world):
    flaky = Flaky(math.inf)
    again = retry(flaky.function(), deadline=2, interval=1)

    for _ in range(2):
        world.time += 1000
        with pytest.raises(BrokenError):
            again()

    assert flaky.attempts == 6


def test_an_attempt_that_succeeds_after_the_deadline_has_succeeded(world):
    assert retry(Flaky(0).function(world, 60), deadline=1)() == ((), {})


def test_the_time_that_on_retry_takes_counts_for_the_deadline(world):
    def slowly(exc, failures):
        world.time += 5

    flaky, notes = Flaky(math.inf), Notes()

    with pytest.raises(BrokenError):
        retry(flaky.function(), deadline=7, interval=3, on_retry=slowly, logger=notes)()

    assert world.pauses == []
    assert notes.lines == [retried_line(1), given_up_line()]


def test_without_deadline_and_budget_nobody_asks_the_clock():
    with clock.replaced(pytest.fail):
        assert retry(send)(b"four") == 4


# --- the budget --------------------------------------------------------------------------


def call_failing(budget: RetryBudget, calls: int) -> int:
    """How many retries *calls* calls, all of them failing for ever, were granted."""
    flaky = Flaky(math.inf)
    again = retry(flaky.function(), budget=budget)
    for _ in range(calls):
        with pytest.raises(BrokenError):
            again()
    return flaky.attempts - calls


@pytest.mark.parametrize(
    ("share", "floor", "calls", "granted"),
    [
        (0.2, 10, 1, 10),
        (0.2, 10, 100, 30),
        (0.2, 0, 4, 0),
        (0.2, 0, 5, 1),
        (0.29, 0, 100, 29),
        (0, 0, 100, 0),
        (0, 3, 100, 3),
        (1, 0, 50, 50),
        (2.5, 0, 4, 10),
    ],
)
def test_retries_are_at_most_a_share_of_the_calls_and_the_floor(
    share, floor, calls, granted, world
):
    assert call_failing(RetryBudget(share, floor), calls) == granted


def test_when_the_budget_is_exhausted_the_failure_is_raised_as_it_is(world):
    flaky, notes = Flaky(math.inf), Notes()

    with pytest.raises(BrokenError) as caught:
        retry(flaky.function(), budget=RetryBudget(0, 1), interval=2, logger=notes)()

    assert caught.value is flaky.raised[1]
    assert caught.value.__context__ is None
    assert world.pauses == [2.0]
    assert notes.lines == [retried_line(1), given_up_line()]


def test_calls_that_succeed_earn_retries(world):
    budget = RetryBudget(share=0.2, floor=0)
    again = retry(send, budget=budget)

    for _ in range(10):
        again(b"data")

    assert call_failing(budget, 1) == 2


def test_functions_share_a_budget(world):
    budget = RetryBudget(share=0, floor=3)

    assert [call_failing(budget, 1), call_failing(budget, 1)] == [3, 0]


def test_only_a_retry_that_is_made_is_paid_for(world):
    budget = RetryBudget(share=0, floor=2)
    for limit in ({"max_failures": 0}, {"deadline": 1, "interval": 2}):
        with pytest.raises(BrokenError):
            retry(Flaky(math.inf).function(), budget=budget, **limit)()

    assert call_failing(budget, 1) == 2


def test_a_retry_is_forgotten_a_window_later_and_not_sooner(world):
    budget = RetryBudget(share=0, floor=1, window=8)
    assert budget.withdraw() is True

    world.time += 7.99
    assert budget.withdraw() is False

    world.time += 0.01
    assert budget.withdraw() is True


def test_a_call_is_forgotten_a_window_later_and_not_sooner(world):
    budget = RetryBudget(share=1, floor=0, window=8)

    budget.deposit()
    world.time += 7.99
    assert budget.withdraw() is True

    budget.deposit()
    world.time += 8
    assert budget.withdraw() is False


def test_the_budget_says_how_much_of_it_is_used(world):
    budget = RetryBudget()
    for _ in range(3):
        budget.deposit()
    budget.withdraw()
    settings = "RetryBudget share=0.2 floor=10 window=10"

    assert repr(budget) == f"<{settings}: 1 retries, 3 calls>"
    world.time += 10
    assert repr(budget) == f"<{settings}: 0 retries, 0 calls>"


def test_no_window_holds_more_retries_than_a_hundredth_allows(world):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    budget = RetryBudget(share=0.3, floor=2, window=10)
    calls: list[float] = []
    granted: list[float] = []

    for _ in range(5000):
        world.time += chance.expovariate(20)
        if chance.random() < 0.7:
            budget.deposit()
            calls.append(world.time)
        elif budget.withdraw():
            granted.append(world.time)
            recent = [at for at in granted[-200:] if at > world.time - 9.9]
            earned = [at for at in calls[-400:] if at > world.time - 10]
            assert len(recent) <= 2 + 0.3 * len(earned) + 1e-9

    assert len(granted) > 500


def test_a_busy_budget_stays_small(world):
    budget = RetryBudget(window=8)

    for _ in range(20_000):
        world.time += 2**-10
        budget.deposit()

    assert len(budget._calls._entries) <= 101
    counted = int(re.search(r"(\d+) calls", repr(budget))[1])
    assert 0.99 * 8192 <= counted <= 8192


# --- telling about it --------------------------------------------------------------------


def test_messages_and_levels_can_be_chosen(world):
    notes = Notes()
    again = retry(
        Flaky(math.inf).function(),
        logger=notes,
        retry_log_level="DEBUG",
        retry_log_message="{f} failed with {e!r}, {e.args[0]} times",
        max_failures=1,
        max_failure_log_level=35,
        max_failure_log_message="{e} ended {f}",
    )

    with pytest.raises(BrokenError):
        again()

    assert notes.lines == [(10, "send failed with BrokenError(1), 1 times"), (35, "2 ended send")]


def test_a_real_logger_gets_the_message_as_it_is(world, caplog):
    def send():
        if not caplog.records:
            raise BrokenError("100 %s off")

    with caplog.at_level(logging.INFO, "orders"):
        retry(send, logger=logging.getLogger("orders"))()

    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        retried_line("100 %s off")
    ]


class Service:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, times: int = 1) -> str:
        """Fail at first."""
        self.calls += 1
        if self.calls <= times:
            raise BrokenError
        return "done"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Service, "Service"),
        (lambda: functools.partial(functools.partial(Service()), times=1), "Service"),
        (lambda: functools.partial(Service().__call__, 1), "__call__"),
    ],
)
def test_what_has_no_name_of_its_own_is_called_by_the_nearest(make, name, world):
    notes = Notes()

    again = retry(make(), logger=notes)

    assert again() == "done"
    assert again.__name__ == name
    assert notes.lines == [retried_line("", name)]


def test_what_a_callable_object_remembers_is_not_copied():
    assert not hasattr(retry(Service()), "calls")


def test_the_attributes_of_a_function_stay():
    def send():
        """Only carried around."""

    send.topic = "mail"

    assert retry(send).topic == "mail"


class UnprintableError(BrokenError):
    def __str__(self) -> str:
        raise KeyError("no text")


class FailingLogger:
    def log(self, level: int, message: str) -> None:
        raise RuntimeError("disk full")


@pytest.mark.parametrize(
    ("logger", "error"), [(FailingLogger(), BrokenError), (Notes(), UnprintableError)]
)
def test_a_logger_that_fails_changes_nothing(logger, error, world):
    flaky = Flaky(math.inf, error)

    with pytest.raises(error) as caught:
        retry(flaky.function(), logger=logger, max_failures=2)()

    assert flaky.attempts == 3
    assert caught.value is flaky.raised[2]
    assert caught.value.__context__ is None


def test_an_interruption_in_the_logger_passes():
    class Interrupted:
        def log(self, level, message):
            raise gevent.GreenletExit

    with pytest.raises(gevent.GreenletExit):
        retry(Flaky(math.inf).function(), logger=Interrupted())()


def test_on_retry_is_called_before_each_pause(world):
    flaky = Flaky(math.inf)
    told = []

    def tell(exc, failures):
        told.append((exc, failures, len(world.pauses)))

    with pytest.raises(BrokenError):
        retry(flaky.function(), max_failures=2, on_retry=tell)()

    assert told == [(flaky.raised[0], 1, 0), (flaky.raised[1], 2, 1)]


@pytest.mark.parametrize("callback", ["on_retry", "retry_if", "interval"])
@pytest.mark.parametrize("extra", [{}, {"deadline": 60}])
def test_a_callback_that_fails_ends_the_attempts(callback, extra, world):
    def fail(*args):
        raise KeyError("mistake")

    flaky = Flaky(math.inf)

    with pytest.raises(KeyError) as caught:
        retry(flaky.function(), **{callback: fail}, **extra)()

    assert caught.value.__context__ is flaky.raised[0]
    assert flaky.attempts == 1


# --- nothing is kept ---------------------------------------------------------------------


class Connection:
    """Something that a failed attempt held."""


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("way", WAYS)
def test_what_a_failed_attempt_held_is_free_during_the_pause(way, monkeypatch, no_gc):
    held, alive = [], []

    def send():
        connection = Connection()
        held.append(weakref.ref(connection))
        if len(held) < 3:
            raise BrokenError
        return "sent"

    def look(seconds):
        alive.append([each() for each in held])

    monkeypatch.setattr(retries, "sleep", look)

    assert way(send)() == "sent"
    assert alive == [[None], [None, None]]


@pytest.mark.parametrize("options", [{}, {"deadline": 60}, {"budget": RetryBudget()}])
@pytest.mark.parametrize("max_failures", [0, 2])
def test_an_exception_that_was_raised_leaves_no_cycle(max_failures, options, world, no_gc):
    held = []

    def send():
        connection = Connection()
        held.append(weakref.ref(connection))
        raise BrokenError

    try:
        retry(send, max_failures=max_failures, **options)()
    except BrokenError:
        assert held[-1]() is not None

    assert [each() for each in held] == [None] * (max_failures + 1)


def test_the_traceback_names_each_frame_once(world):
    flaky = Flaky(math.inf)

    with pytest.raises(BrokenError) as caught:
        retry(flaky.function(), max_failures=0)()

    names = [each.name for each in caught.traceback]
    assert names == ["test_the_traceback_names_each_frame_once", "wrapper", "send"]


# --- what is refused ---------------------------------------------------------------------

TEXT = "a format string with no fields but {f} and {e}"
LEVEL = "a log level or the name of one"
SECONDS = "a finite number of at least 0"

WRONG = [
    ("exc_classes", 5, TypeError, "an exception class or an iterable of them"),
    ("exc_classes", None, TypeError, "an exception class or an iterable of them"),
    ("exc_classes", (), ValueError, "an exception class or an iterable of them, at least one"),
    *[
        ("exc_classes", each, ValueError, "without interruptions, which are never retried")
        for each in (BaseException, gevent.Timeout, KeyboardInterrupt)
    ],
    ("logger", "orders", TypeError, "None or a logger, with log(level, message)"),
    ("retry_log_level", True, TypeError, LEVEL),
    ("retry_log_level", "LOUD", ValueError, LEVEL),
    ("max_failure_log_level", None, TypeError, LEVEL),
    ("max_failure_log_level", -1, ValueError, "an int of at least 0"),
    ("retry_log_message", None, TypeError, TEXT),
    ("retry_log_message", "{x}", ValueError, TEXT),
    ("max_failure_log_message", "{", ValueError, TEXT),
    ("max_failures", -1, ValueError, "None or an int of at least 0"),
    ("max_failures", True, TypeError, "None or an int of at least 0"),
    ("max_failures", 2.0, TypeError, "None or an int of at least 0"),
    ("interval", -1, ValueError, SECONDS),
    ("interval", math.nan, ValueError, SECONDS),
    ("interval", math.inf, ValueError, SECONDS),
    ("interval", True, TypeError, SECONDS),
    ("interval", None, TypeError, "a number of seconds, a Backoff or a callable"),
    ("interval", Backoff, TypeError, "a number of seconds, a Backoff or a callable"),
    ("deadline", 0, ValueError, "None or a finite number above 0"),
    ("deadline", math.nan, ValueError, "None or a finite number above 0"),
    ("deadline", "9", TypeError, "None or a finite number above 0"),
    ("budget", 0.2, TypeError, "None or a RetryBudget"),
    ("budget", RetryBudget, TypeError, "None or a RetryBudget"),
    ("retry_if", True, TypeError, "None or a callable"),
    ("on_retry", "tell", TypeError, "None or a callable"),
]


@pytest.mark.parametrize("decorate", [retry, functools.partial(retry, send)])
@pytest.mark.parametrize(("name", "value", "error", "wanted"), WRONG)
def test_a_wrong_argument_is_refused_when_decorating(name, value, error, wanted, decorate):
    with pytest.raises(error) as caught:
        decorate(**{name: value})

    assert str(caught.value) == f"{name} must be {wanted} ({value!r})"


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"share": -0.1}, ValueError, f"share must be {SECONDS} (-0.1)"),
        ({"share": True}, TypeError, f"share must be {SECONDS} (True)"),
        ({"floor": -1}, ValueError, "floor must be an int of at least 0 (-1)"),
        ({"floor": 0.5}, TypeError, "floor must be an int of at least 0 (0.5)"),
        ({"window": 0}, ValueError, "window must be a finite number above 0 (0)"),
        ({"window": math.inf}, ValueError, "window must be a finite number above 0 (inf)"),
    ],
)
def test_a_wrong_budget_is_refused(wrong, error, message):
    with pytest.raises(error) as caught:
        RetryBudget(**wrong)

    assert str(caught.value) == message


def generate():
    yield 1


async def come():
    """Only looked at."""


async def stream():
    yield 1


class Coming:
    async def __call__(self):
        """Only looked at."""


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (generate, "the generator function 'generate'"),
        (functools.partial(generate), "the generator function 'generate'"),
        (come, "the coroutine function 'come'"),
        (stream, "the asynchronous generator function 'stream'"),
        (Coming(), "the coroutine function 'Coming'"),
        (functools.partial(Coming()), "the coroutine function 'Coming'"),
    ],
)
def test_what_returns_before_it_has_done_anything_is_refused(f, message):
    with pytest.raises(TypeError) as caught:
        retry(f)

    ending = ": when it returns, nothing of it has run yet"
    assert str(caught.value) == f"retry cannot repeat {message}{ending}"


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (5, "f must be a callable (5)"),
        (None, "f must be a callable (None)"),
        ((OSError,), "f must be a callable ((<class 'OSError'>,))"),
        (KeyError, "retry takes a function; give KeyError as exc_classes="),
        (staticmethod(send), "put retry below @staticmethod, not above (<staticmethod"),
        (classmethod(send), "put retry below @classmethod, not above (<classmethod"),
    ],
)
@pytest.mark.parametrize("decorate", [retry, retry(max_failures=3)])
def test_what_is_no_function_is_refused(decorate, f, message):
    with pytest.raises(TypeError) as caught:
        decorate(f)

    assert str(caught.value).startswith(message)
