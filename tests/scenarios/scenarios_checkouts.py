"""Who is served with what, when, and what becomes of those who are not."""

from scenario_runner import Scenario

SCENARIOS = [
    Scenario(
        "those who wait are served in the order in which they came",
        steps="""
            0.5 ann takes
            0.6 bob takes
            0.7 cid takes
            1.0 ann leaves
            1.0 bob has 1
            2.0 bob leaves
            2.0 cid has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_acquired 1
            2.000 connection_released 1
            2.000 connection_acquired 1
        """,
    ),
    Scenario(
        "whoever comes later does not overtake, even in the moment of a return",
        steps="""
            0.5 ann takes
            0.6 bob takes
            1.0 ann leaves
            and cid takes 0.5
            1.0 bob has 1
            1.5 cid gets PoolTimeout
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_acquired 1
            1.500 acquire_failed timeout
        """,
    ),
    Scenario(
        "a waiter that is killed with a connection in hand passes it on",
        steps="""
            0.5 ann takes
            0.6 bob takes
            0.7 cid takes
            1.0 ann leaves
            and bob is killed
            1.0 bob gets GreenletExit
            1.0 cid has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 acquire_failed interrupted
            1.000 connection_acquired 1
        """,
    ),
    Scenario(
        "a waiter that is killed costs nobody anything",
        steps="""
            0.5 ann takes
            0.6 bob takes
            0.7 bob is killed
            0.8 pool shows active=1
            1.0 ann leaves
            1.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.700 acquire_failed interrupted
            1.000 connection_released 1
        """,
    ),
    Scenario(
        "a waiter takes what comes first, here a returned connection",
        pool={"size": 2, "min_size": 1},
        steps="""
            0.5 ann takes
            0.6 peer latency 3
            0.7 bob takes
            1.0 ann leaves
            1.0 bob has 1
            4.0 pool shows active=1 idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.700 connection_created 2
            1.000 connection_released 1
            1.000 connection_acquired 1
            3.700 connection_ready 2
        """,
    ),
    Scenario(
        "a waiter takes what comes first, here a new connection",
        pool={"size": 2, "min_size": 1},
        steps="""
            0.5 ann takes
            0.7 bob takes
            1.0 bob has 2
            1.0 ann has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.700 connection_created 2
            0.800 connection_ready 2
            0.800 connection_acquired 2
        """,
    ),
    Scenario(
        "without waiting only what is free is taken",
        steps="""
            0.5 ann takes 0
            0.5 ann has 1
            0.6 bob takes 0
            0.6 bob gets PoolTimeout
            1.0 pool shows active=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.600 acquire_failed timeout
        """,
    ),
    Scenario(
        "more than max_waiting do not wait",
        pool={"max_waiting": 1},
        steps="""
            0.5 ann takes
            0.6 bob takes
            0.7 cid takes
            0.7 cid gets TooManyWaiters
            0.8 bob waits
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.700 acquire_failed too_many_waiters
        """,
    ),
    Scenario(
        "the connection that came back last is handed out first",
        pool={"size": 2},
        steps="""
            0.5 ann takes
            0.5 bob takes
            1.0 ann leaves
            1.1 bob leaves
            2.0 cid takes
            2.0 cid has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            0.500 connection_acquired 2
            0.500 connection_acquired 1
            1.000 connection_released 2
            1.100 connection_released 1
            2.000 connection_acquired 1
        """,
    ),
    Scenario(
        "in order fifo the connection that is idle longest is handed out first",
        pool={"size": 2, "order": "fifo"},
        steps="""
            0.5 ann takes
            0.5 bob takes
            1.0 bob leaves
            1.1 ann leaves
            2.0 cid takes
            2.0 cid has 2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            0.500 connection_acquired 1
            0.500 connection_acquired 2
            1.000 connection_released 2
            1.100 connection_released 1
            2.000 connection_acquired 2
        """,
    ),
]
