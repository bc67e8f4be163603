"""`--workers 0`: sources, store, memo and sockets in one process and one loop."""

import asyncio
import gc
import logging
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from clusterdns import __version__
from clusterdns.kube.objects import Event, Kind
from clusterdns.net.entropy import Entropy
from clusterdns.net.exchange import Exchange
from clusterdns.net.listen import bind
from clusterdns.net.machine import Machine
from clusterdns.net.responder import Plan, Responder, Service
from clusterdns.net.tcp import TcpListener
from clusterdns.net.udp import MAX_UDP, UdpListener
from clusterdns.plugins.build import Config, Listener
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.load import load
from clusterdns.roles.output import BugReporter
from clusterdns.settings import Settings
from clusterdns.sources.manifests import Manifests, follow
from clusterdns.stats import Cells

# Allocations between two looks of the collector at young objects: entries of the memo are many and hold no cycles.
_GC_YOUNG = 50_000
# Seconds between the calls of what keeps windows of time (`errors`)
_TICK = 1.0
# Longer than any window (seconds)
_FOREVER = 1e9

_log = logging.getLogger("clusterdns")


class Solo:
    """The server. `start` until it serves, `close` when it is over."""

    def __init__(self, settings: Settings, write: Callable[[str], None]) -> None:
        self._settings = settings
        self._write = write
        self.cells = Cells()
        self._machine = Machine()
        self.responders: list[Responder] = []
        self._closers: list[Callable[[], object]] = []
        self.config: Config | None = None
        self.exchange: Exchange | None = None

    async def start(self) -> None:
        """Raises ConfigErrors for a bad Corefile, ClusterDNSError for a port that cannot be had."""
        loop = asyncio.get_running_loop()
        self.config = config = load(self._settings, self._machine, self._write)
        for warning in config.shared.warnings:
            _log.warning("%s", warning)
        report = BugReporter(loop.time)
        loop.set_exception_handler(partial(_loop_error, report))
        _raise_descriptor_limit()
        self.exchange = exchange = Exchange(Entropy())
        self._closers.append(exchange.close)
        service = Service(exchange, self.cells, report)
        sources = self._first_lists(config)
        for listener in config.listeners:
            await self._listen(listener, service)
        for source in dict.fromkeys(spec for spec, _ in config.shared.stores):
            if not source.manifests:
                self._watch(source, source in config.shared.pods)
        for source, manifests in sources.items():
            task = loop.create_task(follow(manifests, partial(self.apply, source), _complain))
            task.add_done_callback(partial(_report_end, report))
            self._closers.append(task.cancel)
        ticker = loop.call_later(_TICK, self._tick)
        self._closers.append(ticker.cancel)
        _settle_memory()

    def summary(self) -> str:
        """What was done, for the last line of the log."""
        hits, total = self.cells.total(memo=True), self.cells.total()
        dropped = sum(responder.memo.dropped for responder in self.responders)
        ignored = self.exchange.mismatches if self.exchange else 0
        return (
            f"stopped after {total} answers, {hits} of them from the memo; changes dropped {dropped} of its entries; "
            f"{ignored} upstream replies were no answers"
        )

    def close(self) -> None:
        for close in reversed(self._closers):
            close()
        if self.config is not None:
            for timed in self.config.shared.timed:
                # As if every window had ended: what was counted is not lost
                timed.tick(time.monotonic() + _FOREVER)

    def apply(self, source: SourceSpec, events: list[Event]) -> None:
        """Take events into every store of that source, and drop what was made from what they changed."""
        if self.config is None:
            return
        now = int(time.time())
        for (spec, _), store in self.config.shared.stores.items():
            if spec == source:
                for event in events:
                    self._drop(id(store), store.apply(event, now))

    def _drop(self, store: int, keys: set[bytes]) -> None:
        if keys:
            for responder in self.responders:
                responder.memo.drop(store, keys)

    def _first_lists(self, config: Config) -> dict[SourceSpec, Manifests]:
        """What there is before the sockets open, so that the first answer is right already."""
        sources: dict[SourceSpec, Manifests] = {}
        for source in dict.fromkeys(spec for spec, _ in config.shared.stores):
            if source.manifests:
                sources[source] = Manifests(source.manifests)
                change = sources[source].scan()
                self.apply(source, change.events)
                for complaint in change.complaints:
                    _complain(complaint)
        return sources

    def _watch(self, source: SourceSpec, pods: bool) -> None:
        """Follow an API server from threads; its client is imported only where there is one (40 MB)."""
        from clusterdns.sources.access import Access
        from clusterdns.sources.apiserver import ApiServer

        loop = asyncio.get_running_loop()
        kinds = (Kind.NAMESPACE, Kind.SERVICE, Kind.SLICE, *((Kind.POD,) if pods else ()))

        def emit(events: list[Event]) -> None:
            # The loop may have closed while the thread was reading
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self.apply, source, events)

        server = ApiServer(partial(Access, source), kinds, emit, _complain)
        server.start()
        self._closers.append(server.stop)

    async def _listen(self, listener: Listener, service: Service) -> None:
        plan = Plan(listener.router, listener.classifiers, listener.address)
        udp, tcp = bind(listener.address, listener.port, self._machine.interfaces())
        datagrams = Responder(plan, service, "udp", MAX_UDP)
        self.responders.append(datagrams)
        self._closers += [UdpListener(sock, datagrams).close for sock in udp]
        for sock in tcp:
            stream = TcpListener(plan, service)
            await stream.start(sock)
            self.responders.append(stream.responder)
            self._closers.append(stream.close)
        if not self._settings.quiet:
            on = f" on {listener.address}" if listener.address else ""
            for zone in listener.zones:
                self._write(f"{zone}:{udp[0].getsockname()[1]}{on}")

    def _tick(self) -> None:
        if self.config is not None:
            now = time.monotonic()
            for timed in self.config.shared.timed:
                timed.tick(now)
        asyncio.get_running_loop().call_later(_TICK, self._tick)


async def serve(
    settings: Settings, write: Callable[[str], None], ready: Callable[[Solo], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called when the sockets are open."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        loop.add_signal_handler(
            number, _log.warning, "this version does not reload: restart it to read the Corefile again"
        )
    solo = Solo(settings, write)
    try:
        await solo.start()
        # Until here a signal ends the process at once: see `__main__`
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if not settings.quiet:
            write(f"clusterdns-{__version__}")
        ready(solo)
        await stop.wait()
        _log.info("%s", solo.summary())
    finally:
        solo.close()


def _loop_error(report: BugReporter, _: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
    """The system's refusals (no more descriptors) are no bugs."""
    error = what.get("exception", RuntimeError(what.get("message", "")))
    if isinstance(error, OSError):
        _log.error("%s: %s; check the limits of this process", what.get("message", "the system refused"), error)
    else:
        report(error, "in the loop")


def _report_end(report: BugReporter, task: asyncio.Task[None]) -> None:
    """A source that ends by itself has a bug; what it brought so far is served on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error, "in a source of objects")


def _complain(text: str) -> None:
    """What a source has to say: a complaint, or that one is mended."""
    _log.log(logging.INFO if text.endswith(": is good again") else logging.ERROR, "%s", text)


def _raise_descriptor_limit() -> None:
    """256 ports for each upstream and 2,000 TCP clients need more than the usual soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settle_memory() -> None:
    """What is there after the start stays: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG, 20, 100)
