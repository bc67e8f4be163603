"""The process that gathers: sources, tables, the feed, the Corefile, and HTTP for operators."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from clusterdns import __version__
from clusterdns.corefile.record import Record, Recorder
from clusterdns.errors import ConfigErrors
from clusterdns.net.machine import Machine
from clusterdns.plugins.build import Config
from clusterdns.roles import lastgood
from clusterdns.roles.child import Child, Options
from clusterdns.roles.control import (
    Abort,
    Commit,
    Drain,
    Message,
    Prepared,
    Proposal,
    Refused,
    Reload,
    Setup,
    Stop,
    Where,
    read_record,
    sockets_of,
    store_record,
)
from clusterdns.roles.feeder import Feeder
from clusterdns.roles.hub import Hub
from clusterdns.roles.intake import sources
from clusterdns.roles.load import load, load_again
from clusterdns.roles.output import BugReporter
from clusterdns.roles.priority import stand_back
from clusterdns.roles.process import settle_memory
from clusterdns.roles.serving import handle_loop_errors, say_served, warn
from clusterdns.roles.slots import BEGINNING, CONTROLLER, STALE, Phase
from clusterdns.roles.watch import CorefileWatch
from clusterdns.sources.threads import in_thread

if TYPE_CHECKING:
    from clusterdns.admin.http import Admin

# Seconds that a thread may run while another one waits
_SWITCH = 0.0005

_log = logging.getLogger("clusterdns")


class _Loaded:
    """A configuration with the sockets that came with it."""

    def __init__(self, setup: Setup, record: Record, config: Config, http: dict[Where, socket.socket]) -> None:
        self.setup, self.record, self.config, self.http = setup, record, config, http


class Controller(Child):
    """`options.feed`: the listening socket of the feed. Implements `admin.probes.Probes`."""

    def __init__(self, options: Options, write: Callable[[str], None]) -> None:
        super().__init__(options)
        self._write, self._machine = write, Machine()
        stand_back()
        # A thread that reads a list does not keep the loop from an event for longer
        sys.setswitchinterval(_SWITCH)
        self._report = BugReporter(self.loop.time)
        handle_loop_errors(self._report)
        self._hub = Hub(self._report)
        self._feeder = Feeder(self._hub.tables)
        self._watch = CorefileWatch(self._machine, self._propose)
        self._admin: Admin | None = None
        self._current: _Loaded | None = None
        self._next: _Loaded | None = None
        self._draining = False
        # A proposal is with the supervisor; another one is wanted after it
        self._proposed = self._again = False
        self._reading: asyncio.Task[None] | None = None
        # The first configuration of this server is ours: say what is served
        self._announce = False

    async def take(self, message: Message, descriptors: Sequence[int]) -> None:
        if isinstance(message, Reload):
            self._propose()
        elif isinstance(message, Setup):
            await self._set_up(message, descriptors)
        elif isinstance(message, Commit) and self._next and self._next.setup.generation == message.generation:
            await self._commit(self._next)
        elif isinstance(message, Abort):
            await self._abort(message)
        elif isinstance(message, Drain):
            self._draining = True
        elif isinstance(message, Stop):
            self.stop()

    def close(self) -> None:
        self._watch.close()
        self._feeder.close()
        self._hub.close()

    def stopped(self) -> list[str]:
        now = time.monotonic()
        return [
            f"{_name(index)}: its loop has not run for {slot.age(now):.0f} s"
            for index, slot in self.slots.used().items()
            if slot.age(now) > (STALE if slot.phase is Phase.SERVING else BEGINNING)
        ]

    def unready(self) -> list[str]:
        workers = [slot for index, slot in self.slots.used().items() if index != CONTROLLER]
        if not any(slot.phase is Phase.SERVING for slot in workers):
            return [*self._missing(), "workers: none serves yet"]
        # While the API server is away a controller that was started again knows less than its workers
        return [] if any(slot.whole for slot in workers) else self._missing()

    def _missing(self) -> list[str]:
        served = sources(self._current.config) if self._current else ()
        return [f"kubernetes: {text}" for text in self._hub.missing(served)]

    def draining(self) -> bool:
        return self._draining

    def report(self) -> list[str]:
        workers = [
            f"{_name(index)}: {slot.phase.name.lower()}, process {slot.pid}, {slot.total()} answers"
            for index, slot in self.slots.used().items()
            if index != CONTROLLER
        ]
        return self._hub.report() + workers

    def _propose(self) -> None:
        """Read the Corefile and say what is in it, or what is wrong with it."""
        if self._proposed:
            self._again = True
            return
        self._proposed, self._again = True, False
        task = self.loop.create_task(self._read_and_propose())
        task.add_done_callback(self._report_bug)
        self._reading = task

    async def _read_and_propose(self) -> None:
        """In a thread: a host name in a Corefile is looked up by the system, which may take its time."""
        recorder = Recorder(self._machine)
        try:
            config = await in_thread(partial(load, self.options.settings, recorder, self._write), "corefile")
        except ConfigErrors as error:
            self._refuse(error, recorder.record())
            return
        self._send_proposal(config, recorder.record())

    def _report_bug(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error, "while reading the Corefile")
            self._proposed = False

    def _refuse(self, error: ConfigErrors, record: Record) -> None:
        if self._current is not None:
            _log.error("reload: %s; the configuration that was loaded is served on", error)
            # Not tried again before it changes
            self._watch.follow(record, self._current.config.shared.process.reload)
            self._settled()
            return
        try:
            self._send_proposal(*lastgood.load(self.options.settings, error, self._write))
        except ConfigErrors:
            self.send(Refused("\n".join(f"clusterdns: {each}" for each in error.errors)))

    def _send_proposal(self, config: Config, record: Record) -> None:
        process = config.shared.process
        proposal = Proposal(
            tuple((listener.address, listener.port) for listener in config.listeners),
            tuple(dict.fromkeys((*process.health, *process.ready))),
            self._machine.interfaces(),
            process.lameduck,
            process.workers,
        )
        descriptor = store_record(record)
        self._announce = self._current is None
        if self._current is not None:
            # While it is prepared nobody need find out again that the files have changed
            self._watch.follow(record, self._current.config.shared.process.reload)
        self.send(proposal, (descriptor,))
        os.close(descriptor)

    async def _set_up(self, setup: Setup, descriptors: Sequence[int]) -> None:
        dns, http = sockets_of(setup, descriptors)
        record = read_record(descriptors[0])
        ports = {where: _port(udp[0]) for where, (udp, _) in dns.items()}
        for descriptor in (descriptors[0], *(each for udp, tcp in dns.values() for each in udp + tcp)):
            os.close(descriptor)
        config = load_again(self.options.settings, record, self._write)
        loaded = _Loaded(setup, record, config, {where: socket.socket(fileno=each) for where, each in http.items()})
        if setup.now:
            await self._begin(loaded, ports)
        else:
            self._next = loaded
            await self._hub.start(sources(config))
            self._feeder.refresh()
            self.send(Prepared(setup.generation))

    async def _begin(self, loaded: _Loaded, ports: dict[Where, int]) -> None:
        if self._announce:
            lastgood.begin(self.options.settings.state)
            warn(loaded.config)
            if not self.options.settings.quiet:
                say_served(loaded.config, ports, self._write)
                self._write(f"clusterdns-{__version__}")
        await self._feeder.start(socket.socket(fileno=int(self.options.feed)))
        await self._adopt(loaded)
        await self._hub.start(sources(loaded.config))
        self._feeder.refresh()
        self.slot.phase = Phase.SERVING
        settle_memory()

    async def _commit(self, loaded: _Loaded) -> None:
        self._next = None
        warn(loaded.config, self._current.config if self._current else None)
        await self._adopt(loaded)
        self._hub.keep(sources(loaded.config))
        _log.info("reloaded: the configuration has SHA-512 %s", loaded.record.digest)

    async def _adopt(self, loaded: _Loaded) -> None:
        old, self._current = self._current, loaded
        process = loaded.config.shared.process
        # An address that was served already keeps its socket
        kept = old.http if old else {}
        for where in loaded.http.keys() & kept.keys():
            loaded.http[where].close()
            loaded.http[where] = kept[where]
        if loaded.http or self._admin:
            from clusterdns.admin.http import Admin

            self._admin = self._admin or Admin(self)
            await self._admin.start(loaded.http, process)
        for where in kept.keys() - loaded.http.keys():
            kept[where].close()
        self._watch.follow(loaded.record, process.reload)
        self._settled()
        lastgood.write(self.options.settings.state, loaded.record)

    async def _abort(self, message: Abort) -> None:
        """Somebody could not do it, or an address cannot be had."""
        _log.error("reload: %s; the configuration that was loaded is served on", message.text)
        loaded, self._next = self._next, None
        if loaded is not None:
            for sock in loaded.http.values():
                sock.close()
        if self._current is not None:
            self._hub.keep(sources(self._current.config))
            self._feeder.refresh()
            # It may be possible at the next look
            self._watch.follow(self._current.record, self._current.config.shared.process.reload)
        self._settled()

    def _settled(self) -> None:
        """The supervisor has done something about our proposal."""
        self._proposed = False
        if self._again:
            self._propose()


def _port(descriptor: int) -> int:
    """What the kernel drew for port 0."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return int(sock.getsockname()[1])


def _name(index: int) -> str:
    return "controller" if index == CONTROLLER else f"worker {index}"
