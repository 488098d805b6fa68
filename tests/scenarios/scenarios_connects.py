"""How connections are opened, and what happens while they cannot be."""

from scenario_runner import Scenario

SCENARIOS = [
    Scenario(
        "filling begins with four and opens two more for each that succeeds",
        pool={"size": 7},
        steps="""
            0.05 pool shows connecting=4
            0.15 pool shows idle=4 connecting=3
            0.25 pool shows idle=7
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.000 connection_created 3
            0.000 connection_created 4
            0.100 connection_ready 1
            0.100 connection_created 5
            0.100 connection_created 6
            0.100 connection_ready 2
            0.100 connection_created 7
            0.100 connection_ready 3
            0.100 connection_ready 4
            0.200 connection_ready 5
            0.200 connection_ready 6
            0.200 connection_ready 7
            0.200 pool_ready
        """,
    ),
    Scenario(
        "an empty pool opens on demand only",
        pool={"size": 2, "min_size": 0},
        steps="""
            5.0 pool shows
            5.0 ann takes
            6.0 ann leaves
            9.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 pool_ready
            5.000 connection_created 1
            5.100 connection_ready 1
            5.100 connection_acquired 1
            6.000 connection_released 1
        """,
    ),
    Scenario(
        "a connect outlives the waiter that caused it",
        pool={"size": 2, "min_size": 0},
        peer={"latency": 1.0},
        steps="""
            1.0 ann takes 0.5
            1.5 ann gets PoolTimeout
            3.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 pool_ready
            1.000 connection_created 1
            1.500 acquire_failed timeout
            2.000 connection_ready 1
        """,
    ),
    Scenario(
        "failed connects back off for the pool as a whole, and it is full again by itself",
        pool={"size": 2},
        steps="""
            0.0 peer down
            6.0 peer up
            9.5 pool shows idle=2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connect_failed 1
            0.100 connection_closed 1 connect_failed
            0.100 connect_failed 2
            0.100 connection_closed 2 connect_failed
            1.100 connection_created 3
            1.200 connect_failed 3
            1.200 connection_closed 3 connect_failed
            3.200 connection_created 4
            3.300 connect_failed 4
            3.300 connection_closed 4 connect_failed
            7.300 connection_created 5
            7.400 connection_ready 5
            8.400 connection_created 6
            8.500 connection_ready 6
            8.500 pool_ready
        """,
    ),
    Scenario(
        "waiters of a peer that is down wait their time",
        steps="""
            0.0 peer down
            0.5 ann takes 5
            5.5 ann gets PoolTimeout
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connect_failed 1
            0.100 connection_closed 1 connect_failed
            1.100 connection_created 2
            1.200 connect_failed 2
            1.200 connection_closed 2 connect_failed
            3.200 connection_created 3
            3.300 connect_failed 3
            3.300 connection_closed 3 connect_failed
            5.500 acquire_failed timeout
        """,
    ),
    Scenario(
        "with fail_fast_after waiters are sent away once connects have failed for so long",
        pool={"fail_fast_after": 2},
        steps="""
            0.0 peer down
            0.5 ann takes
            2.0 ann waits
            2.1 ann gets PoolUnavailable
            2.5 bob takes
            2.5 bob gets PoolUnavailable
            3.0 peer up
            4.0 cid takes
            4.0 cid has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connect_failed 1
            0.100 connection_closed 1 connect_failed
            1.100 connection_created 2
            1.200 connect_failed 2
            1.200 connection_closed 2 connect_failed
            2.100 acquire_failed unavailable
            2.500 acquire_failed unavailable
            3.200 connection_created 3
            3.300 connection_ready 3
            3.300 pool_ready
            4.000 connection_acquired 3
        """,
    ),
    Scenario(
        "a fatal error sends everybody away, and is tried again after the cap of the backoff",
        pool={"fatal_exc_classes": ConnectionRefusedError},
        steps="""
            0.0 peer down
            0.05 ann takes
            0.1 ann gets PoolUnavailable
            1.0 peer up
            4.0 bob takes
            4.0 bob gets PoolUnavailable
            4.5 cid takes
            4.5 cid has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connect_failed 1
            0.100 connection_closed 1 connect_failed
            0.100 acquire_failed unavailable
            4.000 acquire_failed unavailable
            4.100 connection_created 2
            4.200 connection_ready 2
            4.200 pool_ready
            4.500 connection_acquired 2
        """,
    ),
    Scenario(
        "a peer that accepts and hangs up is a failing peer",
        pool={"check_after": 0},
        peer={"hang_up_on_accept": True},
        pings=True,
        steps="""
            0.0 ann takes
            4.0 ann waits
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.100 connection_pinged 1
            0.100 connection_closed 1 unchecked
            1.100 connection_created 2
            1.200 connection_ready 2
            1.200 pool_ready
            1.200 connection_pinged 2
            1.200 connection_closed 2 unchecked
            3.200 connection_created 3
            3.300 connection_ready 3
            3.300 pool_ready
            3.300 connection_pinged 3
            3.300 connection_closed 3 unchecked
        """,
    ),
    Scenario(
        "a connection that broke before it proved itself is replaced after the backoff",
        steps="""
            0.2 ann takes
            0.3 ann leaves OSError
            1.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.200 connection_acquired 1
            0.300 connection_released 1
            0.300 connection_closed 1 broken
            1.300 connection_created 2
            1.400 connection_ready 2
            1.400 pool_ready
        """,
    ),
    Scenario(
        "a proven connection that broke is replaced at once",
        steps="""
            1.5 ann takes
            1.6 ann leaves OSError
            1.8 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.500 connection_acquired 1
            1.600 connection_released 1
            1.600 connection_closed 1 broken
            1.600 connection_created 2
            1.700 connection_ready 2
            1.700 pool_ready
        """,
    ),
]
