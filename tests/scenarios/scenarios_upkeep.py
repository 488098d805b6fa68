"""What time brings: pings, checks, ends of lives, leaks."""

from scenario_runner import Scenario

SCENARIOS = [
    Scenario(
        "an idle connection is pinged in time, one in use is not",
        pool={"size": 2, "keepalive": 10},
        pings=True,
        steps="""
            1.0 ann takes
            14.0 ann leaves
            20.0 pool shows idle=2
            26.0 pool shows idle=2
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.000 connection_created 2
            0.100 connection_ready 1
            0.100 connection_ready 2
            0.100 pool_ready
            1.000 connection_acquired 2
            11.100 connection_pinged 1
            14.000 connection_released 2
            22.100 connection_pinged 1
            24.100 connection_pinged 2
        """,
    ),
    Scenario(
        "a connection that fails its ping is replaced as unchecked",
        pool={"keepalive": 10},
        pings=True,
        steps="""
            5.0 peer cuts 1
            12.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            11.000 connection_pinged 1
            11.000 connection_closed 1 unchecked
            11.000 connection_created 2
            11.100 connection_ready 2
            11.100 pool_ready
        """,
    ),
    Scenario(
        "a ping that takes too long has failed",
        pool={"keepalive": 10, "keepalive_timeout": 3},
        pings=True,
        steps="""
            5.0 peer silent
            13.0 pool shows checking=1
            14.1 peer speaking
            15.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            14.000 connection_pinged 1
            14.000 connection_closed 1 unchecked
            14.000 connection_created 2
            14.100 connection_ready 2
            14.100 pool_ready
        """,
    ),
    Scenario(
        "with check_after 0 a connection is checked also from hand to hand",
        pool={"check_after": 0},
        pings=True,
        steps="""
            0.5 ann takes
            1.0 bob takes
            2.0 ann leaves
            2.05 bob waits
            2.2 bob has 1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.600 connection_pinged 1
            0.600 connection_acquired 1
            2.000 connection_released 1
            2.100 connection_pinged 1
            2.100 connection_acquired 1
        """,
    ),
    Scenario(
        "above min_size what was idle for too long is closed",
        pool={"size": 2, "min_size": 1, "idle_timeout": 10},
        steps="""
            0.5 ann takes
            0.5 bob takes
            1.0 ann leaves
            1.0 bob leaves
            30.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            0.500 connection_acquired 1
            0.500 connection_created 2
            0.600 connection_ready 2
            0.600 connection_acquired 2
            1.000 connection_released 1
            1.000 connection_released 2
            11.000 connection_closed 1 idle
        """,
    ),
    Scenario(
        "where there is room the replacement of an expired connection is opened first",
        pool={"size": 2, "min_size": 1, "max_lifetime": 10},
        steps="""
            11.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            10.000 connection_created 2
            10.100 connection_ready 2
            10.100 connection_closed 1 expired
        """,
    ),
    Scenario(
        "where there is no room an expired connection is closed first",
        pool={"max_lifetime": 10},
        steps="""
            11.0 pool shows idle=1
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            10.000 connection_closed 1 expired
            10.000 connection_created 2
            10.100 connection_ready 2
            10.100 pool_ready
        """,
    ),
    Scenario(
        "a leak is reported once, and once more when it comes back after all",
        pool={"leak_threshold": 5},
        steps="""
            1.0 ann takes
            20.0 ann leaves
        """,
        told="""
            0.000 pool_opened
            0.000 connection_created 1
            0.100 connection_ready 1
            0.100 pool_ready
            1.000 connection_acquired 1
            6.500 leak_suspected 1
            20.000 connection_released 1
            20.000 leak_returned 1
        """,
    ),
]
