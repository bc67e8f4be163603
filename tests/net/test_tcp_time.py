"""When a TCP connection is given up: in the test's own loop, whose clock the test puts forward."""

import asyncio
import contextlib
import socket

import dns.message
import psutil
import pytest

from clusterdns.net.responder import Plan, Service
from clusterdns.net.tcp import IDLE, TcpListener
from clusterdns.stats import Cells
from tests.net.clock import forward, run
from tests.net.live import framed
from tests.plugins.blocks import block, configured

# Seconds: two looks for idle connections
LOOKS = 2.0
QUERY = framed(dns.message.make_query("x.test.", "A", id=5).to_wire())


class NoAnswer:
    """Upstreams that never answer. `asked` is set by the first question."""

    def __init__(self):
        self.asked = asyncio.Event()

    def ask(self, group, query, waiter):
        self.asked.set()


class Listener(TcpListener):
    """`admitted` is set by each connection."""

    def __init__(self, plan, service):
        super().__init__(plan, service)
        self.admitted = asyncio.Event()

    def admit(self, connection):
        self.admitted.set()
        return super().admit(connection)


@contextlib.asynccontextmanager
async def listening(*lines):
    """The listener, its upstreams, and a function that connects a client."""
    asker, bugs, opened = NoAnswer(), [], contextlib.ExitStack()
    service = Service(asker, Cells(), lambda error, _: bugs.append(error))
    listener = Listener(Plan(configured(block(*lines)).listeners[0].router), service)
    server = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
    server.setblocking(False)
    await listener.start(server)

    async def connect():
        sock = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        listener.admitted.clear()
        await asyncio.get_running_loop().sock_connect(sock, server.getsockname())
        await listener.admitted.wait()
        return sock

    with opened:
        yield listener, asker, connect
        listener.close()
        await asyncio.sleep(0)
    assert bugs == []


async def exchange(sock, packet=QUERY):
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, packet)
    return await asyncio.wait_for(loop.sock_recv(sock, 512), 60)


async def at_end(sock):
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 512), 60) == b""


def test_a_connection_without_queries_is_closed():
    async def main():
        async with listening("whoami") as (listener, _, connect):
            sock = await connect()
            await forward(IDLE - LOOKS)
            assert len(listener.connections) == 1
            await forward(2 * LOOKS)
            assert listener.connections == {}
            assert await at_end(sock)

    run(main())


def test_a_query_keeps_it_open():
    async def main():
        async with listening("whoami") as (listener, _, connect):
            sock, idle = await connect(), await connect()
            for _ in range(5):
                await forward(IDLE - LOOKS)
                assert (await exchange(sock))[2:4] == QUERY[2:4]
            assert len(listener.connections) == 1
            assert await at_end(idle)

    run(main())


@pytest.mark.parametrize("part", [QUERY[:1], QUERY[:-1]])
def test_a_part_of_a_query_does_not(part):
    async def main():
        async with listening("whoami") as (_, _, connect):
            sock = await connect()
            for octet in part:
                await forward(0.9 * IDLE / len(part))
                await asyncio.get_running_loop().sock_sendall(sock, bytes((octet,)))
            await forward(IDLE)
            assert await at_end(sock)

    run(main())


def test_who_waits_for_an_upstream_is_not_idle():
    async def main():
        async with listening("forward . 192.0.2.1") as (listener, asker, connect):
            sock = await connect()
            await asyncio.get_running_loop().sock_sendall(sock, QUERY)
            await asker.asked.wait()
            await forward(3 * IDLE)
            assert len(listener.connections) == 1
            with pytest.raises(BlockingIOError):
                sock.recv(1)

    run(main())


@pytest.mark.parametrize("protocol_end", ["idle", "listener"])
def test_a_client_that_never_reads_is_really_gone(protocol_end):
    """Its replies can never be sent; a close that waits for that keeps the descriptor for ever."""

    async def main():
        async with listening("whoami") as (listener, _, connect):
            before = psutil.Process().num_fds()
            sock = await connect()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await fill(sock)
            if protocol_end == "idle":
                await forward(IDLE + LOOKS)
                await forward(LOOKS)
            else:
                listener.close()
                await asyncio.sleep(0)
            # Only the client's own end is left
            return psutil.Process().num_fds() - before - 1 + (protocol_end == "listener")

    assert run(main()) == 0


async def fill(sock):
    """Send queries until the server takes no more."""
    queries = QUERY * 5000
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            sock.send(queries)
        await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        sock.send(b"\0")
