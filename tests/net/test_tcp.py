"""DNS over TCP: framing, pipelining, and clients that do everything wrong."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import dns.message
import dns.rcode
import pytest

from clusterdns.net.tcp import MAX_CONNECTIONS, MAX_WAITING
from tests.net.live import Client, framed, read_frame, resident, serving, with_upstream
from tests.support.netns import Namespace
from tests.support.process import Server
from tests.support.upstream import FakeUpstream

COREFILE = """\
.:53 {
    errors
    kubernetes cluster.local {
        manifests %(demo)s
    }
    forward . %(upstream)s
}
"""
WEB, CROWD, SLOW = "web.default.svc.cluster.local.", "crowd.data.svc.cluster.local.", "slow.example.net."


@dataclass(frozen=True, slots=True)
class World:
    server: Server
    client: Client
    upstream: FakeUpstream


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with with_upstream(tmp_path_factory.mktemp("tcp"), COREFILE, WEB) as found:
        yield World(*found)


def packet(name=WEB, rdtype="A", ident=1):
    return dns.message.make_query(name, rdtype, id=ident).to_wire()


def frame(name=WEB, rdtype="A", ident=1):
    return framed(packet(name, rdtype, ident))


def ident(reply):
    return int.from_bytes(reply[:2], "big")


def ended(sock):
    """Has the server closed the connection? Waits for it."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_pipelined_queries_are_all_answered(world):
    sock = world.client.tcp()
    sock.sendall(b"".join(frame(ident=number) for number in range(300)))
    assert sorted(ident(read_frame(sock)) for _ in range(300)) == list(range(300))


def test_a_slow_query_does_not_hold_the_others_back(world):
    sock = world.client.tcp()
    sock.sendall(frame(SLOW, ident=1) + frame(ident=2) + frame("example.net.", ident=3))
    assert [ident(read_frame(sock)) for _ in range(3)] == [2, 3, 1]


def test_a_frame_in_single_octets(world):
    sock = world.client.tcp()
    for octet in frame(ident=7):
        sock.send(bytes((octet,)))
    assert ident(read_frame(sock)) == 7


@pytest.mark.parametrize("cut", [1, 2, 3, 14, 40])
def test_frames_cut_anywhere(world, cut):
    stream = frame(ident=1) + frame(ident=2)
    sock = world.client.tcp()
    at = len(stream) // 2 - 1 + cut
    sock.sendall(stream[:at])
    first = read_frame(sock)
    sock.sendall(stream[at:])
    assert [ident(first), ident(read_frame(sock))] == [1, 2]


@pytest.mark.parametrize(
    "before",
    [b"", b"\0", b"\0" * 11, packet()[:11], packet()[:2] + b"\x81\x80" + packet()[4:]],
    ids=["empty", "one", "eleven-zeros", "eleven", "a-reply"],
)
def test_frames_that_get_no_reply_are_passed_over(world, before):
    sock = world.client.tcp()
    sock.sendall(framed(before) + frame(ident=9))
    assert ident(read_frame(sock)) == 9


@pytest.mark.parametrize(
    ("query", "rcode"),
    [
        (packet()[:20], "FORMERR"),
        (packet()[:4] + b"\0\2" + packet()[6:], "FORMERR"),
        (packet()[:2] + b"\x28\0" + packet()[4:], "NOTIMP"),
        (packet() + b"\0" * 65000, "NOERROR"),
    ],
    ids=["cut", "two-questions", "update", "64-KiB"],
)
def test_odd_frames_are_refused_and_the_connection_goes_on(world, query, rcode):
    sock = world.client.tcp()
    sock.sendall(framed(query) + frame(ident=9))
    first = read_frame(sock)
    assert dns.rcode.to_text(dns.rcode.Rcode(first[3] & 0xF)) == rcode
    assert ident(read_frame(sock)) == 9


def test_a_large_reply_is_whole(world):
    reply = world.client.ask(CROWD, tcp=True)
    assert sum(len(rrset) for rrset in reply.answer) == 60


@pytest.mark.parametrize("name", [WEB, SLOW])
def test_a_client_that_sends_no_more_is_still_answered(world, name):
    """It asks and half-closes, as `nc -N` does."""
    sock = world.client.tcp()
    sock.sendall(frame(name, ident=5))
    sock.shutdown(socket.SHUT_WR)
    assert ident(read_frame(sock)) == 5
    assert ended(sock)


def test_more_than_may_wait_are_answered_in_turn(world):
    """The connection is not read while that many wait, and is read again afterwards."""
    count = MAX_WAITING + 50
    sock = world.client.tcp()
    sock.sendall(b"".join(frame(SLOW, "TXT", number) for number in range(count)) + frame(ident=60000))
    assert {ident(read_frame(sock)) for _ in range(count + 1)} == {*range(count), 60000}


def test_a_client_that_hangs_up_while_it_waits(world):
    sock = world.client.tcp()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.sendall(frame(SLOW, "MX") * 20)
    sock.close()
    other = world.client.tcp()
    # Asked for later, answered later: the replies for the one that is gone have been made by then
    other.sendall(frame(SLOW, "SRV"))
    read_frame(other)
    assert "Traceback" not in world.server.output()


def test_a_client_that_never_reads_is_not_read_and_costs_bounded_memory(world):
    """Its queries are 45 octets, the replies 1,000: what is not read must not pile up."""
    before = resident(world.server.pid)
    queries, sockets = frame(CROWD) * 2000, [world.client.tcp() for _ in range(10)]
    for sock in sockets:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while sock.send(queries):
                pass
    # The server is past them when it answers another connection
    for _ in range(20):
        assert world.client.ask(WEB, tcp=True).answer
    # Half a megabyte for each client: a read of 256 KiB, and what the transport holds
    assert resident(world.server.pid) - before < 10 * 1024 * 1024


def test_a_client_that_reads_late_gets_everything(world):
    count, sock = 3000, world.client.tcp()
    # Octets: the replies are 3 MB, so that the server has to stop and go on
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
    sock.sendall(b"".join(frame(CROWD, ident=number) for number in range(count)))
    assert [ident(read_frame(sock)) for _ in range(count)] == list(range(count))


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_one_connection_too_many_takes_the_place_of_the_one_idle_for_longest(tmp_path):
    with Namespace(()) as namespace, serving(tmp_path, ".:53 {\n    whoami\n}\n", namespace) as (server, client):
        sockets = [client.tcp() for _ in range(MAX_CONNECTIONS)]
        # The first is no longer the one idle for longest
        sockets[0].sendall(frame("x.test."))
        read_frame(sockets[0])
        assert client.ask("x.test.", tcp=True).rcode() == dns.rcode.NOERROR
        assert ended(sockets[1])
        for sock in (sockets[0], sockets[2], sockets[-1]):
            sock.sendall(frame("x.test.", ident=3))
            assert ident(read_frame(sock)) == 3
        client.close()
        assert "Traceback" not in server.output()


def test_ipv6(world):
    assert world.client.at("::1").ask(WEB, tcp=True).answer[0][0].address == "10.96.0.20"
