"""UDP: a drain loop on a non-blocking socket. Not a DatagramProtocol, which costs four times the CPU per query."""

import asyncio
import errno
import logging
import socket
from functools import partial
from struct import Struct

from clusterdns.net.responder import Address, Responder, Route
from clusterdns.wire.encode import OUR_PAYLOAD

# Datagrams taken before the loop looks at anything else: upstream replies and timers wait 1 ms at most.
BATCH = 100
# Nothing left, or ICMP errors of earlier replies, which are no concern of ours
_HARMLESS = frozenset({errno.EAGAIN, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH})
# Octets of a query. Real ones have less than 600, the rest is padding that nobody needs.
LARGEST_QUERY = 4096
# A worker that is busy or being replaced must not lose what arrives meanwhile: 8 MiB hold some 10,000 queries.
RECEIVE_BUFFER = 8 * 1024 * 1024
# The largest UDP reply, until EMSGSIZE teaches otherwise
MAX_UDP = 4096

# Linux's numbers where the socket module of this Python has none
IP_PKTINFO = 8
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
# Take the interface's MTU as it is and ignore what ICMP claims: larger replies fail with EMSGSIZE
_PMTUDISC_INTERFACE = 4
_SO_RCVBUFFORCE = 33
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50

# struct in_pktinfo: interface, address to send from, address in the header (ip(7))
_IN_PKTINFO = Struct("=I4s4s")
_ANCILLARY = 64
# Addresses of this machine that queries came to, with the ancillary data that answers from them
_MAX_SOURCES = 1024

# Ancillary data of a datagram, and with it the way to send from the same address
Ancillary = list[tuple[int, int, bytes]]
Source = tuple[Ancillary, Route]

_log = logging.getLogger(__name__)


class UdpListener:
    """One socket of a responder. On a wildcard address replies are sent from the address that was asked."""

    def __init__(self, sock: socket.socket, responder: Responder) -> None:
        self._sock = sock
        self.responder = responder
        self._sources: dict[bytes, Source] = {}
        wildcard = sock.getsockname()[0] in ("0.0.0.0", "::")
        _configure(sock, wildcard)
        # Read a batch of what has arrived; the loop calls it when there is something
        self.poll = self._drain_any if wildcard else self._drain
        asyncio.get_running_loop().add_reader(sock.fileno(), self.poll)

    def stop(self) -> None:
        """Read no more; replies that had to wait are still sent."""
        asyncio.get_running_loop().remove_reader(self._sock.fileno())

    def close(self) -> None:
        self.stop()
        self._sock.close()

    def _drain(self) -> None:
        """A batch of queries to one address."""
        recvfrom, sendto = self._sock.recvfrom, self._sock.sendto
        responder, route = self.responder, self._send
        answer = responder.answer
        for _ in range(BATCH):
            try:
                packet, address = recvfrom(LARGEST_QUERY)
            except OSError as error:
                _emptied(error)
                break
            reply = answer(packet, address, route)
            if reply is not None:
                try:
                    sendto(reply, address)
                except OSError as error:
                    self._unsent(error, packet, address, route)
        if responder.after:
            responder.settle()

    def _drain_any(self) -> None:
        """A batch of queries to any address of this machine."""
        recvmsg, sendmsg = self._sock.recvmsg, self._sock.sendmsg
        responder, sources = self.responder, self._sources
        answer = responder.answer
        for _ in range(BATCH):
            try:
                packet, ancillary, _flags, address = recvmsg(LARGEST_QUERY, _ANCILLARY)
            except OSError as error:
                _emptied(error)
                break
            arrived = ancillary[0][2] if ancillary else b""
            source, route = sources.get(arrived) or self._learn(arrived, ancillary)
            reply = answer(packet, address, route)
            if reply is not None:
                try:
                    sendmsg((reply,), source, 0, address)
                except OSError as error:
                    self._unsent(error, packet, address, route)
        if responder.after:
            responder.settle()

    def _learn(self, arrived: bytes, ancillary: Ancillary) -> Source:
        """How to send from the address a query came to; the interface is left to the routing table."""
        data: Ancillary = []
        for level, kind, info in ancillary:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                _, _, asked = _IN_PKTINFO.unpack(info)
                data.append((level, kind, _IN_PKTINFO.pack(0, asked, b"\0\0\0\0")))
            elif level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                # Link-local addresses need their interface, all others the routing table's
                linked = info[:2] == b"\xfe\x80"
                data.append((level, kind, info if linked else info[:16] + b"\0\0\0\0"))
        if len(self._sources) >= _MAX_SOURCES:
            self._sources.clear()
        source = self._sources[arrived] = data, partial(self._send_from, data)
        return source

    def _send(self, reply: bytes, address: Address) -> bool:
        """A reply that had to wait."""
        try:
            self._sock.sendto(reply, address)
        except OSError as error:
            return not self._too_large(error, address)
        return True

    def _send_from(self, source: Ancillary, reply: bytes, address: Address) -> bool:
        try:
            self._sock.sendmsg((reply,), source, 0, address)
        except OSError as error:
            return not self._too_large(error, address)
        return True

    def _unsent(self, error: OSError, packet: bytes, address: Address, route: Route) -> None:
        """Too large for the interface: answer again within what fits everywhere."""
        if self._too_large(error, address):
            reply = self.responder.answer(packet, address, route)
            if reply is not None:
                route(reply, address)

    def _too_large(self, error: OSError, address: Address) -> bool:
        """Was the reply larger than the interface takes, and will the next one be smaller? Any other reply that cannot
        be sent is lost, as UDP is: the client asks again."""
        if error.errno == errno.EMSGSIZE and self._shrink():
            return True
        _log.debug("a reply to %s was not sent: %s", address[0], error)
        return False

    def _shrink(self) -> bool:
        """From now on no reply of this listener needs more than the smallest MTU that IPv6 allows."""
        if self.responder.cap == OUR_PAYLOAD:
            return False
        self.responder.cap = OUR_PAYLOAD
        _log.info("UDP replies are held below %d octets from now on: a larger one would be fragmented", OUR_PAYLOAD)
        return True


def _emptied(error: OSError) -> None:
    if error.errno not in _HARMLESS:
        _log.warning("receiving failed: %s", error)


def _configure(sock: socket.socket, wildcard: bool) -> None:
    sock.setblocking(False)
    v6 = sock.family == socket.AF_INET6
    if wildcard:
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_INTERFACE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_INTERFACE)
    # The kernel grants net.core.rmem_max of it; as root all of it
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
