"""Pools of redis-py connections to a real Redis that is killed, stopped and restarted."""

from __future__ import annotations

import importlib
import random

import gevent
import pytest
from availability import require_module
from real_contract import Contract, check_answers, check_full, closes
from redis_server import RedisServer


@pytest.fixture
def server(cooperative, over_tls, authority):
    server = RedisServer(authority if over_tls else None)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def make_pool(server, pools):
    require_module("redis")
    library = importlib.import_module("real_redis_pool")

    def make(size, **options):
        pools.append(library.RedisPool(server.port, size, server.cafile, **options))
        return pools[-1]

    return make


class TestRedis(Contract):
    pass


class TestALibraryThatHangsUpAndComesBackByItself:
    """What redis-py does after an error is no secret to the pool."""

    @pytest.fixture
    def pool(self, make_pool):
        return Contract.warm(make_pool(2))

    def test_one_that_it_hung_up_does_not_go_back(self, pool, server):
        with pool.get() as c:
            with gevent.Timeout(0.05, False):
                c.send_command("BLPOP", "nothing", 0)
                c.read_response()  # hangs up when interrupted
            assert not c.is_connected

        assert closes(pool) == {"discarded": 1}
        check_full(pool, server)
        check_answers(pool)

    def test_one_that_it_opened_anew_does_not_go_back_either(self, pool, server):
        with pool.get() as c:
            c.disconnect()
            assert pool.ask(c, "over a new socket")

        assert closes(pool) == {"discarded": 1}
        check_full(pool, server)
        check_answers(pool)

    def test_an_error_of_the_command_costs_no_connection(self, pool, server):
        redis = require_module("redis")
        with pytest.raises(redis.ResponseError):
            with pool.get() as c:
                c.send_command("NONSENSE")
                c.read_response()

        check_full(pool, server)
        assert closes(pool) == {}


@pytest.mark.slow
def test_ten_rounds_of_kill_and_restart_mix_nothing_up_and_lose_nothing(cooperative):
    require_module("redis")
    seed = random.randrange(10_000)
    print(f"seed {seed}")
    rounds = importlib.import_module("redis_rounds").Rounds(10, seed).run()
    print(rounds.report())
    assert rounds.is_right
