"""Connection pooling for gevent programs. Names only; the code lives in the modules."""

from geventconnpool.backoff import Backoff
from geventconnpool.errors import (
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    PoolUnavailable,
    TooManyWaiters,
    WrongHub,
)
from geventconnpool.events import CloseReason, Event
from geventconnpool.pool import ConnectionPool
from geventconnpool.retries import RetryBudget, retry
from geventconnpool.stats import PoolStats

__version__ = "1.0.0.dev0"

__all__ = [
    "Backoff",
    "ConnectionPool",
    "retry",
    "RetryBudget",
    "CloseReason",
    "Event",
    "PoolClosed",
    "PoolError",
    "PoolPaused",
    "PoolStats",
    "PoolTimeout",
    "PoolUnavailable",
    "TooManyWaiters",
    "WrongHub",
]
