"""Serves the pages on sockets that others have bound. aiohttp is imported here alone: it costs some 10 MB."""

import asyncio
import socket
from collections.abc import Mapping
from logging import CRITICAL, Logger

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server

from clusterdns.admin.pages import METHODS, Page, Reply, answer, by_address
from clusterdns.admin.probes import Probes
from clusterdns.errors import ClusterDNSError
from clusterdns.plugins.site import Process, Where

# Seconds that a connection may take in all; it is closed after its first reply. CoreDNS: 5 for each step.
PATIENCE = 5.0
# Connections of one address at once; the oldest gives way to a new one, so that silent ones keep no probe out.
MAX_CONNECTIONS = 64
# Octets of the request line and of one header field, and fields: 128 KiB for a request at most. Probes send 200 octets.
MAX_LINE, MAX_FIELDS = 2048, 64


class Admin:
    """The HTTP side of a process. `probes` is asked anew for each request."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._listeners: dict[Where, Listener] = {}

    async def start(self, sockets: Mapping[Where, socket.socket], process: Process) -> None:
        """Serve what `process` asks for, each address on its listening socket, which stays the caller's.

        Called again, it goes on with the sockets that are the same, opens what is new and closes what is not wanted any
        more; readiness has to be reached anew.  Raises ClusterDNSError when the system has no more descriptors; then
        what was served still is.
        """
        wanted = by_address(process)
        kept = {where: each for where, each in self._listeners.items() if each.sock is sockets.get(where)}
        new = {where: Listener(sockets[where], self._probes, wanted[where]) for where in wanted if where not in kept}
        try:
            for listener in new.values():
                await listener.open()
        except ClusterDNSError:
            for listener in new.values():
                listener.close()
            raise
        old = self._listeners
        self._listeners = {where: kept.get(where) or new[where] for where in wanted}
        for where, listener in self._listeners.items():
            listener.pages = wanted[where]
        for where, listener in old.items():
            if self._listeners.get(where) is not listener:
                listener.close()

    async def close(self) -> None:
        """End every connection. The sockets stay open."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners = {}
        # The loop closes them in its next round
        await asyncio.sleep(0)


class Listener(Server):
    """One listening socket and its connections. `pages`: what it serves, by path."""

    def __init__(self, sock: socket.socket, probes: Probes, pages: Mapping[str, Page]) -> None:
        super().__init__(
            self._reply,
            access_log=None,
            # What clients get wrong does not belong in our log
            logger=Logger("http", CRITICAL),
            # A body is not waited for
            lingering_time=0.0,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_FIELDS,
        )
        self.sock = sock
        self.pages = pages
        self._probes = probes
        self._accepting: asyncio.Server | None = None
        # In the order in which they came, each with the timer that ends it
        self._open: dict[RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    async def open(self) -> None:
        """Accept from a duplicate: the caller's socket must survive this listener."""
        try:
            duplicate = self.sock.dup()
        except OSError as error:
            hint = "check the limit of open files of this process"
            raise ClusterDNSError(f"cannot serve HTTP: {error.strerror}: {hint}") from error
        loop = asyncio.get_running_loop()
        self._accepting = await loop.create_server(self, sock=duplicate, backlog=MAX_CONNECTIONS)

    def close(self) -> None:
        """Replies that were made are in the kernel's hands, and are sent."""
        if self._accepting is not None:
            self._accepting.close()
        for handler in list(self._open):
            self._end(handler)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._open) >= MAX_CONNECTIONS:
            self._end(next(iter(self._open)))
        timer = asyncio.get_running_loop().call_later(PATIENCE, self._end, handler)
        self._open[handler] = transport, timer

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        if handler in self._open:
            self._open.pop(handler)[1].cancel()

    def _end(self, handler: RequestHandler) -> None:
        """Without a reply: whoever was too slow for a request may never read one."""
        transport, timer = self._open.pop(handler)
        timer.cancel()
        transport.abort()

    async def _reply(self, request: BaseRequest) -> Response:
        try:
            verbose = "verbose" in request.query
            reply = answer(self.pages, request.method, request.path, verbose, self._probes)
        except Exception as error:
            # A bug; the loop's handler knows how to report those
            asyncio.get_running_loop().call_exception_handler({"message": f"in {request.path}", "exception": error})
            reply = Reply(500, ("a bug; the log says more",))
        allow = {"Allow": ", ".join(METHODS)} if reply.status == 405 else {}
        response = Response(status=reply.status, text=reply.text, headers={"Server": "clusterdns", **allow})
        response.force_close()
        return response
