"""``retry`` keeps the types of what it decorates. Read by mypy, never run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from geventconnpool.backoff import Backoff
from geventconnpool.retries import RetryBudget, retry

if TYPE_CHECKING:
    from typing_extensions import assert_type


@retry
def bare(data: bytes, *, urgent: bool = False) -> int:
    return len(data)


@retry(
    exc_classes=(OSError, KeyError),
    logger=logging.getLogger(),
    max_failures=5,
    interval=Backoff(),
    deadline=30,
    budget=RetryBudget(),
    retry_if=lambda exc: True,
    on_retry=lambda exc, failures: None,
)
def with_arguments(data: bytes, *, urgent: bool = False) -> int:
    return len(data)


class Client:
    @retry
    def send(self, data: bytes) -> int:
        return len(data)

    @retry(max_failures=3)
    def ask(self, data: bytes) -> str:
        return str(data)

    @classmethod
    @retry
    def build(cls, host: str) -> Client:
        return cls()

    @staticmethod
    @retry(interval=lambda failures: 2.0 * failures)
    def pack(number: int) -> bytes:
        return bytes(number)


def plain(data: bytes) -> int:
    return len(data)


by_place = retry(plain, OSError, None, logging.INFO, "{f}: {e}", 3, 0.5, "ERROR", "{f}")
five_times = functools.partial(retry, max_failures=5)

if TYPE_CHECKING:
    assert_type(bare(b"", urgent=True), int)
    assert_type(with_arguments(b"", urgent=True), int)
    assert_type(Client().send(b""), int)
    assert_type(Client().ask(b""), str)
    assert_type(Client.build("host"), Client)
    assert_type(Client.pack(3), bytes)
    assert_type(by_place(b""), int)
    assert_type(retry(max_failures=2)(plain)(b""), int)
    kept: Callable[[bytes], int] = retry(plain)

    # Each of these must stay an error: an unused "ignore" is one, too.
    bare("text")  # type: ignore[arg-type]
    bare(b"", hasty=True)  # type: ignore[call-arg]
    with_arguments()  # type: ignore[call-arg]
    Client().send(5)  # type: ignore[arg-type]
    Client().ask()  # type: ignore[call-arg]
    retry(plain, max_failures="5")  # type: ignore[call-overload]
    retry(exc_classes=5)  # type: ignore[call-overload]
    retry(plain, (OSError,), None, 20, "", None, 0, 40, "", 30)  # type: ignore[call-overload]
    retry(5)  # type: ignore[call-overload]
