"""What gevent itself offers to build a pool with. Not pools: no errors, no refill."""

from __future__ import annotations

from collections import deque

from gevent.lock import Semaphore
from gevent.queue import LifoQueue, SimpleQueue

from geventconnpool.cli.bench.peers.door import Door, Peer

__all__ = ["PEERS"]


class SemaphorePool:
    """A semaphore that counts what a deque holds."""

    def __init__(self, size: int) -> None:
        self.idle = deque(object() for _ in range(size))
        self.free = Semaphore(size)

    def take(self) -> object:
        self.free.acquire()
        return self.idle.pop()

    def bring(self, connection: object) -> None:
        self.idle.append(connection)
        self.free.release()


def _semaphore(size: int) -> Door:
    pool = SemaphorePool(size)
    return Door(pool.take, pool.bring)


def _lifo_queue(size: int) -> Door:
    queue: LifoQueue[object] = LifoQueue(size)
    for _ in range(size):
        queue.put(object())
    return Door(queue.get, queue.put)


def _simple_queue(size: int) -> Door:
    queue: SimpleQueue[object] = SimpleQueue()
    for _ in range(size):
        queue.put(object())
    return Door(queue.get, queue.put)


PEERS = [
    Peer("gevent Semaphore + deque", _semaphore),
    Peer("gevent LifoQueue", _lifo_queue, most_waiting=1_000),
    Peer("gevent SimpleQueue", _simple_queue, most_waiting=1_000),
]
