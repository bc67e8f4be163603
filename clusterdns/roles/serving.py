"""The answering half of a process: sockets, chains, memos and stores, for one configuration after the other."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from socket import socket

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.kube.objects import Event, Restored, Synced
from clusterdns.kube.packed import Packed, unpack
from clusterdns.kube.store import SERIAL, Store
from clusterdns.net.entropy import Entropy
from clusterdns.net.exchange import Exchange
from clusterdns.net.responder import Plan, Responder, Service
from clusterdns.net.tcp import TcpListener
from clusterdns.net.udp import MAX_UDP, UdpListener
from clusterdns.plugins.build import Config, Listener
from clusterdns.plugins.site import SourceSpec
from clusterdns.roles.control import Where
from clusterdns.roles.output import BugReporter
from clusterdns.sources.table import State
from clusterdns.stats import Cells

# Longer than any window of time that a plugin counts in (seconds)
_FOREVER = 1e9
# Events between two looks of the memos at what has changed
_SOME = 50

_log = logging.getLogger("clusterdns")


class Sockets(msgspec.Struct):
    """The bound sockets of one address and port."""

    udp: list[socket]
    tcp: list[socket]

    def close(self) -> None:
        for sock in self.udp + self.tcp:
            sock.close()


class _Open(msgspec.Struct):
    """A listener that is served. `datagrams`: the responder that all its UDP sockets have in common."""

    udp: list[UdpListener]
    tcp: list[TcpListener]
    datagrams: Responder


class Serving:
    """`adopt` a configuration to begin, and another one at any time; `close` ends it."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.config: Config | None = None
        self._next: Config | None = None
        self._loop = asyncio.get_running_loop()
        self._report = BugReporter(self._loop.time)
        self._open: dict[Where, _Open] = {}
        self._exchange = Exchange(Entropy())
        # Exchanges of earlier configurations that queries still wait for
        self._retired: list[Exchange] = []
        self._mismatches = self._dropped = 0
        self._refusing = False

    @property
    def responders(self) -> list[Responder]:
        found = []
        for each in self._open.values():
            found += [each.datagrams, *(listener.responder for listener in each.tcp)]
        return found

    @property
    def listening(self) -> set[Where]:
        """Addresses and ports that are served."""
        return set(self._open)

    def prepare(self, config: Config | None) -> None:
        """Fill the stores of a configuration that is not served yet; None: it never will be."""
        self._next = config

    def _stores_of(self, source: SourceSpec) -> list[Store]:
        """Of both configurations, each once."""
        found = {
            id(store): store
            for config in (self.config, self._next)
            if config is not None
            for store in config.shared.stores_of(source)
        }
        return list(found.values())

    async def adopt(self, config: Config, sockets: Mapping[Where, Sockets]) -> None:
        """Serve `config`. `sockets` has those of listeners that are new; a listener that both configurations have
        keeps its own, with every connection on them. No packet is read between the old and the new."""
        if self.config is not None:
            self._finish_windows()
            self._retired.append(self._exchange)
            self._exchange = Exchange(Entropy())
        service = Service(self._exchange, self.cells, self._report)
        self._dropped += sum(responder.memo.dropped for responder in self.responders)
        self.config, self._next, wanted = config, None, {(each.address, each.port): each for each in config.listeners}
        for where in [where for where in self._open if where not in wanted]:
            self._close_one(self._open.pop(where))
        fresh = []
        for where, listener in wanted.items():
            if where in self._open:
                self._replan(self._open[where], listener, service)
            else:
                fresh.append((where, listener))
        for where, listener in fresh:
            self._open[where] = await self._listen(listener, service, sockets[where])

    def apply(self, source: SourceSpec, changes: Iterable[Packed], serial: int) -> None:
        """Take changes into every store of that source, and drop what was made from what they changed."""
        # One after the other: thousands of objects at once would be twice the memory
        self.take(source, (unpack(change) for change in changes), serial)

    def take(self, source: SourceSpec, events: Iterable[Event], serial: int) -> None:
        """As `apply`, with events. After it the stores that changed have that SOA serial."""
        stores = self._stores_of(source)
        before = [store.serial for store in stores]
        events = iter(events)
        while some := list(islice(events, _SOME)):
            for store in stores:
                self._take(store, some)
        for store, last in zip(stores, before, strict=True):
            if store.serial != last:
                store.serial = serial if serial >= last else last + 1
            self._show(store, serial)

    def _take(self, store: Store, events: Iterable[Event]) -> None:
        keys: set[bytes] = set()
        for event in events:
            keys |= store.apply(event, 0)
        if keys:
            for responder in self.responders:
                responder.memo.drop(id(store), keys)

    def reach(self, source: SourceSpec, state: State, serial: int) -> None:
        """The source has told all it knows."""
        if state is State.SYNCED:
            self.take(source, [Synced()], serial)
        elif state is State.RESTORED:
            self.take(source, [Restored(serial)], serial)
        for store in self._stores_of(source):
            self._show(store, serial)

    def _show(self, store: Store, serial: int) -> None:
        """All workers show the controller's serial, which grows with changes too that this store does not show."""
        if store.serial < serial:
            store.serial = serial
            for responder in self.responders:
                responder.memo.drop(id(store), (SERIAL,))

    @property
    def serial(self) -> int:
        """The highest SOA serial of what is served."""
        stores = self.config.shared.stores.values() if self.config else ()
        return max((store.serial for store in stores), default=0)

    def poll(self) -> None:
        """Read what there is, whether or not anybody was woken up for it."""
        if self._refusing:
            return
        for each in self._open.values():
            for listener in each.udp:
                listener.poll()

    def tick(self, now: float) -> None:
        """Every second or so; `now` in monotonic seconds."""
        for timed in self.config.shared.timed if self.config else ():
            timed.tick(now)
        for exchange in [each for each in self._retired if not each.busy]:
            self._mismatches += exchange.mismatches
            self._retired.remove(exchange)
            exchange.close()

    @property
    def waiting(self) -> int:
        """Queries that wait for upstreams, and replies that clients have not taken yet."""
        flights = self._exchange.busy + sum(each.busy for each in self._retired)
        return flights + sum(listener.unsent for each in self._open.values() for listener in each.tcp)

    def refuse_more(self) -> None:
        """Answer what has arrived, then read no more; idle connections end. What is in hand goes on."""
        self.poll()
        self._refusing = True
        for each in self._open.values():
            for datagrams in each.udp:
                datagrams.stop()
            for listener in each.tcp:
                listener.stop()

    def summary(self) -> str:
        """What was done, for the last line of the log."""
        hits, total = self.cells.total(memo=True), self.cells.total()
        dropped = self._dropped + sum(responder.memo.dropped for responder in self.responders)
        ignored = self._mismatches + self._exchange.mismatches
        return (
            f"stopped after {total} answers, {hits} of them from the memo; changes dropped {dropped} of its entries; "
            f"{ignored} upstream replies were no answers"
        )

    def close(self) -> None:
        for each in self._open.values():
            self._close_one(each)
        self._open.clear()
        for exchange in (self._exchange, *self._retired):
            exchange.close()
        if self.config is not None:
            self._finish_windows()

    async def _listen(self, listener: Listener, service: Service, sockets: Sockets) -> _Open:
        plan = Plan(listener.router, listener.classifiers, listener.address)
        datagrams = Responder(plan, service, "udp", MAX_UDP)
        opened = _Open([UdpListener(sock, datagrams) for sock in sockets.udp], [], datagrams)
        for sock in sockets.tcp:
            stream = TcpListener(plan, service)
            await stream.start(sock)
            opened.tcp.append(stream)
        return opened

    def _replan(self, opened: _Open, listener: Listener, service: Service) -> None:
        plan = Plan(listener.router, listener.classifiers, listener.address)
        opened.datagrams = Responder(plan, service, "udp", opened.datagrams.cap)
        for datagrams in opened.udp:
            datagrams.responder = opened.datagrams
        for stream in opened.tcp:
            stream.replan(plan, service)

    def _close_one(self, opened: _Open) -> None:
        for datagrams in opened.udp:
            # What has arrived is answered, by the configuration that it was sent to
            datagrams.poll()
            datagrams.close()
        for stream in opened.tcp:
            stream.close()

    def _finish_windows(self) -> None:
        for timed in self.config.shared.timed if self.config else ():
            # As if every window had ended: what was counted is not lost
            timed.tick(time.monotonic() + _FOREVER)


def say_served(config: Config, ports: Mapping[Where, int], write: Callable[[str], None]) -> None:
    """CoreDNS's lines of what is served; `ports`: those that were bound."""
    for listener in config.listeners:
        on = f" on {listener.address}" if listener.address else ""
        for zone in listener.zones:
            write(f"{zone}:{ports[listener.address, listener.port]}{on}")


def warn(config: Config, before: Config | None = None) -> None:
    """What has no effect; of a reload only what is new."""
    said = before.shared.warnings if before else []
    for warning in config.shared.warnings:
        if warning not in said:
            _log.warning("%s", warning)


def handle_loop_errors(report: Callable[[BaseException, str], None]) -> None:
    """The system's refusals (no more descriptors) are no bugs; all else is."""
    asyncio.get_running_loop().set_exception_handler(partial(_loop_error, report))


def _loop_error(
    report: Callable[[BaseException, str], None], _: asyncio.AbstractEventLoop, what: dict[str, object]
) -> None:
    error = what.get("exception")
    if isinstance(error, OSError):
        _log.error("%s: %s; check the limits of this process", what.get("message", "the system refused"), error)
    elif isinstance(error, ClusterDNSError):
        _log.error("%s", error)
    else:
        report(error if isinstance(error, BaseException) else RuntimeError(str(what.get("message"))), "in the loop")
