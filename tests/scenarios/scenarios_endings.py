"""What leaving the block means, and how a pool ends."""

from scenario_runner import Scenario

SCENARIOS = [
    Scenario(
        "a clean exit brings the connection back",
        steps="""
            0.5 ann takes
            1.0 ann leaves
            1.0 pool shows idle=1
            2.0 pool closes
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            2.000 connection_closed 1 closed
            2.000 pool_closed
        """,
    ),
    Scenario(
        "an error of exc_classes means broken",
        steps="""
            1.5 ann takes
            2.0 ann leaves OSError
            2.5 ann gets OSError
            2.5 peer open 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.500 connection_acquired 1
            2.000 connection_released 1
            2.000 connection_closed 1 broken
            2.000 connection_created 2
            2.100 connection_ready 2
            2.100 pool_ready
        """,
    ),
    Scenario(
        "an interruption means that an answer may be under way",
        steps="""
            0.5 ann takes
            1.0 ann leaves Timeout
            1.5 bob takes
            1.5 bob has 2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_closed 1 interrupted
            1.000 connection_created 2
            1.100 connection_ready 2
            1.100 pool_ready
            1.500 connection_acquired 2
        """,
    ),
    Scenario(
        "a kill in the block is an interruption",
        steps="""
            0.5 ann takes
            1.0 ann is killed
            1.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_closed 1 interrupted
            1.000 connection_created 2
            1.100 connection_ready 2
            1.100 pool_ready
        """,
    ),
    Scenario(
        "after another error a connection is asked first where it can be asked",
        pings=True,
        steps="""
            0.5 ann takes
            1.0 ann leaves ValueError
            1.0 pool shows checking=1
            1.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.100 connection_pinged 1
        """,
    ),
    Scenario(
        "after another error somebody who waits gets a new connection",
        steps="""
            1.5 ann takes
            1.6 bob takes
            2.0 ann leaves ValueError
            3.0 bob has 2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.500 connection_acquired 1
            2.000 connection_released 1
            2.000 connection_closed 1 broken
            2.000 connection_created 2
            2.100 connection_ready 2
            2.100 pool_ready
            2.100 connection_acquired 2
        """,
    ),
    Scenario(
        "after another error and with nobody waiting the connection is kept",
        steps="""
            0.5 ann takes
            1.0 ann leaves ValueError
            1.0 pool shows idle=1
            1.5 bob takes
            1.5 bob has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.500 connection_acquired 1
        """,
    ),
    Scenario(
        "a discarded connection is closed when it comes back",
        steps="""
            0.5 ann takes
            0.6 ann discards
            1.0 ann has 1
            1.0 ann leaves
            1.5 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_closed 1 discarded
            1.000 connection_created 2
            1.100 connection_ready 2
            1.100 pool_ready
        """,
    ),
    Scenario(
        "a detached connection leaves for good and open",
        steps="""
            0.5 ann takes
            1.0 ann detaches
            2.0 ann leaves
            2.0 peer open 2
            2.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            1.000 connection_released 1
            1.000 connection_closed 1 detached
            1.000 connection_created 2
            1.100 connection_ready 2
            1.100 pool_ready
        """,
    ),
    Scenario(
        "close sends everybody away and waits for what is out",
        pool={"size": 2},
        steps="""
            0.5 ann takes
            0.5 bob takes
            0.6 cid takes
            1.0 pool closes
            1.0 cid gets PoolClosed
            2.0 ann leaves
            3.0 bob leaves OSError
            3.0 pool shows
            4.0 dan takes
            4.0 dan gets PoolClosed
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
            1.000 acquire_failed closed
            2.000 connection_released 2
            2.000 connection_closed 2 closed
            3.000 connection_released 1
            3.000 connection_closed 1 broken
            3.000 pool_closed
            4.000 acquire_failed closed
        """,
    ),
    Scenario(
        "close gives up waiting, and what comes back later is closed all the same",
        steps="""
            0.5 ann takes
            1.0 pool closes 2
            3.0 pool shows active=1
            4.0 ann leaves
            4.0 pool shows
            4.0 peer open 0
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            3.000 pool_closed
            4.000 connection_released 1
            4.000 connection_closed 1 closed
        """,
    ),
    Scenario(
        "close abandons connects under way",
        pool={"size": 2},
        peer={"latency": 3.0},
        steps="""
            1.0 pool closes
            9.0 peer open 0
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            1.000 connection_closed 1 closed
            1.000 connection_closed 2 closed
            1.000 pool_closed
        """,
    ),
]
