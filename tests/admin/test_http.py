"""The pages over real sockets: clients of all kinds, reloads, and the end."""

import asyncio
import contextlib
import http.client
import socket
from dataclasses import dataclass, field

import psutil
import pytest

from clusterdns.admin.http import MAX_CONNECTIONS, MAX_FIELDS, MAX_LINE, PATIENCE, Admin
from clusterdns.net.listen import bind_http
from clusterdns.plugins.site import Process, Where
from tests.admin.state import State
from tests.net.clock import forward, run

# Seconds for what takes milliseconds
LIMIT = 20
HEALTH, READY = ("127.0.0.1", 1), ("127.0.0.1", 2)


@dataclass
class Served:
    """The pages of `state`, and the sockets that were bound for them by address."""

    state: State
    admin: Admin
    sockets: dict[Where, socket.socket]
    errors: list[dict] = field(default_factory=list)

    async def connect(self, where=HEALTH):
        address = self.sockets[where].getsockname()
        return await asyncio.open_connection(*address, limit=2**20)

    async def ask(self, head, where=HEALTH):
        """Everything that comes back until the end."""
        reader, writer = await self.connect(where)
        try:
            writer.write(head)
            return await asyncio.wait_for(reader.read(), LIMIT)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def get(self, path, where=HEALTH):
        """Status and text."""
        head, _, body = (await self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), where)).partition(
            b"\r\n\r\n"
        )
        return int(head.split()[1]), body.decode()


@contextlib.asynccontextmanager
async def serving(process=None, **state):
    process = process or Process(health={HEALTH: 0.0}, ready={READY: False})
    with contextlib.ExitStack() as opened:
        sockets = {where: opened.enter_context(bind_http("127.0.0.1", 0)) for where in (HEALTH, READY)}
        served = Served(State(**state), Admin(State()), sockets)
        served.admin = Admin(served.state)
        asyncio.get_running_loop().set_exception_handler(lambda _, what: served.errors.append(what))
        await served.admin.start(sockets, process)
        try:
            yield served
        finally:
            await served.admin.close()


def requesting(method, target, where=HEALTH, **state):
    """What `http.client` makes of the reply: the response, and its body."""

    async def main():
        async with serving(**state) as served:
            port = served.sockets[where].getsockname()[1]

            def ask():
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
                    connection.request(method, target)
                    response = connection.getresponse()
                    return response, response.read().decode()

            return await asyncio.to_thread(ask)

    return run(main())


def test_a_probe_is_told_ok():
    response, text = requesting("GET", "/health")
    assert (response.status, text) == (200, "OK")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Server"] == "clusterdns"
    # One request for each connection bounds what a client can hold
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(("target", "text"), [("/ready", "OK"), ("/ready?verbose", "OK\nü: 3 s\n")])
def test_head_has_the_length_and_no_body(target, text):
    response, body = requesting("HEAD", target, READY, lines=["ü: 3 s"])
    assert (response.status, body) == (200, "")
    assert int(response.headers["Content-Length"]) == len(text.encode())


@pytest.mark.parametrize("query", ["verbose", "verbose=", "verbose=1", "a=b&verbose"])
def test_verbose(query):
    _, text = requesting("GET", f"/ready?{query}", READY, missing=["kubernetes: Services"], lines=["watch: 3 s"])
    assert text == "kubernetes\nkubernetes: Services\nwatch: 3 s\n"


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [("GET", "/ready", 404, None), ("DELETE", "/", 404, None), ("POST", "/health", 405, "GET, HEAD")],
)
def test_nothing_else_is_there(method, target, status, allow):
    response, _ = requesting(method, target)
    assert (response.status, response.headers["Allow"]) == (status, allow)


def test_one_address_may_have_both_pages():
    async def main():
        process = Process(health={HEALTH: 0.0}, ready={HEALTH: False})
        async with serving(process, missing=["kubernetes: Services"]) as served:
            return [(await served.get(path))[0] for path in ("/health", "/ready")]

    assert run(main()) == [200, 503]


def test_a_bug_is_reported_to_the_loop_and_shows_nothing():
    async def main():
        async with serving(error=KeyError("secret")) as served:
            reply = await served.get("/ready", READY)
            (error,) = served.errors
            return reply, error

    reply, error = run(main())
    assert reply == (500, "a bug; the log says more")
    assert (error["message"], type(error["exception"])) == ("in /ready", KeyError)


# Clients that mean no good


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /" + b"a" * MAX_LINE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_LINE + 1) + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * MAX_FIELDS + b"\r\n",
    ],
    ids=["tls", "short", "long line", "long field", "many fields"],
)
def test_a_head_that_is_none_or_too_large(head, caplog):
    async def main():
        async with serving() as served:
            reply = await served.ask(head)
            return reply, await served.get("/health"), served.errors

    reply, after, errors = run(main())
    assert reply.split()[1] == b"400"
    assert after == (200, "OK")
    assert (errors, caplog.records) == ([], [])


def test_an_endless_head_is_cut():
    async def main():
        async with serving() as served:
            reader, writer = await served.connect()
            writer.write(
                b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(MAX_FIELDS + 9))
            )
            reply = await asyncio.wait_for(reader.read(), LIMIT)
            writer.close()
            return reply

    assert run(main()).split()[1] == b"400"


def test_a_body_is_not_waited_for():
    async def main():
        async with serving() as served:
            clock = asyncio.get_running_loop().time
            began = clock()
            reply = await served.ask(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
            return reply, clock() - began

    reply, took = run(main())
    assert reply.split()[1] == b"405"
    assert took < PATIENCE


def test_only_the_first_of_many_requests_is_answered():
    async def main():
        async with serving(missing=["kubernetes: x"]) as served:
            reply = await served.ask(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n" * 50, READY)
            return reply.count(b"HTTP/1.1"), served.state.asked

    assert run(main()) == (1, 1)


@pytest.mark.parametrize("part", [b"", b"G", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_a_client_that_is_slow_is_not_waited_for(part):
    async def main():
        async with serving() as served:
            reader, writer = await served.connect()
            writer.write(part)
            # Once this one is answered, the server has seen the other
            await served.get("/health")
            await forward(PATIENCE - 3)
            assert not reader.at_eof()
            await forward(3)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), LIMIT) == b""
            writer.close()

    run(main())


def test_octets_one_by_one_do_not_prolong_it():
    async def main():
        async with serving() as served:
            reader, writer = await served.connect()
            for octet in b"GET /":
                writer.write(bytes((octet,)))
                await served.get("/health")
                await forward(PATIENCE / 5)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), LIMIT) == b""
            writer.close()

    run(main())


def test_a_client_that_never_reads_is_really_gone():
    """Its reply can never be sent; a close that waits for that keeps the descriptor for ever."""

    async def main():
        async with serving(lines=["x" * 2**16] * 256) as served:
            before = psutil.Process().num_fds()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, served.sockets[HEALTH].getsockname())
                client.send(b"GET /health?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
                await served.get("/health")
                assert psutil.Process().num_fds() == before + 2
                await forward(PATIENCE)
                assert psutil.Process().num_fds() == before + 1
            return served.errors

    assert run(main()) == []


def test_silent_clients_keep_no_probe_out():
    async def main():
        async with serving() as served, contextlib.AsyncExitStack() as opened:
            silent = []
            for _ in range(MAX_CONNECTIONS + 20):
                reader, writer = await served.connect()
                opened.callback(writer.close)
                silent.append(reader)
            assert await served.get("/health") == (200, "OK")
            gone = [reader for reader in silent if reader.at_eof() or reader.exception()]
            # The oldest gave way, to the others and to the probe
            assert gone == silent[: len(gone)]
            assert len(gone) >= 21
            assert not silent[-1].at_eof()

    run(main())


# Reloads and the end


def test_a_reload_keeps_opens_and_closes():
    async def main():
        async with serving() as served:
            reader, writer = await served.connect()
            writer.write(b"GET /health HTTP/1.1\r\n")
            await served.get("/health")
            new = ("127.0.0.1", 3)
            with bind_http("127.0.0.1", 0) as served.sockets[new]:
                await served.admin.start(served.sockets, Process(health={HEALTH: 0.0, new: 0.0}, ready={new: False}))
                assert await served.get("/health") == (200, "OK")
                assert await served.get("/health", new) == (200, "OK")
                assert await served.get("/ready", new) == (200, "OK")
                # A request that came in two parts, before and after
                writer.write(b"Host: x\r\n\r\n")
                assert (await asyncio.wait_for(reader.read(), LIMIT)).split()[1] == b"200"
                writer.close()

    run(main())


def test_after_a_reload_nobody_listens_where_the_caller_has_closed():
    async def main():
        async with serving() as served:
            address = served.sockets[READY].getsockname()
            await served.admin.start(served.sockets, Process(health={HEALTH: 0.0}))
            served.sockets[READY].close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)

    run(main())


def test_a_reload_asks_for_readiness_anew():
    async def main():
        async with serving() as served:
            process = Process(ready={READY: False})
            statuses = [(await served.get("/ready", READY))[0]]
            served.state.missing = ["kubernetes: x"]
            statuses.append((await served.get("/ready", READY))[0])
            await served.admin.start(served.sockets, process)
            return [*statuses, (await served.get("/ready", READY))[0]]

    assert run(main()) == [200, 200, 503]


def test_another_socket_for_an_address_takes_over():
    async def main():
        async with serving() as served:
            with bind_http("127.0.0.1", 0) as new:
                sockets = {**served.sockets, HEALTH: new}
                old = served.sockets[HEALTH].getsockname()
                served.sockets[HEALTH].close()
                await served.admin.start(sockets, Process(health={HEALTH: 0.0}))
                served.sockets = sockets
                assert await served.get("/health") == (200, "OK")
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection(*old)

    run(main())


def test_the_sockets_outlive_it():
    async def main():
        async with serving() as served:
            await served.admin.close()
            # Not accepted, and not refused: whoever comes next answers
            asking = asyncio.create_task(served.get("/health"))
            await asyncio.sleep(0)
            await served.admin.start(served.sockets, Process(health={HEALTH: 0.0}))
            return await asking

    assert run(main()) == (200, "OK")


def test_close_leaves_no_connection_and_no_timer():
    async def main():
        async with serving() as served:
            before = psutil.Process().num_fds()
            reader, writer = await served.connect()
            writer.write(b"GET /health")
            await served.get("/health")
            await served.admin.close()
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), LIMIT) == b""
            writer.close()
            await writer.wait_closed()
            # Both duplicates of the listening sockets are gone too
            assert psutil.Process().num_fds() == before - 2
            await forward(2 * PATIENCE)
            return served.errors

    assert run(main()) == []
