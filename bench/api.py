"""The API server of the benchmark, fast enough not to be what is measured: `python -m bench.api SERVICES`.

It speaks the forms that matter to a client that lists and watches (API concepts, "Efficient detection of changes"):
pages, gzip, lists of metadata, bookmarks, 410, and with `--streaming-list` the list within a watch. Orders come as
lines of JSON on standard input, each is answered by one on standard output; its end ends the process.
"""

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable
from itertools import count
from urllib.parse import parse_qsl, urlsplit

from bench.api_state import Collection, State, Token, status
from bench.cluster import NAMESPACES, Manifest, cluster_ip, headless, namespace, place, pod_ips, service, slice_

NAMESPACES_PATH, PODS_PATH = "/api/v1/namespaces", "/api/v1/pods"
SERVICES_PATH = "/api/v1/services"
SLICES_PATH = "/apis/discovery.k8s.io/v1/endpointslices"
# Octets: what a real server compresses a list from
GZIP_FROM = 128 * 1024
# Seconds: twice a minute is as often as a real server sends bookmarks
BOOKMARKS = 30.0

_REASONS = {200: "OK", 404: "Not Found", 410: "Gone", 422: "Unprocessable Entity"}
_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

Query = dict[str, str]


class Api:
    """The connections of one state. Lists are counted, by path."""

    def __init__(self, state: State, streaming_list: bool) -> None:
        self._state, self._streaming_list = state, streaming_list
        self._watches: dict[asyncio.StreamWriter, str] = {}
        self._changes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed = 0
        self.lists: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept for one request after the other."""
        try:
            while (request := await reader.readuntil(b"\r\n\r\n")) and self._answer(request.decode("latin-1"), writer):
                await writer.drain()
            # A watch: what comes next is the client's end
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._watches.pop(writer, None)
            writer.close()

    def put(self, path: str, manifest: Manifest, told: bool = True) -> int:
        """Change an object; the monotonic clock in ns when its event was written."""
        line = self._state.put(path, manifest, told)
        at = time.monotonic_ns()
        if told:
            self._tell(path, line)
        return at

    def expire(self) -> None:
        """End every watch with 410: all have to list again."""
        line = self._state.forget()
        for writer in list(self._watches):
            writer.write(_chunk(line) + _chunk(b""))
            writer.close()
        self._watches.clear()

    def watching(self) -> int:
        return len(self._watches)

    def change(self, rate: float, services: int) -> int:
        """From now on change an endpoint of one Service after the other, evenly, so many times a second; 0 ends it.

        How often was it done since the last order?
        """
        self._changes.cancel()
        if rate:
            self._changes = asyncio.get_running_loop().create_task(self._change(rate, services))
        done, self._changed = self._changed, 0
        return done

    async def bookmarks(self) -> None:
        while True:
            await asyncio.sleep(BOOKMARKS)
            for path in self._state.collections:
                self._tell(path, self._state.bookmark(path))

    async def _change(self, rate: float, services: int) -> None:
        # A fixed seed: the same Services in every run
        order = random.Random(2000).sample(range(services), services)
        due = time.monotonic()
        for turn in count(1):
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            index = order[turn % services]
            self.put(SLICES_PATH, slice_(place(index), index, pod_ips(index, turn)))
            self._changed += 1

    def _tell(self, path: str, line: bytes) -> None:
        chunk = _chunk(line)
        for writer, watched in self._watches.items():
            if watched == path:
                writer.write(chunk)

    def _answer(self, request: str, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow on this connection."""
        start, *lines = request.split("\r\n")
        url = urlsplit(start.split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        query = dict(parse_qsl(url.query))
        if url.path not in self._state.collections:
            writer.write(_response(404, status(404, "NotFound", "the server could not find the requested resource")))
        elif query.get("watch") in ("1", "true"):
            return self._watch(url.path, query, writer)
        else:
            self._list(url.path, query, headers, writer)
        return True

    def _list(self, path: str, query: Query, headers: Query, writer: asyncio.StreamWriter) -> None:
        token = Token.parsed(query["continue"]) if "continue" in query else Token(self._state.revision)
        if query.get("resourceVersionMatch") == "Exact" and query["resourceVersion"] != str(self._state.revision):
            writer.write(_response(410, status(410, "Expired", "the provided resource version is too old")))
            return
        heads = "PartialObjectMetadataList" in headers.get("accept", "")
        body = self._state.page(path, token, int(query.get("limit", 0)), heads)
        packed = "gzip" in headers.get("accept-encoding", "") and len(body.plain) >= GZIP_FROM
        writer.write(_response(200, body.packed if packed else body.plain, packed))
        self.lists[path] += "continue" not in query

    def _watch(self, path: str, query: Query, writer: asyncio.StreamWriter) -> bool:
        lines: Iterable[bytes] | None
        if query.get("sendInitialEvents") == "true":
            if not self._streaming_list:
                message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
                writer.write(_response(422, status(422, "Invalid", message)))
                return True
            lines = self._state.everything(path)
            self.lists[path] += 1
        elif (lines := self._state.since(path, int(query.get("resourceVersion", 0)))) is None:
            writer.write(_response(410, status(410, "Expired", "too old resource version")))
            return True
        writer.write(_CHUNKED + b"".join(map(_chunk, lines)))
        self._watches[writer] = path
        return False


def cluster(services: int) -> State:
    """As many Services, each with its slice."""
    state = State(
        {
            NAMESPACES_PATH: Collection("v1", "Namespace"),
            PODS_PATH: Collection("v1", "Pod"),
            SERVICES_PATH: Collection("v1", "Service"),
            SLICES_PATH: Collection("discovery.k8s.io/v1", "EndpointSlice"),
        }
    )
    for index in range(NAMESPACES):
        state.put(NAMESPACES_PATH, namespace(index), told=False)
    for index in range(services):
        address = "None" if headless(index) else cluster_ip(index)
        state.put(SERVICES_PATH, service(place(index), index, address), told=False)
        state.put(SLICES_PATH, slice_(place(index), index, pod_ips(index)), told=False)
    state.oldest = state.revision
    return state


async def run(options: argparse.Namespace) -> None:
    """Until standard input ends. The first line of output is the port."""
    api = Api(cluster(options.services), options.streaming_list)
    gc.freeze()
    server = await asyncio.start_server(api.serve, "127.0.0.1", options.port)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    bookmarks = asyncio.create_task(api.bookmarks())
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while order := await orders.readline():
        print(json.dumps(obey(api, options.services, json.loads(order))), flush=True)
    bookmarks.cancel()


def obey(api: Api, services: int, order: Manifest) -> Manifest:
    """One order; what is answered."""
    match order:
        case {"put": manifest, "path": path, "told": told}:
            return {"at": api.put(path, manifest, told)}
        case {"change": rate}:
            return {"changed": api.change(rate, services)}
        case {"expire": True}:
            api.expire()
    return {"watching": api.watching(), "lists": api.lists}


def _response(code: int, body: bytes, packed: bool = False) -> bytes:
    encoding = "Content-Encoding: gzip\r\n" if packed else ""
    head = f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\n{encoding}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _chunk(line: bytes) -> bytes:
    """Each event is a chunk of its own; an empty one ends the response."""
    return b"%x\r\n%s\r\n" % (len(line), line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__)
    parser.add_argument("services", type=int)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--streaming-list", action="store_true", help="serve sendInitialEvents, else it is 422")
    asyncio.run(run(parser.parse_args()))
