"""Users of whom most wait for a connection while the others hold theirs."""

import contextlib
import os

from backend import BackendPool, use
from locust import User, constant, events, task

pool = BackendPool(5, min_size=0, timeout=None)
if "USE_AT_IMPORT" in os.environ:
    use(pool)


@events.test_stop.add_listener
def show_that_the_pool_is_whole(environment, **kwargs):
    with contextlib.ExitStack() as block:
        for session in [block.enter_context(pool.get(timeout=10)) for _ in range(pool.size)]:
            session.ask("whole")
    pool.drain()  # the next run begins with new connections


@events.quit.add_listener
def close_pool(exit_code, **kwargs):
    print(f"pool of {os.getpid()} closed: {pool.close(timeout=5)}, {pool.stats().repairs} repairs")


class BackendUser(User):
    wait_time = constant(0.01)

    @task(20)
    def ask(self):
        self.converse("/quick")

    @task(1)
    def hold(self):
        self.converse("/held")

    def converse(self, question):
        with pool.get() as session:
            answer = session.ask(question)
        right = answer.endswith(f" {os.getpid()} {question}")
        self.environment.events.request.fire(
            request_type="line", name=question, response_time=0, response_length=len(answer),
            exception=None if right else AssertionError(answer),
        )  # fmt: skip
