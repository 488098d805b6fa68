"""What one needs to test a pool: a simulated world for gevent, and peers to put into it."""

from geventconnpool.testing.fakes import FakeConnection, FakePeer, RecordingListener
from geventconnpool.testing.loop import LivelockError, SimulatedLoop
from geventconnpool.testing.simulation import Simulation

__all__ = [
    "FakeConnection",
    "FakePeer",
    "LivelockError",
    "RecordingListener",
    "SimulatedLoop",
    "Simulation",
]
