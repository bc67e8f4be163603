"""An HTTP server in a thread of its own, that can stop listening and listen again on the same port."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from aiohttp import web

HOST = "127.0.0.1"

# Seconds for what takes milliseconds.
_DEADLINE = 10.0
_BACKLOG = 128
# Of the loop, until an accepted connection has its transport: a task that begins, and a callback of it
_TURNS = 3

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """Serves on a free port of 127.0.0.1 while the context is open. A handler is cancelled when its client leaves."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None) -> None:
        self._handler = handler
        self._context = context
        self._site: web.SockSite | None = None

    def __enter__(self) -> Self:
        # Bound and never listening: the port stays ours while the listener is closed.
        self._claim = _bound(0)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-apiserver")
        self._thread.start()
        if not self._ready.wait(_DEADLINE):
            raise TimeoutError(f"the fake API server did not start within {_DEADLINE} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._claim.close()

    @property
    def port(self) -> int:
        """The same for as long as the context is open."""
        return int(self._claim.getsockname()[1])

    def open(self) -> None:
        """Listen, if it does not; on return connections are taken."""
        self._run(self._open())

    def close(self) -> None:
        """Refuse connections and cut those there are."""
        self._run(self._close())

    def call_soon(self, callback: Callable[[], object]) -> None:
        """In the thread of the handlers."""
        self._loop.call_soon_threadsafe(callback)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._server = web.Server(self._handler, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_DEADLINE)
        await self._runner.setup()
        await self._open()
        self._ready.set()
        await self._stop.wait()
        await self._close()
        await self._runner.cleanup()

    async def _open(self) -> None:
        if self._site is None:
            self._listening = _bound(self.port)
            self._listening.listen(_BACKLOG)
            self._site = web.SockSite(self._runner, self._listening, ssl_context=self._context)
            await self._site.start()

    async def _close(self) -> None:
        if self._site is not None:
            # asyncio loses a connection that is accepted and has no transport yet when its server closes
            self._loop.remove_reader(self._listening)
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            await self._site.stop()
            self._site = None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()


def _bound(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setblocking(False)
    # Linux, socket(7): two sockets may share an address as long as the other one does not listen.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
    except OSError:
        opened.close()
        raise
    return opened
