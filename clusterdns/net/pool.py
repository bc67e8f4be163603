"""UDP sockets to one upstream: many random ports, each for a bounded number of queries (RFC 5452 section 9.2)."""

import asyncio
import socket
from collections.abc import Callable

from clusterdns.net.entropy import Entropy
from clusterdns.upstream.flights import Flight
from clusterdns.upstream.group import Upstream

# Ports in use at a time: a forged reply must hit one of 256 ports and one of 65,536 ids.
PORTS = 256
# Queries through one port before it is given back for another one.
USES = 128
# Replies taken from one socket before the loop looks at the others.
_DRAIN = 16
# Octets of a datagram we take: more than our OPT offers
_LARGEST = 4096


class Port:
    """One connected socket; the kernel lets only the upstream's address and port through."""

    __slots__ = ("flights", "retired", "sock", "uses")

    def __init__(self, upstream: Upstream) -> None:
        family = socket.AF_INET6 if ":" in upstream.address else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            # The kernel draws the local port
            self.sock.connect((upstream.address, upstream.port))
        except OSError:
            self.sock.close()
            raise
        self.uses = 0
        self.retired = False
        self.flights: dict[int, Flight] = {}


class Pool:
    """`received` gets a flight and the message under its id; `refused` a flight whose upstream's port is closed."""

    def __init__(
        self,
        upstream: Upstream,
        entropy: Entropy,
        received: Callable[[Flight, bytes], None],
        refused: Callable[[Flight, str], None],
    ) -> None:
        self._upstream, self._entropy = upstream, entropy
        self._received, self._refused = received, refused
        self._ports: list[Port | None] = [None] * PORTS
        self._retired: set[Port] = set()
        self._loop = asyncio.get_running_loop()

    def send(self, flight: Flight) -> tuple[Port, int]:
        """Send the flight's question from a random port under a random id; returns both.  Raises OSError."""
        at = self._entropy.below(PORTS)
        port = self._ports[at]
        if port is None:
            port = self._ports[at] = self._open()
        ident = self._entropy.word()
        while ident in port.flights:
            ident = self._entropy.word()
        port.sock.send(ident.to_bytes(2, "big") + flight.wire)
        port.flights[ident] = flight
        port.uses += 1
        if port.uses >= USES:
            self._ports[at] = None
            port.retired = True
            self._retired.add(port)
        return port, ident

    def forget(self, port: Port, ident: int) -> None:
        """The flight does not wait under this id any more."""
        port.flights.pop(ident, None)
        if port.retired and not port.flights:
            self._close(port)

    def close(self) -> None:
        for port in [port for port in self._ports if port] + list(self._retired):
            self._close(port)
        self._ports = [None] * PORTS

    def _open(self) -> Port:
        port = Port(self._upstream)
        self._loop.add_reader(port.sock.fileno(), self._drain, port)
        return port

    def _close(self, port: Port) -> None:
        self._retired.discard(port)
        if port.sock.fileno() >= 0:
            self._loop.remove_reader(port.sock.fileno())
            port.sock.close()

    def _drain(self, port: Port) -> None:
        for _ in range(_DRAIN):
            try:
                wire = port.sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP error says nothing about which query it is for
                for waiting in list(port.flights.values()):
                    self._refused(waiting, error.strerror or str(error))
                return
            flight = port.flights.get(wire[0] << 8 | wire[1]) if len(wire) > 1 else None
            if flight is not None:
                self._received(flight, wire)
            if port.sock.fileno() < 0:
                return
