"""The controller's end of the feed: one connection for each worker."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from clusterdns.roles.subscriber import Subscriber
from clusterdns.sources.feed import LENGTH, frame, want
from clusterdns.sources.table import Table

# struct ucred: process, user, group (unix(7))
_UCRED = struct.Struct("=iII")
# Octets of a subscription: a worker that sends more is none
_LARGEST = 1024 * 1024

_log = logging.getLogger("clusterdns")


class Feeder:
    """`tables`: those there are now, by source id; `refresh` when that changes."""

    def __init__(self, tables: Callable[[], Mapping[bytes, Table]]) -> None:
        self._tables = tables
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self._tables, self._connections), sock=sock)

    def refresh(self) -> None:
        for connection in self._connections:
            connection.subscriber.refresh()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One worker."""

    def __init__(self, tables: Callable[[], Mapping[bytes, Table]], connections: "set[Connection]") -> None:
        self.subscriber = Subscriber(tables, self._wake)
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._full = self._scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not _is_ours(transport.get_extra_info("socket")):
            _log.debug("the feed: a process of another user tried to connect")
            self._transport.abort()
            return
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)
        self.subscriber.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH:
            end = LENGTH + int.from_bytes(self._buffer[:LENGTH], "big")
            if end > _LARGEST:
                self.abort()
                return
            if len(self._buffer) < end:
                return
            raw, self._buffer = self._buffer[LENGTH:end], self._buffer[end:]
            try:
                self.subscriber.want(want(raw))
            except msgspec.MsgspecError:
                self.abort()
                return

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """As much as the worker takes; the rest stays a set of keys."""
        self._scheduled = False
        if self._transport is None or self._full:
            return
        for message in self.subscriber.messages():
            self._transport.write(frame(message))
            if self._full:
                return


def _is_ours(sock: socket.socket) -> bool:
    """Does the other process run under our user?"""
    _, user, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return bool(user == os.getuid())
