"""Every knob of a pool: its default, what it takes and what it refuses."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import pickle
from fractions import Fraction

import pytest

from geventconnpool import options
from geventconnpool.backoff import Backoff
from geventconnpool.options import NOT_GIVEN, PoolOptions, check_sizes, check_timeout

HUGE = 10**400
"""An int that no float can hold."""


def checked(**given) -> PoolOptions:
    return PoolOptions.checked(**{"size": 10, **given})


def message_of(error, call, *args, **kwargs) -> str:
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert type(caught.value) is error
    return str(caught.value)


class BrokenRepr:
    def __repr__(self) -> str:
        raise OSError("the peer is gone")


class Listener:
    def __call__(self, event: object) -> None:
        """Nothing; it is only passed around."""


# --- what is taken -----------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract():
    assert dataclasses.asdict(PoolOptions.checked(20)) == {
        "size": 20,
        "exc_classes": (OSError,),
        "keepalive": None,
        "min_size": 20,
        "min_size_given": False,
        "connect": None,
        "name": None,
        "timeout": 30.0,
        "max_waiting": None,
        "max_connecting": 32,
        "connect_timeout": 10.0,
        "keepalive_timeout": 5.0,
        "close_timeout": 5.0,
        "idle_timeout": None,
        "max_lifetime": None,
        "check_after": None,
        "order": "lifo",
        "watch_idle": True,
        "backoff": None,
        "fail_fast_after": None,
        "fatal_exc_classes": (NotImplementedError,),
        "is_broken": None,
        "leak_threshold": None,
        "listeners": (),
        "start": True,
    }


def test_size_exception_classes_and_keepalive_are_positional_as_they_always_were():
    given = PoolOptions.checked(5, (OSError, KeyError), 30)

    assert (given.size, given.exc_classes, given.keepalive) == (5, (OSError, KeyError), 30.0)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("size", 1, 1),
        ("size", HUGE, HUGE),
        ("exc_classes", KeyError, (KeyError,)),
        ("exc_classes", [KeyError, OSError], (KeyError, OSError)),
        ("exc_classes", iter([KeyError]), (KeyError,)),
        ("exc_classes", KeyboardInterrupt, (KeyboardInterrupt,)),
        ("keepalive", Fraction(1, 2), 0.5),
        ("name", "orders", "orders"),
        ("timeout", None, None),
        ("timeout", 0, 0.0),
        ("timeout", math.inf, None),
        ("timeout", HUGE, None),
        ("max_waiting", 0, 0),
        ("max_connecting", 1, 1),
        ("connect_timeout", 7, 7.0),
        ("keepalive_timeout", 0.5, 0.5),
        ("close_timeout", 1, 1.0),
        ("idle_timeout", 60, 60.0),
        ("max_lifetime", 3600, 3600.0),
        ("check_after", 0, 0.0),
        ("order", "lifo", "lifo"),
        ("order", "fifo", "fifo"),
        ("watch_idle", True, True),
        ("watch_idle", False, False),
        ("watch_idle", "closed", "closed"),
        ("fail_fast_after", 0, 0.0),
        ("fatal_exc_classes", (), (NotImplementedError,)),
        ("fatal_exc_classes", PermissionError, (PermissionError, NotImplementedError)),
        ("fatal_exc_classes", [NotImplementedError], (NotImplementedError,)),
        ("leak_threshold", 0.1, 0.1),
        ("start", False, False),
    ],
)
def test_what_is_given_is_kept_in_one_form(name, value, kept):
    found = getattr(checked(**{name: value}), name)

    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize("name", ["connect", "is_broken"])
def test_callables_are_kept_as_they_are(name):
    assert getattr(checked(**{name: len}), name) is len


def test_the_listeners_of_an_iterable_become_a_tuple():
    first, second = Listener(), Listener()

    assert checked(listeners=iter([first, second])).listeners == (first, second)


def test_a_backoff_is_known_by_what_it_can_do():
    class Steady:
        cap = 2

        def delay(self, failures: int) -> float:
            return 2.0

    for pauses in (Backoff(), Steady()):
        assert checked(backoff=pauses).backoff is pauses


# --- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize("left_out", [{}, {"min_size": NOT_GIVEN}, {"min_size": None}])
def test_a_min_size_that_is_left_out_follows_size(left_out):
    given = checked(**left_out)

    assert (given.min_size, given.min_size_given) == (10, False)


@pytest.mark.parametrize("min_size", [0, 4, 10])
def test_a_min_size_up_to_size_is_taken(min_size):
    given = checked(min_size=min_size)

    assert (given.min_size, given.min_size_given) == (min_size, True)


@pytest.mark.parametrize(
    ("size", "min_size", "error", "message"),
    [
        (10, 12, ValueError, "min_size must be between 0 and size (12 > 10)"),
        (10, -1, ValueError, "min_size must be between 0 and size (-1 < 0)"),
        (10, True, TypeError, "min_size must be an int between 0 and size (True)"),
        (10, 2.0, TypeError, "min_size must be an int between 0 and size (2.0)"),
        (0, 0, ValueError, "size must be an int of at least 1 (0)"),
        (True, 1, TypeError, "size must be an int of at least 1 (True)"),
        ("9", 1, TypeError, "size must be an int of at least 1 ('9')"),
    ],
)
def test_sizes_that_no_pool_can_have_are_refused_at_any_time(size, min_size, error, message):
    assert message_of(error, check_sizes, size, min_size) == message
    assert message_of(error, PoolOptions.checked, size, min_size=min_size) == message


def test_sizes_that_fit_are_accepted():
    assert [check_sizes(1, 0), check_sizes(1, 1), check_sizes(HUGE, HUGE)] == [None] * 3


@pytest.mark.parametrize(
    ("given", "useless"),
    [
        ({}, False),
        ({"idle_timeout": 60}, True),
        ({"idle_timeout": 60, "min_size": 10}, True),
        ({"idle_timeout": 60, "min_size": 9}, False),
        ({"min_size": 9}, False),
    ],
)
def test_an_idle_timeout_is_useless_where_nothing_may_be_closed(given, useless):
    assert checked(**given).useless_idle_timeout is useless


# --- what is refused ---------------------------------------------------------------------

COUNT = "an int of at least 1"
DURATION = "a finite number above 0"
FROM_0 = "a finite number of at least 0"
CLASSES = "an exception class or an iterable of them"

WRONG = [
    ("size", None, TypeError, COUNT),
    ("size", 10.0, TypeError, COUNT),
    ("size", -5, ValueError, COUNT),
    ("exc_classes", None, TypeError, CLASSES),
    ("exc_classes", int, TypeError, CLASSES),
    ("exc_classes", "OSError", TypeError, CLASSES),
    ("name", 5, TypeError, "None or a string that is not empty"),
    ("name", "", ValueError, "None or a string that is not empty"),
    ("timeout", "5", TypeError, "None or a number of seconds"),
    ("timeout", True, TypeError, "None or a number of seconds"),
    ("timeout", math.nan, ValueError, "None or a number of seconds"),
    ("timeout", -3, ValueError, "None or a number of seconds of at least 0"),
    ("timeout", -math.inf, ValueError, "None or a number of seconds of at least 0"),
    ("max_waiting", -1, ValueError, "None or an int of at least 0"),
    ("max_waiting", 1.5, TypeError, "None or an int of at least 0"),
    ("max_waiting", False, TypeError, "None or an int of at least 0"),
    ("max_connecting", 0, ValueError, COUNT),
    ("max_connecting", None, TypeError, COUNT),
    ("connect", "host", TypeError, "None or a callable"),
    ("is_broken", 1, TypeError, "None or a callable"),
    ("order", "random", ValueError, "'lifo' or 'fifo'"),
    ("order", None, TypeError, "'lifo' or 'fifo'"),
    ("watch_idle", "open", ValueError, "True, False or 'closed'"),
    ("watch_idle", 1, TypeError, "True, False or 'closed'"),
    ("start", 0, TypeError, "True or False"),
    ("start", None, TypeError, "True or False"),
    ("backoff", 0.5, TypeError, "None or a Backoff, with delay(failures) and cap"),
    ("backoff", Backoff, TypeError, "None or a Backoff, with delay(failures) and cap"),
    ("fatal_exc_classes", str, TypeError, CLASSES),
    ("listeners", len, TypeError, "a list of callables, also for a single one"),
    ("listeners", None, TypeError, "a list of callables"),
    *[
        (name, value, error, DURATION)
        for name in ("connect_timeout", "keepalive_timeout", "close_timeout")
        for value, error in (
            (None, TypeError),
            ("1", TypeError),
            (True, TypeError),
            (0, ValueError),
            (-1, ValueError),
            (math.nan, ValueError),
            (math.inf, ValueError),
        )
    ],
    *[
        (name, value, error, f"None or {wanted}")
        for names, wanted, odd in (
            (("keepalive", "idle_timeout", "max_lifetime", "leak_threshold"), DURATION, 0),
            (("check_after", "fail_fast_after"), FROM_0, -0.5),
        )
        for name in names
        for value, error in (
            (odd, ValueError),
            (-math.inf, ValueError),
            (math.inf, ValueError),
            (math.nan, ValueError),
            (False, TypeError),
            ("1", TypeError),
        )
    ],
]


@pytest.mark.parametrize(("name", "value", "error", "wanted"), WRONG)
def test_a_wrong_value_is_refused_with_its_name_and_what_it_was(name, value, error, wanted):
    message = message_of(error, checked, **{name: value})

    assert message == f"{name} must be {wanted} ({value!r})"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"exc_classes": ()}, ValueError, f"exc_classes must be {CLASSES}, at least one (())"),
        ({"exc_classes": (OSError, 7)}, TypeError, f"exc_classes must be {CLASSES} (7)"),
        ({"fatal_exc_classes": [OSError()]}, TypeError, f"fatal_exc_classes must be {CLASSES} ("),
        ({"listeners": [len, 7]}, TypeError, "listeners[1] must be a callable (7)"),
        ({"keepalive": HUGE}, ValueError, f"keepalive must be None or {DURATION} (1000"),
        ({"max_waitng": 3}, TypeError, "there is no option 'max_waitng'; did you mean 'max_wait"),
        ({"min_size_given": True}, TypeError, "there is no option 'min_size_given'"),
        ({"zzz": 3}, TypeError, "there is no option 'zzz'"),
    ],
)
def test_the_message_points_at_the_culprit(given, error, message):
    assert message_of(error, checked, **given).startswith(message)


@pytest.mark.parametrize("cap", [None, "5", math.inf, -1, True])
def test_a_backoff_needs_a_cap_that_is_a_duration(cap):
    class Odd:
        def delay(self, failures: int) -> float:
            return 1.0

    pauses = Odd()
    pauses.cap = cap
    error = TypeError if cap in (None, "5", True) else ValueError

    message = message_of(error, checked, backoff=pauses)

    assert message == f"backoff.cap must be {FROM_0} ({cap!r})"


def test_a_backoff_without_a_cap_is_refused():
    class Odd:
        def delay(self, failures: int) -> float:
            return 1.0

    assert message_of(TypeError, checked, backoff=Odd()).startswith("backoff.cap must be")


def test_a_value_that_cannot_be_shown_is_refused_by_its_type():
    assert message_of(TypeError, checked, name=10**5000).endswith("(<int>)")
    assert message_of(TypeError, checked, name=BrokenRepr()).endswith("(<BrokenRepr>)")


@pytest.mark.parametrize(("length", "shown"), [(78, f"'{78 * 'x'}'"), (79, f"'{76 * 'x'}...")])
def test_a_long_value_is_shown_in_80_characters(length, shown):
    assert options.shown(length * "x") == shown
    assert len(shown) == 80


def test_a_required_int_is_refused_below_its_least_and_nowhere_else():
    assert [options.check_count("n", n, 3) for n in (3, 4)] == [3, 4]
    assert message_of(ValueError, options.check_count, "n", 2, 3) == (
        "n must be an int of at least 3 (2)"
    )


# --- the record --------------------------------------------------------------------------


def test_the_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        checked().size = 11


def test_the_repr_shows_no_callable_that_may_hold_a_password():
    secret = functools.partial(len, "hunter2")

    given = checked(connect=secret, is_broken=secret, listeners=[secret])

    assert "hunter2" not in repr(given)
    assert "size=10" in repr(given)


# --- timeouts of single calls ------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, None),
        (5, 5.0),
        (0.25, 0.25),
        (Fraction(1, 4), 0.25),
        (0, 0.0),
        (-0.0, 0.0),
        (-7.5, 0.0),
        (-math.inf, 0.0),
        (math.inf, None),
        (HUGE, None),
        (-HUGE, 0.0),
    ],
)
def test_a_timeout_is_seconds_or_for_ever(timeout, expected):
    found = check_timeout(timeout)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (math.nan, ValueError),
        ("5", TypeError),
        (True, TypeError),
        (NOT_GIVEN, TypeError),
        (1j, TypeError),
        ([], TypeError),
    ],
)
def test_what_is_no_timeout_is_refused_under_the_name_of_its_argument(timeout, error):
    wanted = "must be None or a number of seconds"

    assert message_of(error, check_timeout, timeout) == f"timeout {wanted} ({timeout!r})"
    assert message_of(error, check_timeout, timeout, "patience") == (
        f"patience {wanted} ({timeout!r})"
    )


# --- log levels and messages -------------------------------------------------------------


@pytest.mark.parametrize(("level", "number"), [(0, 0), (25, 25), ("INFO", 20), ("warning", 30)])
def test_a_log_level_is_a_number_or_a_name(level, number):
    assert options.check_level("level", level) == number


@pytest.mark.parametrize(
    ("level", "error", "wanted"),
    [
        ("LOUD", ValueError, "a log level or the name of one"),
        (None, TypeError, "a log level or the name of one"),
        (True, TypeError, "a log level or the name of one"),
        (20.0, TypeError, "a log level or the name of one"),
        (-1, ValueError, "an int of at least 0"),
    ],
)
def test_a_wrong_log_level_is_refused(level, error, wanted):
    assert message_of(error, options.check_level, "level", level) == (
        f"level must be {wanted} ({level!r})"
    )


@pytest.mark.parametrize("text", ["", "no fields", "{f}", "{f!r:>9} {e.errno} {e.args[0]} {{x}}"])
def test_a_message_may_use_the_known_fields(text):
    assert options.check_message("text", text, ("f", "e")) == text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{x}", ValueError),
        ("{}", ValueError),
        ("{0}", ValueError),
        ("{f", ValueError),
        ("{fe}", ValueError),
        (b"{f}", TypeError),
        (None, TypeError),
    ],
)
def test_a_message_with_other_fields_is_refused(text, error):
    assert message_of(error, options.check_message, "text", text, ("f", "e")) == (
        f"text must be a format string with no fields but {{f}} and {{e}} ({text!r})"
    )


# --- the mark for what was left out ------------------------------------------------------


def test_the_mark_for_a_left_out_argument_stays_one_object():
    assert repr(NOT_GIVEN) == "<not given>"
    assert copy.deepcopy(NOT_GIVEN) is NOT_GIVEN
    assert pickle.loads(pickle.dumps(NOT_GIVEN)) is NOT_GIVEN
