"""Versions, what gevent has patched, and which client library that will not work with.

``python -m geventconnpool diagnose`` patches nothing itself. In a program of yours::

    from geventconnpool.cli.diagnose import diagnose

    print(diagnose())        # at the end of your imports
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gevent import monkey

from geventconnpool.cli.known_clients import KNOWN, KnownClient
from geventconnpool.cli.unpatched import holdings, ssl_came_first

__all__ = ["ClientState", "Diagnosis", "diagnose", "run"]

_PATCHES = (
    *("socket", "ssl", "select", "selectors", "threading", "queue"),
    *("time", "os", "subprocess", "signal"),
)


@dataclass(frozen=True)
class ClientState:
    """How it is with one client library.

    .. versionadded:: 1.0
    """

    name: str
    version: str
    """What is installed."""
    imported: bool
    too_early: tuple[str, ...]
    """The unpatched objects that it holds, although gevent has replaced them since."""
    blocks: bool
    """Whether it blocks every greenlet although gevent has patched."""
    advice: str


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found. Its text is for people.

    .. versionadded:: 1.0
    """

    versions: Mapping[str, str]
    patched: Mapping[str, bool]
    clients: tuple[ClientState, ...]
    """The known ones that are installed."""
    problems: tuple[str, ...]
    """What is wrong, in one line each."""
    notes: tuple[str, ...]
    """What may be worth knowing."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "ok": self.ok,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "patched": dict(self.patched),
            "clients": [
                {**vars(client), "too_early": [*client.too_early]} for client in self.clients
            ],
        }

    def __str__(self) -> str:
        yes = [name for name, patched in self.patched.items() if patched]
        no = [name for name, patched in self.patched.items() if not patched]
        lines = ["Versions", *_rows(self.versions.items())]
        lines += ["", "Monkey-patched by gevent"]
        lines += _rows([("yes", ", ".join(yes) or "nothing"), ("no", ", ".join(no) or "nothing")])
        lines += ["", "Clients installed"]
        lines += _rows((f"{c.name} {c.version}", _client_text(c)) for c in self.clients)
        for title, texts in (("Notes", self.notes), ("Wrong", self.problems)):
            lines += ["", title, *(f"  - {text}" for text in texts)] if texts else []
        return "\n".join(
            [*lines, "", "Something is wrong." if self.problems else "Nothing is wrong."]
        )


def diagnose(own: Iterable[str] = ()) -> Diagnosis:
    """Look at this process as it is now: call it at the end of your imports.

    :param own: names of packages or modules of yours, which must not hold unpatched objects
        any more than the known clients must.

    .. versionadded:: 1.0
    """
    return _diagnose(own, ssl_came_first())


def _diagnose(own: Iterable[str], ssl_first: bool) -> Diagnosis:
    held = holdings()
    clients = tuple(state for known in KNOWN for state in _client_states(known, held))
    patched = {name: _is_patched(name) for name in _PATCHES}
    mine = [name for name in held if _belongs(name, own)]
    known = [name for name in held if _belongs(name, (client.module for client in KNOWN))]
    others = [name for name in held if name not in mine and name not in known]
    problems = [text for client in clients for text in _client_problems(client)]
    problems += [f"{name} imported {_listed(held[name])} before patching" for name in mine]
    return Diagnosis(
        _versions(),
        patched,
        clients,
        tuple(problems),
        (*_notes(patched, clients, ssl_first), *_notes_on_others(others, held)),
    )


def run(arguments: argparse.Namespace) -> int:
    """The command: import what is named, look, and tell."""
    ssl_is_ours = "ssl" in sys.modules  # then its place in the order says nothing
    for name in arguments.modules:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            arguments.refuse(f"argument --import: {name}: {_failure(error)}")
    diagnosis = _diagnose(arguments.modules, ssl_came_first() and not ssl_is_ours)
    print(json.dumps(diagnosis.as_dict(), indent=2) if arguments.json else diagnosis)
    return 0 if diagnosis.ok else 1


def _failure(error: BaseException) -> str:
    """What may be shown of it: what is said here is made to be passed on."""
    if isinstance(error, (ImportError, SyntaxError)):  # the texts name modules and lines
        return f"{type(error).__name__}: {error}"
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_code.co_filename}, line {line}"


def _versions() -> dict[str, str]:
    # Imported here: by now the program's own imports and patches have had their turn.
    import platform

    import gevent
    import greenlet

    from geventconnpool import __version__

    hub = gevent.get_hub()
    return {
        "geventconnpool": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "gevent": gevent.__version__,
        "greenlet": greenlet.__version__,
        "loop": f"{type(hub.loop).__module__}, {getattr(hub.loop, 'backend', 'unknown')}",
        "resolver": f"{hub.resolver_class.__module__}",
        "platform": platform.platform(),
    }


def _is_patched(name: str) -> bool:
    if name == "queue":  # gevent before 25.4.1 patches but its SimpleQueue
        return monkey.is_object_patched("queue", "Queue")
    return monkey.is_module_patched(name)


def _belongs(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _client_states(known: KnownClient, held: Mapping[str, list[str]]) -> list[ClientState]:
    version, imported = _version_of(known), known.module in sys.modules
    if version is None and not imported:
        return []
    objects = {what for name in held if _belongs(name, [known.module]) for what in held[name]}
    blocks = imported and monkey.is_module_patched("socket") and known.blocks()
    return [
        ClientState(
            known.module,
            version or "(version unknown)",
            imported,
            tuple(sorted(objects)),
            blocks,
            known.advice,
        )
    ]


def _version_of(known: KnownClient) -> str | None:
    from importlib import metadata

    for distribution in known.distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None if known.distributions else "(Python's own)"


def _client_problems(client: ClientState) -> list[str]:
    problems = []
    if client.too_early:
        problems.append(
            f"{client.name} was imported too early, before monkey.patch_all(): "
            f"it still uses the unpatched {_listed(client.too_early)}"
        )
    if client.blocks:
        problems.append(f"{client.name} blocks every greenlet: {client.advice}")
    return problems


def _notes(
    patched: Mapping[str, bool], clients: Iterable[ClientState], ssl_first: bool
) -> list[str]:
    independent = {known.module for known in KNOWN if not known.needs_patching}
    imported = [c.name for c in clients if c.imported and c.name not in independent]
    if not any(patched.values()):
        if not imported:
            return ["nothing is patched"]
        return [f"nothing is patched, so these block every greenlet: {_listed(imported)}"]
    notes = []
    for name in ("socket", "ssl", "select"):
        if not patched[name]:
            notes.append(f"{name} is not patched: what waits with it blocks every greenlet")
    if not patched["queue"]:
        notes.append(
            "queue.Queue is not patched (gevent 25.4.1 does): a client's own pool that is built "
            "on it may lose a place when a waiting greenlet is killed"
        )
    if ssl_first:
        notes.append("ssl was imported before it was patched: patch first, then import")
    return notes


def _notes_on_others(names: Iterable[str], held: Mapping[str, list[str]]) -> list[str]:
    return [
        f"{name} holds the unpatched {_listed(held[name])}, it may be by design" for name in names
    ]


def _client_text(client: ClientState) -> str:
    state = "imported; " if client.imported else ""
    return state + ("TOO EARLY; " if client.too_early else "") + client.advice


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _rows(pairs: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(pairs)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"  {name:<{width}}  {text}" for name, text in rows]
