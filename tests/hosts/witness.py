"""What the backend saw: who spoke in which session, and how each of them ended."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hosting import eventually


@dataclass(frozen=True)
class Session:
    """One session, as the backend saw it."""

    id: int
    lines: tuple[tuple[int, str], ...]
    """Who said what: process ids (0 where none was told), and the rest of each line."""
    opened: int
    ended: int | None
    """When it ended, counted in beginnings and ends; None while it is open."""

    @property
    def owner(self) -> int:
        """The process that spoke first; 0 if nobody has."""
        return self.lines[0][0] if self.lines else 0

    @property
    def said_goodbye(self) -> bool:
        return any(what == "QUIT" for _, what in self.lines)


class Witness:
    """Asks the backend what it has seen."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.port = ports["open"]
        self._control = socket.create_connection(("127.0.0.1", ports["control"]), timeout=30)
        self._answers = self._control.makefile("r")

    def close(self) -> None:
        self._answers.close()
        self._control.close()

    def sessions(self, owner: int | None = None) -> list[Session]:
        """All sessions, or those of one process."""
        sessions = [_session(raw) for raw in self._tell("report")]
        return [s for s in sessions if owner is None or s.owner == owner]

    def open(self, owner: int | None = None) -> list[Session]:
        """The sessions that have not ended."""
        return [session for session in self.sessions(owner) if session.ended is None]

    def questions(self, pattern: str, owner: int | None = None) -> list[str]:
        """Everything that was said, or said by one process, and matches *pattern*."""
        said = [what for session in self.sessions(owner) for _, what in session.lines]
        return [what for what in said if re.fullmatch(pattern, what)]

    def release(self) -> None:
        """Have those answered who were made to wait."""
        self._tell("release")

    def wait_for(self, condition: Callable[[list[Session]], object]) -> list[Session]:
        """The sessions, as soon as *condition* is true of them."""
        eventually(lambda: condition(self.sessions()), "the backend saw something else")
        return self.sessions()

    def wait_all_ended(self) -> list[Session]:
        """All sessions, none of which is open."""
        return self.wait_for(lambda sessions: all(s.ended is not None for s in sessions))

    def check_nobody_shares(self, size: int) -> None:
        """Nobody speaks in a session of another process, or has more than *size* at once."""
        sessions = self.sessions()
        for session in sessions:
            speakers = {process for process, _ in session.lines}
            assert len(speakers) <= 1, f"shared: {session}"
        for owner in {session.owner for session in sessions}:
            assert peak([s for s in sessions if s.owner == owner]) <= size, owner

    def _tell(self, command: str) -> list[dict[str, Any]]:
        self._control.sendall(command.encode() + b"\n")
        answer: list[dict[str, Any]] = json.loads(self._answers.readline())
        return answer


def peak(sessions: list[Session]) -> int:
    """How many of *sessions* were open at once, at most."""
    changes = Counter({session.opened: 1 for session in sessions})
    changes.update({session.ended: -1 for session in sessions if session.ended is not None})
    most = now = 0
    for moment in sorted(changes):
        now += changes[moment]
        most = max(most, now)
    return most


def _session(raw: dict[str, Any]) -> Session:
    lines = [re.fullmatch(r"(?:(\d+) )?(.*)", line) for line in raw["received"].splitlines()]
    said = tuple((int(line[1] or 0), line[2]) for line in lines if line is not None)
    return Session(raw["id"], said, raw["opened"], raw["ended"])
