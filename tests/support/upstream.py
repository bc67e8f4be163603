"""A test upstream: a real DNS server over UDP and TCP that answers from upstream.yaml, counts, and can misbehave."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

from tests.support.faults import Fault, Transport, spoil
from tests.support.upstream_zone import Special, Zone

HOST = "127.0.0.1"

# Seconds; head of upstream.yaml.
SLOW = 1.0
# A port that UDP has free may be taken for TCP; so many in a row are not.
_PORT_ATTEMPTS = 50

# What is wrong with each reply of one query, and its octets.
Replies = list[tuple[Fault, bytes]]


@dataclass(frozen=True, slots=True)
class Seen:
    """One query as it arrived. `name` is in lower case with a trailing dot; the spelling is in `wire`."""

    name: str
    rdtype: str
    transport: Transport
    source: tuple[str, int]
    id: int
    wire: bytes


class FakeUpstream:
    """Listens on a free port of 127.0.0.1, UDP and TCP, while the context is open.

    `faults` maps a name to the replies that one query for it gets, in order: `(Fault.WRONG_ID, Fault.HONEST)`
    is a forgery and then the truth. Sockets are made on entry, by the calling thread: entered inside
    `Namespace.entered()`, the upstream lives in that namespace.
    """

    def __init__(self, faults: Mapping[str, tuple[Fault, ...]] | None = None) -> None:
        self._faults = {dns.name.from_text(name): replies for name, replies in (faults or {}).items()}
        self._zone = Zone()
        self._lock = threading.Lock()
        self._seen: list[Seen] = []

    def __enter__(self) -> Self:
        self._udp, self._tcp = _bind_both()
        # Before the thread runs, so that the first connection is not refused.
        self._tcp.listen()
        self._another = _bound(socket.SOCK_DGRAM, 0)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-upstream")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        for opened in (self._udp, self._tcp, self._another):
            opened.close()

    @property
    def port(self) -> int:
        """The port of both transports."""
        return int(self._udp.getsockname()[1])

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`, as a Corefile spells it."""
        return f"{HOST}:{self.port}"

    @property
    def seen(self) -> list[Seen]:
        """Every query so far, in the order of arrival."""
        with self._lock:
            return list(self._seen)

    def count(self, name: str, rdtype: str, transport: Transport | None = None) -> int:
        """How many queries came for the name and type, over one transport or (None) over both."""
        return sum(
            query.name == name.lower() and query.rdtype == rdtype and transport in (None, query.transport)
            for query in self.seen
        )

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop.add_reader(self._udp, self._drain)
        server = await asyncio.start_server(self._connection, sock=self._tcp)
        await self._stop.wait()
        self._loop.remove_reader(self._udp)
        # Not wait_closed: it waits for connections, and a client may hold one. The runner cancels them.
        server.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._datagram(*self._udp.recvfrom(65535))

    def _datagram(self, wire: bytes, source: tuple[str, int]) -> None:
        delay, replies = self._replies(wire, source, "udp")
        self._loop.call_later(delay, self._send, replies, source)

    def _send(self, replies: Replies, source: tuple[str, int]) -> None:
        for fault, reply in replies:
            sender = self._another if fault is Fault.ANOTHER_PORT else self._udp
            sender.sendto(reply, source)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._frames(reader, writer)

    async def _frames(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            delay, replies = self._replies(await reader.readexactly(length), source, "tcp")
            await asyncio.sleep(delay)
            for fault, reply in replies:
                frame = struct.pack("!H", len(reply)) + reply
                if fault is Fault.CLOSE_MID_FRAME:
                    writer.write(frame[: len(frame) // 2])
                    return
                writer.write(frame)

    def _replies(self, wire: bytes, source: tuple[str, int], transport: Transport) -> tuple[float, Replies]:
        """The seconds to wait, and what goes out then: nothing for what is no query."""
        try:
            query = dns.message.from_wire(wire)
            name, rdtype = query.question[0].name, query.question[0].rdtype
        except (dns.exception.DNSException, IndexError):
            return 0.0, []
        text = dns.rdatatype.to_text(rdtype)
        self._record(Seen(str(name).lower(), text, transport, source[:2], query.id, wire))
        special = self._zone.special(name)
        if special is Special.DROPPED:
            return 0.0, []
        answer = self._zone.answer(query)
        faults = [fault for fault in self._faults.get(name, (Fault.HONEST,)) if fault is not Fault.SILENT]
        delay = SLOW if special is Special.SLOW else 0.0
        return delay, [(fault, spoil(fault, query, answer, transport)) for fault in faults]

    def _record(self, query: Seen) -> None:
        with self._lock:
            self._seen.append(query)


def _bind_both() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one free port."""
    for _ in range(_PORT_ATTEMPTS):
        udp = _bound(socket.SOCK_DGRAM, 0)
        try:
            return udp, _bound(socket.SOCK_STREAM, udp.getsockname()[1])
        except OSError:
            udp.close()
    raise RuntimeError(f"no port of {HOST} is free for both UDP and TCP after {_PORT_ATTEMPTS} attempts")


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, kind)
    opened.setblocking(False)
    try:
        opened.bind((HOST, port))
    except OSError:
        opened.close()
        raise
    return opened
