"""The exchange with upstreams in the test's own loop: what becomes of ports, and of errors that come late."""

import asyncio
import contextlib
import socket
from collections import Counter

import dns.message
import psutil
import pytest

from clusterdns.errors import UpstreamError
from clusterdns.net.entropy import Entropy
from clusterdns.net.exchange import Exchange
from clusterdns.upstream.group import Group, Policy, Upstream
from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_text
from clusterdns.wire.query import question
from clusterdns.wire.records import Relay
from tests.support.faults import Fault
from tests.support.upstream import FakeUpstream

HOST = "127.0.0.1"
# Queries through one port (docs/plugins/forward.md)
USES = 128


class OnePort(Entropy):
    """Numbers whose lower octet is 0: every query is given the same of the 256 ports."""

    def word(self) -> int:
        return super().word() & 0xFF00


@contextlib.asynccontextmanager
async def exchanging(entropy=None):
    exchange = Exchange(entropy or Entropy())
    try:
        yield exchange
    finally:
        exchange.close()


def start(exchange, group, name, rdtype=Type.A):
    """The answer to come: a Relay, or the UpstreamError itself."""
    answer = asyncio.get_running_loop().create_future()
    exchange.ask(group, question(from_text(name), rdtype), answer.set_result)
    return answer


async def ask(exchange, group, name):
    return await asyncio.wait_for(start(exchange, group, name), 10)


def group(*ports, **options):
    return Group(tuple(Upstream(HOST, port) for port in ports), Policy.SEQUENTIAL, **options)


def silent():
    """A UDP socket that never replies."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind((HOST, 0))
    return sock


def dead():
    """A port that nobody listens on."""
    with silent() as sock:
        return sock.getsockname()[1]


def test_a_port_is_retired_after_its_uses_and_closed():
    async def run():
        with FakeUpstream() as upstream:
            async with exchanging(OnePort()) as exchange:
                to = group(upstream.port)
                await ask(exchange, to, "first.example.net.")
                before = psutil.Process().num_fds()
                for number in range(3 * USES - 1):
                    await ask(exchange, to, f"n{number}.example.net.")
                return upstream.seen, psutil.Process().num_fds() - before

    seen, more = asyncio.run(run())
    uses = Counter(query.source[1] for query in seen)
    assert sorted(uses.values()) == [USES, USES, USES]
    # The last port is given back with its last reply
    assert more == -1


def test_a_retired_port_stays_until_its_last_reply():
    async def run():
        with FakeUpstream() as upstream:
            async with exchanging(OnePort()) as exchange:
                to = group(upstream.port)
                slow = start(exchange, to, "slow.example.net.")
                for number in range(USES + 1):
                    await ask(exchange, to, f"n{number}.example.net.")
                return await asyncio.wait_for(slow, 10)

    assert isinstance(asyncio.run(run()), Relay)


def test_closing_leaves_no_descriptor():
    async def run():
        with FakeUpstream() as upstream:
            # The loop and the upstream have what they need
            before = psutil.Process().num_fds()
            async with exchanging() as exchange:
                for number in range(20):
                    await ask(exchange, group(upstream.port), f"n{number}.example.net.")
                start(exchange, group(upstream.port), "slow.example.net.")
            return psutil.Process().num_fds() - before

    assert asyncio.run(run()) == 0


def test_forgeries_are_counted():
    name = "forged.example.net."
    faults = (Fault.WRONG_ID, Fault.WRONG_QUESTION, Fault.GARBAGE, Fault.HONEST)

    async def run():
        with FakeUpstream({name: faults}) as upstream:
            async with exchanging() as exchange:
                reply = await ask(exchange, group(upstream.port), name)
                return reply, exchange.mismatches

    reply, mismatches = asyncio.run(run())
    assert isinstance(reply, Relay)
    assert mismatches == 3


def test_all_dead_is_told_at_once_with_the_reason():
    async def run():
        async with exchanging() as exchange:
            # A try may take longer than the test waits
            return await ask(exchange, group(dead(), dead(), timeout=60.0), "a.test.")

    error = asyncio.run(run())
    assert isinstance(error, UpstreamError)
    assert "Connection refused" in str(error)


def test_a_reply_that_comes_after_its_try_is_still_taken():
    """The first server is slow, not dead: whoever answers first is heard."""

    async def run():
        loop = asyncio.get_running_loop()
        with silent() as first, silent() as second:
            async with exchanging() as exchange:
                answer = start(exchange, group(first.getsockname()[1], second.getsockname()[1], timeout=0.2), "a.test.")
                wire, source = await loop.sock_recvfrom(first, 512)
                await loop.sock_recvfrom(second, 512)
                first.sendto(dns.message.make_response(dns.message.from_wire(wire)).to_wire(), source)
                return await asyncio.wait_for(answer, 10)

    assert isinstance(asyncio.run(run()), Relay)


def test_a_late_error_of_an_earlier_server_does_not_end_the_try_at_the_next():
    """Both questions went from one port to the first server, which dies only when the second question comes; the
    first one has long been with the second server, whose reply must count."""

    async def run():
        loop = asyncio.get_running_loop()
        first, second = silent(), silent()
        with first, second:
            ports = first.getsockname()[1], second.getsockname()[1]
            async with exchanging(OnePort()) as exchange:
                to = group(*ports, timeout=0.5)
                answer = start(exchange, to, "one.test.")
                wire, source = await loop.sock_recvfrom(second, 512)
                first.close()
                start(exchange, to, "two.test.")
                # It is refused by the first server and comes here next
                while b"\3two" not in (await loop.sock_recvfrom(second, 512))[0]:
                    pass
                second.sendto(dns.message.make_response(dns.message.from_wire(wire)).to_wire(), source)
                return await asyncio.wait_for(asyncio.shield(answer), 0.3)

    assert isinstance(asyncio.run(run()), Relay)


def test_truncated_and_then_nothing_over_tcp_leads_to_the_next_server():
    name = "mid-frame.example.net."

    async def run():
        with FakeUpstream({name: (Fault.CLOSE_MID_FRAME,)}) as faulty, FakeUpstream() as honest:
            async with exchanging() as exchange:
                reply = await ask(exchange, group(faulty.port, honest.port), name)
                return reply, faulty.count(name, "A"), honest.count(name, "A")

    reply, _, honest = asyncio.run(run())
    assert isinstance(reply, Relay)
    assert honest == 1


def test_failover_works_for_a_reply_that_came_over_tcp():
    """The first server's reply is truncated, and over TCP it says SERVFAIL."""

    async def run():
        with FakeUpstream() as honest:
            async with exchanging() as exchange:
                with truncating_then_servfail() as port:
                    to = group(port, honest.port, failover=frozenset({2}))
                    return await ask(exchange, to, "v4only.example.net.")

    assert asyncio.run(run()).rcode == 0


@contextlib.contextmanager
def truncating_then_servfail():
    """A server in the running loop: TC over UDP, SERVFAIL over TCP."""
    loop = asyncio.get_running_loop()
    udp = silent()
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind(udp.getsockname())

    def datagram():
        wire, source = udp.recvfrom(512)
        udp.sendto(spoiled(wire, 0x8382), source)

    async def connection(reader, writer):
        with contextlib.closing(writer):
            length = int.from_bytes(await reader.readexactly(2), "big")
            wire = spoiled(await reader.readexactly(length), 0x8182)
            writer.write(len(wire).to_bytes(2, "big") + wire)

    serving = loop.create_task(asyncio.start_server(connection, sock=tcp))
    loop.add_reader(udp, datagram)
    try:
        yield udp.getsockname()[1]
    finally:
        loop.remove_reader(udp)
        udp.close()
        serving.result().close()


def spoiled(query, flags):
    return query[:2] + flags.to_bytes(2, "big") + query[4:]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 256, 1000, 40000, 65536])
def test_random_numbers_stay_below_their_limit(limit):
    entropy = Entropy()
    assert all(0 <= entropy.below(limit) < limit for _ in range(200))


def test_random_numbers_spread():
    entropy = Entropy()
    counts = Counter(entropy.below(3) for _ in range(3000))
    assert all(800 < counts[number] < 1200 for number in range(3))
    assert len({entropy.word() for _ in range(4000)}) > 3700
