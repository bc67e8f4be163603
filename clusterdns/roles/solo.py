"""`--workers 0`: sources, store, memo, sockets and HTTP in one process and one loop."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from socket import socket
from typing import TYPE_CHECKING

from clusterdns import __version__
from clusterdns.corefile.record import Record, Recorder
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.net.listen import bind, bind_http
from clusterdns.net.machine import Machine
from clusterdns.plugins.build import Config
from clusterdns.plugins.site import Process, Where
from clusterdns.roles import lastgood
from clusterdns.roles.drain import GRACE, Drain
from clusterdns.roles.generation import check_move
from clusterdns.roles.hub import Hub
from clusterdns.roles.intake import Intake, patience, sources
from clusterdns.roles.load import load
from clusterdns.roles.loop import SOON, become
from clusterdns.roles.output import BugReporter
from clusterdns.roles.process import raise_descriptor_limit, settle_memory
from clusterdns.roles.serving import Serving, Sockets, handle_loop_errors, say_served, warn
from clusterdns.roles.subscriber import LocalFeed
from clusterdns.roles.watch import CorefileWatch
from clusterdns.settings import Settings
from clusterdns.stats import Cells

if TYPE_CHECKING:
    from clusterdns.admin.http import Admin

# Seconds between the calls of what keeps windows of time (`errors`)
_TICK = 1.0

_log = logging.getLogger("clusterdns")


class Solo:
    """The server. `start` until it serves, `close` when it is over. Implements `admin.probes.Probes`."""

    def __init__(self, settings: Settings, write: Callable[[str], None]) -> None:
        self._settings, self._write = settings, write
        self._machine, self._loop = Machine(), asyncio.get_running_loop()
        self._report = BugReporter(self._loop.time)
        self.serving = Serving(Cells())
        self.hub = Hub(self._report)
        self.intake = Intake(self.serving, hold=True)
        self._feed = LocalFeed(self.hub.tables, self.intake)
        self._watch = CorefileWatch(self._machine, self.reload)
        self._http: dict[Where, socket] = {}
        self._admin: Admin | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._again = self._draining = False
        self._ticker = self._loop.call_later(_TICK, self._tick)
        self.config: Config | None = None

    async def start(self) -> None:
        """Raises ConfigErrors for a bad Corefile, ClusterDNSError for a port that cannot be had."""
        handle_loop_errors(self._report)
        raise_descriptor_limit()
        config, record = self._loaded()
        self.config = config
        warn(config)
        bound = self._bind(config)
        await self._open_http(config.shared.process)
        self.serving.prepare(config)
        await self._follow(config)
        await become(lambda: self.intake.settled, patience(config), SOON)
        await self.serving.adopt(config, bound)
        if not self._settings.quiet:
            say_served(config, {where: socks.udp[0].getsockname()[1] for where, socks in bound.items()}, self._write)
        self._watch.follow(record, config.shared.process.reload)
        lastgood.begin(self._settings.state)
        lastgood.write(self._settings.state, record)
        settle_memory()

    def _loaded(self) -> tuple[Config, Record]:
        """The Corefile, or the last good one.  Raises ConfigErrors."""
        recorder = Recorder(self._machine)
        try:
            return load(self._settings, recorder, self._write), recorder.record()
        except ConfigErrors as error:
            return lastgood.load(self._settings, error, self._write)

    def reload(self) -> None:
        """Read the Corefile again, now or after the reload that is under way."""
        if self._reloading is not None and not self._reloading.done():
            self._again = True
        else:
            self._reloading = self._loop.create_task(self._reload_all())

    async def drain(self, hurry: asyncio.Event) -> None:
        """Answer and watch until nobody asks any more, then finish what is in hand. `hurry` ends the first part."""
        self._draining = True
        lameduck = self._process().lameduck
        drain = Drain(self._loop.time(), lameduck, self.serving.cells.total())

        def over() -> bool:
            return drain.over(self._loop.time(), self.serving.cells.total()) or hurry.is_set()

        await become(over, lameduck)
        self.serving.refuse_more()
        await become(lambda: not self.serving.waiting, GRACE)

    def summary(self) -> str:
        return self.serving.summary()

    async def close(self) -> None:
        self._ticker.cancel()
        self._watch.close()
        if self._reloading is not None:
            self._reloading.cancel()
        self._feed.subscriber.close()
        if self._admin is not None:
            await self._admin.close()
        for sock in self._http.values():
            sock.close()
        self.hub.close()
        self.serving.close()

    def stopped(self) -> list[str]:
        """The loop that answers HTTP is the loop that answers queries."""
        return []

    def unready(self) -> list[str]:
        config = self.config
        missing = [f"kubernetes: {text}" for text in self.hub.missing(sources(config) if config else ())]
        return missing if self.serving.config else [*missing, "server: it does not serve yet"]

    def draining(self) -> bool:
        return self._draining

    def report(self) -> list[str]:
        return self.hub.report()

    async def _reload_all(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            await self._reload()

    async def _reload(self) -> None:
        old, recorder = self.config, Recorder(self._machine)
        if old is None:
            return
        try:
            config = load(self._settings, recorder, self._write, old.shared.stores)
            bound = self._bind(config)
            self._bind_http(config.shared.process)
        except ClusterDNSError as error:
            _log.error("reload: %s; the configuration that was loaded is served on", error)
            # Not tried again before it changes
            self._watch.follow(recorder.record(), self._process().reload)
            return
        knew = self.intake.known(old)
        self.serving.prepare(config)
        await self._follow(old, config)
        await become(lambda: self.intake.filled, patience(config))
        if knew and not self.intake.filled:
            await self._abort(config, bound)
            return
        await self._commit(config, recorder.record(), bound)

    async def _abort(self, config: Config, bound: dict[Where, Sockets]) -> None:
        """Names that are answered now would not be. The next look at the Corefile tries again."""
        text = "reload: its objects could not be listed within %g s (startup_timeout); %s"
        _log.error(text, patience(config), "the configuration that was loaded is served on")
        for sockets in bound.values():
            sockets.close()
        self.serving.prepare(None)
        if self.config is not None:
            await self._follow(self.config)
            self.hub.keep(sources(self.config))

    async def _commit(self, config: Config, record: Record, bound: dict[Where, Sockets]) -> None:
        before = self.config
        await self.serving.adopt(config, bound)
        self.config = config
        await self._follow(config)
        self.hub.keep(sources(config))
        warn(config, before)
        await self._open_http(config.shared.process)
        self._watch.follow(record, config.shared.process.reload)
        lastgood.write(self._settings.state, record)
        _log.info("reloaded: the configuration has SHA-512 %s", record.digest)

    async def _follow(self, *configs: Config) -> None:
        await self.hub.start(spec for config in configs for spec in sources(config))
        self.intake.follow(*configs)
        self._feed.subscriber.want(self.intake.want(0))

    def _bind(self, config: Config) -> dict[Where, Sockets]:
        """Sockets for the listeners that are not served yet.  Raises ClusterDNSError, and has bound none then."""
        check_move(self.serving.listening, [(listener.address, listener.port) for listener in config.listeners])
        bound: dict[Where, Sockets] = {}
        try:
            for listener in config.listeners:
                where = (listener.address, listener.port)
                if where not in self.serving.listening:
                    bound[where] = Sockets(*bind(listener.address, listener.port, self._machine.interfaces()))
        except ClusterDNSError:
            for sockets in bound.values():
                sockets.close()
            raise
        return bound

    async def _open_http(self, process: Process) -> None:
        """Raises ClusterDNSError for a port that cannot be had."""
        wanted = {*process.health, *process.ready}
        if not wanted and self._admin is None:
            return
        from clusterdns.admin.http import Admin

        self._bind_http(process)
        self._admin = self._admin or Admin(self)
        await self._admin.start(self._http, process)
        for where in self._http.keys() - wanted:
            self._http.pop(where).close()

    def _bind_http(self, process: Process) -> None:
        """Those that are not served yet.  Raises ClusterDNSError; what was bound then waits for the next attempt."""
        check_move(self._http, (*process.health, *process.ready))
        for where in {*process.health, *process.ready} - self._http.keys():
            self._http[where] = bind_http(*where)

    def _process(self) -> Process:
        return self.config.shared.process if self.config else Process()

    def _tick(self) -> None:
        self.serving.tick(time.monotonic())
        self._ticker = self._loop.call_later(_TICK, self._tick)


async def serve(
    settings: Settings, write: Callable[[str], None], ready: Callable[[Solo], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called when the sockets are open."""
    loop, stop, hurry = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    solo = Solo(settings, write)
    for number in (signal.SIGHUP, signal.SIGUSR1):
        loop.add_signal_handler(number, solo.reload)

    def end() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    try:
        await solo.start()
        # Until here a signal ends the process at once: see `__main__`
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        if not settings.quiet:
            write(f"clusterdns-{__version__}")
        ready(solo)
        await stop.wait()
        await solo.drain(hurry)
        _log.info("%s", solo.summary())
    finally:
        await solo.close()
