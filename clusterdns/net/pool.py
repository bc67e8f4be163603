"""UDP sockets to one upstream: many random ports, each for a bounded number of queries (RFC 5452 section 9.2)."""

import errno
import select
import socket

from clusterdns.net.entropy import Entropy
from clusterdns.upstream.flights import Flight
from clusterdns.upstream.group import Upstream

# Ports in use at a time: a forged reply must hit one of 256 ports and one of 65,536 ids. It divides 65,536.
PORTS = 256
# Queries through one port before it is given back for another one.
USES = 128


class Port:
    """One connected socket; the kernel lets only the upstream's address and port through. `flights`: by id."""

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
    """The ports to one upstream. Each is watched by `epoll` and entered in `ports` under its descriptor."""

    def __init__(self, upstream: Upstream, entropy: Entropy, epoll: select.epoll, ports: dict[int, Port]) -> None:
        self._upstream, self._entropy, self._epoll, self._by_descriptor = upstream, entropy, epoll, ports
        self._ports: list[Port | None] = [None] * PORTS

    def send(self, flight: Flight) -> None:
        """Send the flight's question from a random port under a random id.  Raises OSError."""
        at = self._entropy.word() % PORTS
        port = self._ports[at] or self._opened(at)
        ident = self._entropy.word()
        while ident in port.flights:
            ident = self._entropy.word()
        port.uses += 1
        if port.uses >= USES and port is self._ports[at]:
            self._ports[at] = None
            port.retired = True
        port.flights[ident] = flight
        flight.places.append((self, port, ident))
        port.sock.send(ident.to_bytes(2, "big") + flight.wire)

    def forget(self, port: Port, ident: int) -> None:
        """The flight does not wait under this id any more; a retired port goes with its last flight."""
        port.flights.pop(ident, None)
        if port.retired and not port.flights and port.sock.fileno() >= 0:
            del self._by_descriptor[port.sock.fileno()]
            # Closing takes it out of the epoll set
            port.sock.close()

    def _opened(self, at: int) -> Port:
        """A new port; when the process may have no more descriptors, one of those there are."""
        try:
            port = self._ports[at] = self._open()
        except OSError as error:
            open_ports = [port for port in self._ports if port is not None]
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not open_ports:
                raise
            return open_ports[self._entropy.word() % len(open_ports)]
        return port

    def _open(self) -> Port:
        port = Port(self._upstream)
        self._epoll.register(port.sock.fileno(), select.EPOLLIN)
        self._by_descriptor[port.sock.fileno()] = port
        return port
