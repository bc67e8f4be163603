"""Puts replies and watches of the fake API server on a connection, down to how they break."""

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from dataclasses import replace

from aiohttp import web

from tests.support.apiserver_faults import Fault
from tests.support.apiserver_status import Reply
from tests.support.apiserver_stream import Stream

# As in the API server: speed before size.
_GZIP_LEVEL = 1


async def send(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """A whole reply, or half of it."""
    response = web.StreamResponse(status=reply.code, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(http)
    await response.write(reply.body if reply.ending is None else reply.body[: len(reply.body) // 2])
    await _break(http, reply.ending)
    return response


async def send_stream(
    http: web.BaseRequest, stream: Stream, wake: asyncio.Event, interval: float | None, tick: Callable[[], None]
) -> web.StreamResponse:
    """The lines of a watch as they come, a chunk each, until it ends or its timeoutSeconds are over.

    `wake` is set when there is more to send; `tick` is called after `interval` seconds in which it was not.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(http)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(stream.asked.timeout):
            await _pump(response, stream, wake, interval, tick)
    await _break(http, stream.ending)
    return response


def compressed(reply: Reply, accepted: str, smallest: int) -> Reply:
    """As gzip when the client takes it and the body has `smallest` octets (API concepts: Response compression)."""
    if "gzip" not in accepted or len(reply.body) < smallest:
        return reply
    headers = {**reply.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return replace(reply, body=gzip.compress(reply.body, _GZIP_LEVEL), headers=headers)


async def forever() -> None:
    """Until the client leaves or the server stops."""
    await asyncio.get_running_loop().create_future()


async def _pump(
    response: web.StreamResponse,
    stream: Stream,
    wake: asyncio.Event,
    interval: float | None,
    tick: Callable[[], None],
) -> None:
    while True:
        # Read before the lines are, so that none is added between.
        ended = stream.ended
        while stream.pending:
            await response.write(stream.pending.popleft())
        if ended:
            return
        try:
            async with asyncio.timeout(interval):
                await wake.wait()
        except TimeoutError:
            tick()
        wake.clear()


async def _break(http: web.BaseRequest, ending: Fault | None) -> None:
    if ending is Fault.STALLED:
        await forever()
    if ending is Fault.CUT and http.transport is not None:
        http.transport.close()
