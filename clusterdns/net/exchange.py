"""Does what `upstream.flights` decides: sends, receives, times out, and turns to TCP for truncated replies."""

import asyncio
import select
import ssl

from clusterdns.errors import UpstreamError
from clusterdns.net.entropy import Entropy
from clusterdns.net.pool import Pool, Port
from clusterdns.upstream.flights import Flight, Flights, Waiter, accept, failure, wants_next
from clusterdns.upstream.group import Group, Transport, Upstream
from clusterdns.wire.query import HEADER_SIZE, Query
from clusterdns.wire.records import Relay
from clusterdns.wire.survey import TRUNCATED, answers_to

# Seconds between looks at what has timed out: a try of 2 s ends at most 2 % late.
_TICK = 0.05
# Ports looked at before the loop goes on; octets of a datagram: more than our OPT offers
_BATCH, _LARGEST = 100, 4096


class Exchange:
    """All exchanges with upstreams of one process. `mismatches` counts replies to questions that were not asked.

    The ports have an epoll set of their own, which the loop sees as one descriptor: that saves half of what the loop
    costs for each reply.
    """

    def __init__(self, entropy: Entropy) -> None:
        self.entropy = entropy
        self.mismatches = 0
        self._loop = asyncio.get_running_loop()
        self._flights = Flights()
        # By the identity of the upstream, which its pool keeps alive
        self._pools: dict[int, Pool] = {}
        self._ports: dict[int, Port] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        # Set while anything is in flight: an idle server does not wake up
        self._timer: asyncio.TimerHandle | None = None
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._drain)

    def ask(self, group: Group, query: Query, waiter: Waiter) -> None:
        """Have `waiter` told the answer, later.  Raises UpstreamError when too many wait already."""
        now = self._loop.time()
        flight = self._flights.join(group, query, waiter, self.entropy.below, now)
        if flight is not None:
            if self._timer is None:
                self._timer = self._loop.call_later(_TICK, self._tick)
            self._try(flight, now)

    @property
    def busy(self) -> int:
        """Questions in flight."""
        return len(self._flights)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        for port in self._ports.values():
            port.sock.close()

    def _drain(self) -> None:
        """One reply from each port that has one; what is left makes the set ready again."""
        for descriptor, _ in self._epoll.poll(0, _BATCH):
            port = self._ports.get(descriptor)
            if port is None:
                continue
            try:
                wire = port.sock.recv(_LARGEST)
            except BlockingIOError:
                continue
            except OSError as error:
                self._refused(port, error.strerror or str(error))
                continue
            flight = port.flights.get(wire[0] << 8 | wire[1]) if len(wire) > 1 else None
            if flight is None or len(wire) < HEADER_SIZE:
                self.mismatches += 1
            else:
                self._received(flight, wire)

    def _try(self, flight: Flight, now: float) -> None:
        """The next upstream, until one could be sent to or none is left."""
        while upstream := self._flights.next_try(flight, now):
            if flight.group.force_tcp or upstream.transport is Transport.TLS:
                self._start_tcp(flight, upstream)
                return
            try:
                self._send(flight, upstream)
            except OSError as error:
                flight.error = error.strerror or str(error)
            else:
                return
        self._land(flight, failure(flight))

    def _send(self, flight: Flight, upstream: Upstream) -> None:
        pool = self._pools.get(id(upstream))
        if pool is None:
            pool = self._pools[id(upstream)] = Pool(upstream, self.entropy, self._epoll, self._ports)
        pool.send(flight)

    def _received(self, flight: Flight, wire: bytes) -> None:
        if wire[2] & TRUNCATED and flight.upstream is not None and answers_to(wire, flight.question):
            # RFC 7766 section 5: the rest is to be had over TCP, from the same server
            self._flights.renew(flight, self._loop.time())
            self._start_tcp(flight, flight.upstream)
            return
        relay = accept(flight, wire)
        if relay is None:
            self.mismatches += 1
        else:
            self._answered(flight, relay)

    def _answered(self, flight: Flight, relay: Relay) -> None:
        if wants_next(flight, relay):
            self._try(flight, self._loop.time())
        else:
            self._land(flight, relay)

    def _refused(self, port: Port, error: str) -> None:
        """An ICMP error says nothing about which query it is for: all of that port have failed."""
        for ident, flight in list(port.flights.items()):
            pool, current, _ = flight.places[-1]
            if current is port:
                flight.error = error
                self._leave(flight)
                self._try(flight, self._loop.time())
            else:
                # It asks another server by now
                pool.forget(port, ident)

    def _tick(self) -> None:
        now = self._loop.time()
        for flight in self._flights.expired(now):
            self._try(flight, now)
        self._timer = self._loop.call_later(_TICK, self._tick) if len(self._flights) else None

    def _land(self, flight: Flight, result: Relay | UpstreamError) -> None:
        self._leave(flight)
        for waiter in self._flights.land(flight):
            waiter(result)

    def _leave(self, flight: Flight) -> None:
        for pool, port, ident in flight.places:
            pool.forget(port, ident)
        flight.places.clear()

    def _start_tcp(self, flight: Flight, upstream: Upstream) -> None:
        self._leave(flight)
        task = self._loop.create_task(self._tcp(flight, upstream, flight.attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tcp(self, flight: Flight, upstream: Upstream, attempt: int) -> None:
        """One question over a connection of its own."""
        try:
            async with asyncio.timeout(flight.group.timeout):
                wire = await self._over_tcp(flight, upstream)
        except (OSError, EOFError, TimeoutError, UnicodeError) as error:
            result, flight.error = None, str(error) or type(error).__name__
        else:
            result, flight.error = accept(flight, wire), "the reply is no answer to the question"
        # A try that ran out meanwhile has been followed by another
        if flight.attempt == attempt:
            if result is None:
                self._try(flight, self._loop.time())
            else:
                self._answered(flight, result)

    def _context(self) -> ssl.SSLContext:
        """The system's certificates, read when the first upstream wants them."""
        self._tls = self._tls or ssl.create_default_context()
        return self._tls

    async def _over_tcp(self, flight: Flight, upstream: Upstream) -> bytes:
        tls = self._context() if upstream.transport is Transport.TLS else None
        name = (upstream.name or upstream.address) if tls else None
        reader, writer = await asyncio.open_connection(upstream.address, upstream.port, ssl=tls, server_hostname=name)
        try:
            ident = self.entropy.word().to_bytes(2, "big")
            writer.write((len(flight.wire) + 2).to_bytes(2, "big") + ident + flight.wire)
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
        if wire[:2] != ident:
            raise OSError("the reply has another id")
        return wire
