"""One run of the demo, from the certificate to the verdict."""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import gevent
from gevent.event import Event

from geventconnpool import clock
from geventconnpool.cli.demo.certificates import CertificateError, client_context, make_certificate
from geventconnpool.cli.demo.clients import Load, Tally
from geventconnpool.cli.demo.faults import Faults
from geventconnpool.cli.demo.pool import DemoPool
from geventconnpool.cli.demo.screen import Screen, View, make_screen
from geventconnpool.cli.demo.summary import Summary, of_pool, of_requests, of_restarts, usable
from geventconnpool.cli.demo.supervisor import ServerError, Supervisor
from geventconnpool.errors import PoolError

__all__ = ["run"]

_FULL_WITHIN = 6.0  # seconds from the last restart, or from the end of the load
_RESTARTED_WITHIN = 6.0
_LAST_REQUESTS = 4.0
_FIRST_FILL = 10.0
_LOOK_EVERY = 0.02
_WARNINGS_SHOWN = 5
_OTHER_FILES = 100  # descriptors for everything but connections


def run(arguments: argparse.Namespace) -> int:
    """Carry the demo out, tell of it, and return the exit status."""
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    _allow_files(arguments)
    try:
        summary = _Demo(arguments).run()
    except CertificateError as error:
        arguments.refuse(str(error))
    except ServerError as error:
        print(f"demo: the server did not start: {error}", file=sys.stderr)
        return 1
    try:
        text = json.dumps(summary.as_dict(), indent=2) if arguments.json else f"\n{summary}"
        print(text, flush=True)
    except OSError:
        sys.stdout = None  # nobody reads, so nothing may be said at exit either
        return 1
    return 0 if summary.ok else 1


def _allow_files(arguments: argparse.Namespace) -> None:
    needed = arguments.size + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        arguments.refuse(
            f"argument --size: {arguments.size} needs {needed} open files, "
            f"more than the limit of {hard} (ulimit -n)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class _Warnings(logging.Handler):
    """Keeps the last warnings of the package off the screen, for the summary."""

    def __init__(self, counts: dict[str, int]) -> None:
        super().__init__(logging.WARNING)
        self._counts = counts

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._counts[text] = self._counts.pop(text, 0) + 1
        if len(self._counts) > _WARNINGS_SHOWN:
            del self._counts[next(iter(self._counts))]


class _Demo:
    """The parts of one run, put together."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._enough = Event()
        """The run is over, because its time is or because somebody said so."""
        self._interrupts = 0
        self._tally = Tally()
        self._warnings: dict[str, int] = {}
        self._screen: Screen
        self._supervisor: Supervisor
        self._pool: DemoPool
        self._load: Load
        self._faults: Faults | None = None
        self._began = clock.now()

    def run(self) -> Summary:
        """The whole run; everything is closed again at its end, however it ends."""
        arguments = self._arguments
        with ExitStack() as stack:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="geventconnpool-"))
            )
            certificate = make_certificate(directory) if arguments.tls else None
            stack.enter_context(self._interruptible())
            stack.enter_context(self._logging())
            self._screen = make_screen(json=arguments.json, on_closed=self._enough.set)
            stack.callback(self._screen.close)
            self._supervisor = Supervisor(
                directory,
                certificate=certificate,
                seed=arguments.seed,
                restart_after=arguments.restart_after,
                note=self._note,
            )
            stack.callback(self._supervisor.stop)
            self._supervisor.start()
            context = client_context(certificate) if certificate else None
            self._pool = DemoPool(
                arguments.size, self._supervisor.port, context, self._tally.listen
            )
            stack.callback(self._pool.close)
            return self._under_load()

    def _under_load(self) -> Summary:
        arguments = self._arguments
        self._greet()
        self._load = Load(self._pool, self._tally, arguments.clients, arguments.seed)
        with self._watched():
            self._began = clock.now()
            self._load.start()
            if not arguments.calm:
                self._faults = Faults(
                    arguments.seconds, arguments.seed, self._load, self._supervisor
                )
                self._faults.start()
            self._enough.wait(arguments.seconds)
            seconds = clock.now() - self._began
            self._settle()
        return self._summary(seconds)

    def _summary(self, seconds: float) -> Summary:
        arguments, figures = self._arguments, self._supervisor.figures
        faults = (
            {} if self._faults is None else {**self._faults.counts, "late_answers": figures.late}
        )
        return Summary(
            seconds=round(seconds, 3),
            seed=arguments.seed,
            size=arguments.size,
            clients=arguments.clients,
            tls=arguments.tls,
            calm=arguments.calm,
            interrupted=self._interrupts > 0,
            most_at_server=figures.most,
            faults=faults,
            warnings=tuple(
                f"{text} ({count} times)" if count > 1 else text
                for text, count in self._warnings.items()
            ),
            **of_requests(self._tally),
            **of_pool(self._pool.stats()),
            **of_restarts(self._supervisor.restarts, self._began),
        )

    def _greet(self) -> None:
        supervisor, arguments = self._supervisor, self._arguments
        self._screen.note(
            f"seed {arguments.seed}; server {supervisor.pid} on 127.0.0.1:{supervisor.port}"
            + (" over TLS" if arguments.tls else "")
        )
        try:
            self._pool.wait_ready(timeout=_FIRST_FILL)
        except PoolError as error:
            self._note(str(error))

    def _settle(self) -> None:
        """End the faults and the load, and give the pool the time it may take to be full."""
        self._enough.set()
        if self._faults is not None:
            self._faults.stop()
        self._load.stop(_LAST_REQUESTS if not self._interrupts else 1.0)
        self._supervisor.hurry()
        ended = clock.now()
        while self._interrupts < 2 and not self._is_full():
            if clock.now() > self._full_by(ended):
                return
            gevent.sleep(_LOOK_EVERY)

    def _full_by(self, ended: float) -> float:
        """When the pool must be full, as far as can be told."""
        for last in self._supervisor.restarts[-1:]:
            if last.up_at is None:
                return ended + _RESTARTED_WITHIN + _FULL_WITHIN
            return max(ended, last.up_at) + _FULL_WITHIN
        return ended + _FULL_WITHIN

    def _is_full(self) -> bool:
        return usable(self._pool.stats()) == self._pool.size

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Show how it goes, and note when the pool is full again, as long as the block lasts."""
        greenlets = [gevent.spawn(self._show), gevent.spawn(self._note_when_full)]
        try:
            yield
        finally:
            gevent.killall(greenlets)

    def _show(self) -> None:
        then, right, rate = clock.now(), 0, 0.0
        while True:
            now = clock.now()
            if now - then >= 1.0:
                rate = (self._tally.right - right) / (now - then)
                then, right = now, self._tally.right
            stats, seconds = self._pool.stats(), self._arguments.seconds
            self._screen.show(View.of(now - self._began, seconds, stats, self._tally, rate))
            gevent.sleep(self._screen.interval)

    def _note_when_full(self) -> None:
        while True:
            for restart in self._supervisor.restarts[-1:]:
                if restart.full_at is None and restart.up_at is not None and self._is_full():
                    restart.full_at = clock.now()
                    after = restart.full_at - restart.up_at
                    self._note(f"pool full again, {after:.2f} s after the restart")
            gevent.sleep(_LOOK_EVERY)

    def _note(self, text: str) -> None:
        self._screen.note(f"{clock.now() - self._began:5.1f} s | {text}")

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C and a polite kill end the run, not the process, as long as the block lasts."""
        watched = (signal.SIGINT, signal.SIGTERM)
        before = [signal.getsignal(number) for number in watched]
        watchers = [gevent.signal_handler(number, self._interrupt) for number in watched]
        try:
            yield
        finally:
            for number, handler, watcher in zip(watched, before, watchers, strict=True):
                watcher.cancel()
                signal.signal(number, handler)

    def _interrupt(self) -> None:
        self._interrupts += 1
        self._enough.set()

    @contextmanager
    def _logging(self) -> Iterator[None]:
        logger = logging.getLogger("geventconnpool")
        propagate, logger.propagate = logger.propagate, False
        # In nobody's hands but ours: one that lives on disturbs the interpreter's end.
        handler = _Warnings(self._warnings)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate
