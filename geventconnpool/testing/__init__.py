"""What one needs to test a pool: a simulated world for gevent, and peers to put into it."""

from geventconnpool.testing.exploring import random_plans, schedules, single_faults
from geventconnpool.testing.fakes import FakeConnection, FakePeer, RecordingListener
from geventconnpool.testing.lives import EventOrder
from geventconnpool.testing.loop import LivelockError, SimulatedLoop
from geventconnpool.testing.oracles import PoolWatch
from geventconnpool.testing.plans import Fault, Plan
from geventconnpool.testing.playing import Record, play
from geventconnpool.testing.proxy import FaultProxy, Way
from geventconnpool.testing.simulation import Simulation

__all__ = [
    "EventOrder",
    "FakeConnection",
    "FakePeer",
    "Fault",
    "FaultProxy",
    "LivelockError",
    "Plan",
    "PoolWatch",
    "Record",
    "RecordingListener",
    "SimulatedLoop",
    "Simulation",
    "Way",
    "play",
    "random_plans",
    "schedules",
    "single_faults",
]
