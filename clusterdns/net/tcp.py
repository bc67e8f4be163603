"""TCP: length-framed queries, many at once on a connection, answered as they get ready (RFC 7766)."""

import asyncio
from typing import Any, cast

from clusterdns.net.responder import Address, Plan, Responder, Service
from clusterdns.wire.query import HEADER_SIZE

# Seconds without a query after which a connection is closed (RFC 7766 6.2.3 wants "a few"; CoreDNS: 10).
IDLE = 10.0
# Connections of one listener at once; the oldest idle one gives way to a new one.
MAX_CONNECTIONS = 2_000
# Queries of one connection that wait for upstreams; above it the connection is not read.
MAX_WAITING = 256
# Octets of replies handed to the transport at once; after it the client must have read before more are made.
_CHUNK = 65536
# Seconds between looks for idle connections
_TICK = 1.0


class TcpListener:
    """One listening socket and its connections."""

    def __init__(self, plan: Plan, service: Service) -> None:
        self.responder = Responder(plan, service, "tcp", None)
        self._loop = asyncio.get_running_loop()
        # In the order of their last query, so that the first is the one idle for longest
        self.connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        # The end has begun: a connection ends with its last reply
        self.stopping = False
        self._timer = self._loop.call_later(_TICK, self._tick)

    async def start(self, sock: Any) -> None:  # noqa: ANN401
        self._server = await self._loop.create_server(lambda: Connection(self), sock=sock, backlog=1024)

    def replan(self, plan: Plan, service: Service) -> None:
        """Serve another plan from the next query on; connections stay."""
        self.responder = Responder(plan, service, "tcp", None)

    def stop(self) -> None:
        """Accept no more connections, end the idle ones, and each other one with its last reply."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            if not connection.unsent:
                connection.close()

    @property
    def unsent(self) -> int:
        """Connections that are owed a reply, or have not taken one yet."""
        return sum(1 for connection in self.connections if connection.unsent)

    def close(self) -> None:
        self._timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close()

    def admit(self, connection: "Connection") -> bool:
        """Make room for one more: the one idle for longest gives way, never one that waits for a reply."""
        if len(self.connections) >= MAX_CONNECTIONS:
            idle = next((each for each in self.connections if not each.waiting), None)
            if idle is None:
                return False
            idle.close()
        self.connections[connection] = None
        return True

    def _tick(self) -> None:
        edge = self._loop.time() - IDLE
        for connection in list(self.connections):
            if connection.heard > edge:
                break
            if not connection.waiting:
                connection.close()
        self._timer = self._loop.call_later(_TICK, self._tick)


class Connection(asyncio.Protocol):
    """One client. `heard`: when its last query came; `waiting`: how many are with upstreams."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # What was read, at most one read of the transport and one frame, and up to where it is answered
        self._buffer, self._at = b"", 0
        self._full = self._busy = self._ended = False
        self.heard = self._loop.time()
        self.waiting = 0
        self._address: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._address = transport.get_extra_info("peername") or ("", 0)
        if not self._listener.admit(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.connections.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self._buffer, self._at = self._buffer[self._at :] + data, 0
        self._process()

    def pause_writing(self) -> None:
        """The client does not read: neither read from it nor answer what it has sent."""
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._process()

    def finish(self, reply: bytes, _: Address) -> bool:
        """A query that had to wait is answered."""
        self.waiting -= 1
        self._write([len(reply).to_bytes(2, "big"), reply])
        if not self._busy:
            self._process()
        if (self._ended or self._listener.stopping) and not self.waiting and self._transport is not None:
            self._transport.close()
        return True

    @property
    def unsent(self) -> bool:
        """Is a reply owed, or not taken yet?"""
        return bool(self.waiting or (self._transport is not None and self._transport.get_write_buffer_size()))

    def eof_received(self) -> bool:
        """The client sends no more, and may still wait for replies."""
        self._ended = True
        return self.waiting > 0

    def close(self) -> None:
        self._listener.connections.pop(self, None)
        if self._transport is not None and self._transport.get_write_buffer_size():
            # It does not read: waiting for it to do so could take for ever
            self._transport.abort()
        elif self._transport is not None:
            self._transport.close()

    def _process(self) -> None:
        """Answer what is in the buffer, as far as the client takes it and not too much waits."""
        self._busy = True
        responder, data, at = self._listener.responder, self._buffer, self._at
        replies: list[bytes] = []
        size = 0
        while not self._full and self.waiting < MAX_WAITING and len(data) >= at + 2:
            end = at + 2 + (data[at] << 8 | data[at + 1])
            if len(data) < end:
                break
            packet, at = data[at + 2 : end], end
            self.waiting += 1
            reply = responder.answer(packet, self._address, self.finish)
            if reply is not None:
                self.waiting -= 1
                replies += (len(reply).to_bytes(2, "big"), reply)
                size += len(reply)
                if size > _CHUNK:
                    self._write(replies)
                    replies, size = [], 0
            elif len(packet) < HEADER_SIZE or packet[2] & 0x80:
                # Dropped: no reply will come
                self.waiting -= 1
        if at > self._at:
            self._at = at
            self._touch()
        self._write(replies)
        if responder.after:
            responder.settle()
        self._busy = False
        self._throttle()

    def _write(self, parts: list[bytes]) -> None:
        if parts and self._transport is not None:
            self._transport.write(b"".join(parts))

    def _throttle(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._full or self.waiting >= MAX_WAITING:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _touch(self) -> None:
        self.heard = self._loop.time()
        connections = self._listener.connections
        if connections.pop(self, 0) is None:
            connections[self] = None
