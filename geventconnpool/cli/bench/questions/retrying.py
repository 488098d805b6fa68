"""What ``retry`` costs: a call that succeeds, and one that fails once."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import gevent

from geventconnpool.cli.bench.answers import Answer, Bar
from geventconnpool.cli.bench.floors import guarded
from geventconnpool.cli.bench.measuring import Effort, Work, measure
from geventconnpool.retries import retry

KEY = "retrying"
QUESTION = "What does retry cost when a call succeeds, and when it fails once?"

FLOOR = "floor: try/except with *args, **kwargs"
AGAIN = "floor: try/except, a turn of the loop, call again"
OWN = "geventconnpool retry"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def ask(effort: Effort) -> Answer:
    answer = Answer(KEY, QUESTION)
    peers = _peers(answer.absent)
    success = measure({FLOOR: _calls(guarded(_succeed))} | _works(peers, _succeeding), effort)
    failure = measure({AGAIN: _calls(_again(_Flaky()))} | _works(peers, _failing_once), effort)
    answer.figures += success.figures("a call that succeeds", FLOOR)
    answer.figures += failure.figures("one failure, and one retry without a pause", AGAIN)
    ratio = success.ratio(OWN, FLOOR)
    answer.bars.append(Bar("retry on success, against try/except", ratio, 1.08, guarded=True))
    return answer


def _succeed(x: int) -> int:
    return x


class _Flaky:
    """Fails at every other call."""

    def __init__(self) -> None:
        self.fails = False
        self.__name__ = "flaky"

    def __call__(self, x: int) -> int:
        self.fails = not self.fails
        if self.fails:
            raise OSError
        return x


def _again(function: Callable[..., Any]) -> Callable[..., Any]:
    """The floor of a retry: no policy, no limit, nothing is noted."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError:
            gevent.sleep(0)
        return function(*args, **kwargs)

    return call


def _succeeding(decorate: Decorator) -> Callable[..., Any]:
    return decorate(_succeed)


def _failing_once(decorate: Decorator) -> Callable[..., Any]:
    flaky = _Flaky()

    def function(x: int) -> int:  # some peers take nothing but functions
        return flaky(x)

    return decorate(function)


def _works(
    peers: dict[str, Decorator], make: Callable[[Decorator], Callable[..., Any]]
) -> dict[str, Work]:
    return {name: _calls(make(decorate)) for name, decorate in peers.items()}


def _calls(function: Callable[..., Any]) -> Work:
    def work(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            function(1)
        return time.perf_counter() - began

    return work


# --- peers -------------------------------------------------------------------------------


def _peers(absent: list[str]) -> dict[str, Decorator]:
    """The decorators that are there, set to as little as they can do."""
    found: dict[str, Decorator] = {OWN: retry(max_failures=3)}
    for name, make in {"tenacity": _tenacity, "stamina": _stamina, "backoff": _backoff}.items():
        try:
            found[name] = make(import_module(name))
        except ImportError:
            absent.append(f"{name}: not installed")
    return found


def _tenacity(tenacity: Any) -> Decorator:
    decorator: Decorator = tenacity.retry(
        retry=tenacity.retry_if_exception_type(OSError),
        stop=tenacity.stop_after_attempt(4),
        wait=tenacity.wait_none(),
        reraise=True,
    )
    return decorator


def _stamina(stamina: Any) -> Decorator:
    stamina.instrumentation.set_on_retry_hooks([])
    decorator: Decorator = stamina.retry(
        on=OSError, attempts=4, timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0
    )
    return decorator


def _backoff(backoff: Any) -> Decorator:
    decorator: Decorator = backoff.on_exception(
        backoff.constant, OSError, max_tries=4, interval=0, jitter=None, logger=None
    )
    return decorator
