"""The worker's end of the feed: connects again and again, and hands messages on piece by piece."""

import asyncio
import logging
from collections import deque
from typing import cast

from clusterdns.roles.intake import Intake, take_guarded
from clusterdns.sources.feed import LENGTH, Message, frame, message

# Seconds between two attempts to connect; the supervisor holds the listening socket, so they hardly ever fail
_PAUSE = 0.2
# Octets that are received at once, and seconds that changes are taken in for until queries are looked at
_ROOM, _SLICE = 64 * 1024, 0.001
# Messages that wait to be taken in; above it nothing is read, and the controller keeps what it has
MAX_WAITING = 64

_log = logging.getLogger("clusterdns")


class FeedLink(asyncio.BufferedProtocol):
    """`address` of a Unix socket; an abstract one begins with a NUL octet."""

    def __init__(self, address: bytes, worker: int, intake: Intake) -> None:
        self._address, self._worker, self._intake = address, worker, intake
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._room, self._buffer = memoryview(bytearray(_ROOM)), b""
        self._waiting: deque[Message] = deque()
        self._scheduled = self._closed = False
        # The first attempt, and the one after a good connection, are made at once
        self._told = True
        self._connecting: asyncio.Task[None] | None = None

    def want(self) -> None:
        """Subscribe to what the intake follows, now or as soon as there is a connection."""
        if self._transport is not None:
            self._transport.write(frame(self._intake.want(self._worker)))
        elif self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        while True:
            if not self._told:
                # Also after a connection that was no use: nobody spins while the controller is away
                await asyncio.sleep(_PAUSE)
            try:
                await self._loop.create_unix_connection(lambda: self, cast(str, self._address))
            except OSError as error:
                _log.debug("the feed cannot be reached: %s", error)
                self._told = False
            else:
                break
        self._connecting = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer, self._told = b"", False
        self._waiting.clear()
        self.want()

    def connection_lost(self, exc: Exception | None) -> None:
        """The controller is being replaced: what we have is served on, and checked against what it lists."""
        self._transport = None
        if not self._closed:
            self._connecting = self._loop.create_task(self._connect())

    def get_buffer(self, sizehint: int) -> memoryview:
        """One room for all that is received: a Protocol would have 256 KiB allocated for each change."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self._told = True
        buffer, at = self._buffer + self._room[:nbytes], 0
        while len(buffer) >= at + LENGTH:
            end = at + LENGTH + int.from_bytes(buffer[at : at + LENGTH], "big")
            if len(buffer) < end:
                break
            self._waiting.append(message(buffer[at + LENGTH : end]))
            at = end
        self._buffer = buffer[at:]
        if not self._scheduled:
            self._work()

    def _work(self) -> None:
        """Some at a time: queries are looked at in between."""
        self._scheduled = False
        until = self._loop.time() + _SLICE
        while self._waiting:
            take_guarded(self._intake, self._waiting.popleft())
            if self._loop.time() > until:
                break
        if self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._work)
        self._throttle()

    def _throttle(self) -> None:
        if self._transport is None:
            return
        if len(self._waiting) > MAX_WAITING:
            self._transport.pause_reading()
        elif not self._transport.is_reading():
            self._transport.resume_reading()
