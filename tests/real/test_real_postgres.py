"""Pools of psycopg connections to a real PostgreSQL that is killed, stopped and restarted."""

from __future__ import annotations

import importlib

import pytest
from availability import require_module
from postgres_server import PostgresServer
from real_contract import Contract, check_answers, check_full, closes
from real_world import eventually


@pytest.fixture(scope="module")
def cluster(cooperative, authority):
    """Made once: making a database takes longer than starting it."""
    server = PostgresServer(authority)
    yield server
    server.remove()


@pytest.fixture
def server(cluster):
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def make_pool(server, over_tls, pools):
    library = importlib.import_module("real_postgres_pool")

    def make(size, **options):
        cafile = server.cafile if over_tls else None
        pools.append(library.PostgresPool(server.port, size, cafile, **options))
        return pools[-1]

    return make


class TestPostgres(Contract):
    pass


class TestWhatLibpqKnows:
    """The class of an error does not tell whether a connection is broken; libpq does."""

    @pytest.fixture
    def pool(self, make_pool):
        return Contract.warm(make_pool(1))

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("SELECT 1 / 0", "DivisionByZero"),
            ("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(600)", "QueryCanceled"),
            ("DO $$ BEGIN RAISE 'busy' USING ERRCODE = '40P01'; END $$", "DeadlockDetected"),
        ],
    )
    def test_errors_of_a_query_cost_no_connection(self, pool, server, query, error):
        errors = require_module("psycopg").errors
        with pytest.raises(getattr(errors, error)):
            with pool.get() as c:
                c.execute(query)

        check_full(pool, server)
        assert closes(pool) == {}
        check_answers(pool)

    def test_an_error_of_the_application_costs_no_connection(self, pool, server):
        with pytest.raises(KeyError):
            with pool.get() as c:
                pool.ask(c, "asked and answered")
                raise KeyError

        check_full(pool, server)
        assert closes(pool) == {}

    def test_an_error_in_the_middle_of_a_question_costs_it(self, pool, server):
        with pytest.raises(KeyError):
            with pool.get() as c:
                c.pgconn.send_query(b"SELECT pg_sleep(600)")
                raise KeyError

        check_full(pool, server)
        assert closes(pool) == {"broken": 1}
        check_answers(pool)

    def test_one_that_comes_back_in_the_middle_of_a_question_goes_to_nobody(self, pool, server):
        with pool.get() as c:
            c.pgconn.send_query(b"SELECT pg_sleep(600)")

        eventually(lambda: closes(pool) == {"reset_failed": 1}, pool)
        check_full(pool, server)
        check_answers(pool)

    def test_a_transaction_left_open_does_not_reach_the_next_user(self, pool, server):
        with pool.get() as c:
            c.execute("CREATE TABLE notes (note text)")

        with pool.get() as c:
            assert c.execute("SELECT to_regclass('notes')").fetchone() == (None,)
        check_full(pool, server)
        assert closes(pool) == {}
