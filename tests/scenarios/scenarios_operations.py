"""Drain, pause, resume, resize, check."""

from scenario_runner import Scenario

SCENARIOS = [
    Scenario(
        "drain replaces idle connections now and active ones as they come back",
        pool={"size": 2},
        steps="""
            1.0 ann takes
            1.5 pool drains
            2.0 pool shows active=1 idle=1
            3.0 ann leaves
            3.5 pool shows idle=2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            1.000 connection_acquired 2
            1.500 pool_drained
            1.500 connection_closed 1 drained
            1.500 connection_created 3
            1.600 connection_ready 3
            3.000 connection_released 2
            3.000 connection_closed 2 drained
            3.000 connection_created 4
            3.100 connection_ready 4
        """,
    ),
    Scenario(
        "drain abandons connects under way and begins new ones",
        peer={"latency": 2.0},
        steps="""
            1.0 pool drains
            3.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            1.000 pool_drained
            1.000 connection_closed 1 drained
            1.000 connection_created 2
            3.000 connection_ready 2
            3.000 pool_ready
        """,
    ),
    Scenario(
        "drain with interrupt closes active ones under their users",
        steps="""
            1.0 ann takes
            1.5 pool drains interrupt
            2.0 pool shows idle=1
            3.0 ann leaves
            3.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.000 connection_acquired 1
            1.500 pool_drained
            1.500 connection_closed 1 drained
            1.500 connection_created 2
            1.600 connection_ready 2
            1.600 pool_ready
        """,
    ),
    Scenario(
        "drain with interrupt in the moment of a hand-over leaves the waiter the next in line",
        steps="""
            1.0 ann takes
            1.1 bob takes
            1.2 cid takes
            2.0 ann gives
            and pool drains interrupt
            3.0 bob has 2
            3.0 cid waits
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.000 connection_acquired 1
            2.000 connection_released 1
            2.000 pool_drained
            2.000 connection_closed 1 drained
            2.000 connection_created 2
            2.100 connection_ready 2
            2.100 pool_ready
            2.100 connection_acquired 2
        """,
    ),
    Scenario(
        "pause sends everybody away, keeps what is idle and opens nothing",
        pool={"size": 2},
        steps="""
            1.0 ann takes
            1.0 bob takes
            1.1 cid takes
            2.0 pool pauses
            2.0 cid gets PoolPaused
            2.5 dan takes
            2.5 dan gets PoolPaused
            3.0 ann leaves OSError
            3.0 bob leaves
            5.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            1.000 connection_acquired 2
            1.000 connection_acquired 1
            2.000 pool_paused
            2.000 acquire_failed paused
            2.500 acquire_failed paused
            3.000 connection_released 2
            3.000 connection_closed 2 broken
            3.000 connection_released 1
        """,
    ),
    Scenario(
        "pausing a paused pool and resuming an open one say nothing",
        steps="""
            1.0 pool resumes
            2.0 pool pauses
            2.5 pool pauses
            3.0 pool resumes
            3.5 pool resumes
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            2.000 pool_paused
            3.000 pool_resumed
            3.000 pool_ready
        """,
    ),
    Scenario(
        "pause lets connects under way go on",
        peer={"latency": 2.0},
        steps="""
            1.0 pool pauses
            3.0 pool shows idle=1
            3.0 pool resumes
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            1.000 pool_paused
            2.000 connection_ready 1
            3.000 pool_resumed
            3.000 pool_ready
        """,
    ),
    Scenario(
        "pause with interrupt abandons connects under way",
        peer={"latency": 2.0},
        steps="""
            1.0 pool pauses interrupt
            3.0 pool shows
            3.0 pool resumes
            5.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            1.000 pool_paused
            1.000 connection_closed 1 drained
            3.000 pool_resumed
            3.000 connection_created 2
            5.000 connection_ready 2
            5.000 pool_ready
        """,
    ),
    Scenario(
        "pause, drain and resume are a failover",
        pool={"size": 2},
        steps="""
            1.0 ann takes
            2.0 pool pauses
            2.0 pool drains
            3.0 pool shows active=1
            4.0 pool resumes
            4.5 pool shows active=1 idle=1
            5.0 ann leaves
            5.5 pool shows idle=2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            1.000 connection_acquired 2
            2.000 pool_paused
            2.000 pool_drained
            2.000 connection_closed 1 drained
            4.000 pool_resumed
            4.000 connection_created 3
            4.100 connection_ready 3
            4.100 pool_ready
            5.000 connection_released 2
            5.000 connection_closed 2 drained
            5.000 connection_created 4
            5.100 connection_ready 4
        """,
    ),
    Scenario(
        "growing opens more at once",
        steps="""
            1.0 pool resizes 3
            1.5 pool shows idle=3
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.000 pool_resized
            1.000 connection_created 2
            1.000 connection_created 3
            1.100 connection_ready 2
            1.100 connection_ready 3
        """,
    ),
    Scenario(
        "shrinking closes idle ones now and active ones as they come back",
        pool={"size": 3},
        steps="""
            1.0 ann takes
            1.0 bob takes
            2.0 pool resizes 1
            2.5 pool shows active=2
            3.0 ann leaves
            4.0 bob leaves
            4.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.000 connection_created 3
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 connection_ready 3
            0.100 pool_ready
            1.000 connection_acquired 3
            1.000 connection_acquired 2
            2.000 pool_resized
            2.000 connection_closed 1 resized
            3.000 connection_released 3
            3.000 connection_closed 3 resized
            4.000 connection_released 2
        """,
    ),
    Scenario(
        "shrinking abandons connects before it closes anything",
        pool={"size": 3, "min_size": 1},
        steps="""
            1.0 ann takes
            1.0 peer latency 2
            1.1 bob takes
            1.2 cid takes
            1.5 pool resizes 2
            3.5 bob has 2
            3.5 cid waits
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.000 connection_acquired 1
            1.100 connection_created 2
            1.200 connection_created 3
            1.500 pool_resized
            1.500 connection_closed 3 resized
            3.100 connection_ready 2
            3.100 connection_acquired 2
        """,
    ),
    Scenario(
        "check pings everything and replaces what failed, while the pool serves on",
        pool={"size": 3},
        pings=True,
        steps="""
            1.5 peer cuts 1
            2.0 pool checks
            2.0 ann takes
            3.0 pool shows active=1 idle=2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.000 connection_created 3
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 connection_ready 3
            0.100 pool_ready
            2.000 connection_pinged 1
            2.000 connection_closed 1 unchecked
            2.000 connection_created 4
            2.000 connection_acquired 3
            2.100 connection_ready 4
            2.100 connection_pinged 2
        """,
    ),
    Scenario(
        "a pool that is not open yet serves nobody until it is opened",
        pool={"start": False},
        steps="""
            1.0 ann takes
            1.0 ann gets PoolClosed
            2.0 pool opens
            2.5 pool opens
            3.0 bob takes
            3.0 bob has 1
        """,
        told="""
            1.000 acquire_failed closed
            2.000 pool_opened
            2.000 connection_created 1
            2.100 connection_ready 1
            2.100 pool_ready
            3.000 connection_acquired 1
        """,
    ),
]
