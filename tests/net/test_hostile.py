"""Packets made to hurt: the server still answers, logs no traceback, and keeps its memory."""

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import dns.message
import pytest

from tests.net.live import Client, framed, read_frame, resident, with_upstream
from tests.support.process import Server, eventually
from tests.support.rows import packet_rows, query_bytes, query_rows

COREFILE = """\
.:53 {
    errors
    log
    loadbalance
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests %(demo)s
        pods insecure
        fallthrough in-addr.arpa
    }
    forward . %(upstream)s {
        read_timeout 100ms
    }
}
"""
WEB = "web.default.svc.cluster.local."
PACKETS = 5000
# Octets: the memo may keep every one of them, at less than 2 KB each
GROWTH = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class World:
    server: Server
    client: Client

    def still_answers(self):
        for tcp in (False, True):
            assert self.client.ask(WEB, tcp=tcp).answer[0][0].address == "10.96.0.20"
        assert "Traceback" not in self.server.output()
        assert "a bug" not in self.server.output()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with with_upstream(tmp_path_factory.mktemp("hostile"), COREFILE, WEB) as found:
        yield World(*found[:2])


def packets(seed):
    """Random octets, and real queries with some octets changed, cut or added."""
    source = random.Random(seed)
    queries = [query_bytes(row) for row in query_rows()] + [row.query for row in packet_rows() if len(row.query) > 2]
    while True:
        yield source.randbytes(source.randrange(64))
        mutated = bytearray(source.choice(queries))
        for _ in range(source.randrange(1, 4)):
            mutated[source.randrange(2, len(mutated))] = source.randrange(256)
        yield bytes(mutated)
        yield bytes(mutated[: source.randrange(len(mutated))])
        yield bytes(mutated) + source.randbytes(source.randrange(40))


def test_random_and_mutated_datagrams(world):
    """Every so many, an honest question on the same socket is answered: nothing was left unread by then."""
    sock, junk = world.client.udp(), packets(1)
    before = None
    for number in range(PACKETS):
        sock.send(next(junk))
        if number % 50 == 0:
            wait_for(sock, ident=7)
        # Imports and first uses are over
        if number == PACKETS // 10:
            before = resident(world.server.pid)
    wait_for(sock, ident=7)
    assert resident(world.server.pid) - before < GROWTH
    world.still_answers()


def wait_for(sock, ident):
    """Ask, and pass over the replies to the junk before."""
    query = dns.message.make_query(WEB, "A", id=ident).to_wire()
    sock.send(query)
    while (reply := sock.recv(4096))[:2] != query[:2] or reply[12 : len(query)] != query[12:]:
        pass


def test_random_and_mutated_frames(world):
    """The same over TCP. Most get a reply, none ends the connection."""
    sock, junk = world.client.tcp(), packets(2)
    for _ in range(20):
        query = dns.message.make_query(WEB, "A", id=9).to_wire()
        sock.sendall(b"".join(framed(next(junk)) for _ in range(50)) + framed(query))
        while (reply := read_frame(sock))[:2] != query[:2] or reply[12 : len(query)] != query[12:]:
            pass
    world.still_answers()


def test_streams_of_random_octets(world):
    source = random.Random(3)
    for _ in range(50):
        with world.client.tcp() as sock:
            sock.sendall(source.randbytes(source.randrange(1, 3000)))
    world.still_answers()


def test_a_flood_of_unknown_names_keeps_the_memory_bounded(world):
    sock = world.client.udp()
    before, sent = resident(world.server.pid), 0
    for received in range(PACKETS):
        while sent < min(PACKETS, received + 100):
            sock.send(dns.message.make_query(f"n{sent}.default.svc.cluster.local.", "A").to_wire())
            sent += 1
        sock.recv(512)
    assert resident(world.server.pid) - before < GROWTH
    world.still_answers()


def test_every_type_and_class(world):
    sock = world.client.udp()
    wire = dns.message.make_query(WEB, "A", id=1).to_wire()
    for number in [*range(300), 32768, 65279, 65535]:
        for at in (-4, -2):
            end = len(wire) + at
            sock.send(wire[:end] + number.to_bytes(2, "big") + wire[end + 2 :])
            assert sock.recv(4096)[2] & 0x80
    world.still_answers()


def test_queries_from_port_0_and_from_the_server_itself(world):
    """A reply to port 0 cannot be sent; a reply to the server's own port must not be answered again."""
    query = dns.message.make_query(WEB, "A").to_wire()
    with world.client.namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        for port in (0, 53):
            for _ in range(20):
                # Source, destination, length, and no checksum (RFC 768)
                header = b"".join(word.to_bytes(2, "big") for word in (port, 53, 8 + len(query), 0))
                raw.sendto(header + query, ("127.0.0.1", 0))
    world.still_answers()


def test_names_that_try_to_be_log_lines(world):
    sock = world.client.udp()
    label = b"x\n[ERROR] forged\x1b[2J"
    question = bytes((len(label),)) + label + b"\5local\0\0\1\0\1"
    sock.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + question)
    sock.recv(512)
    world.still_answers()
    # Lines are written by a thread
    assert eventually(lambda: "x\\010[error]\\032forged\\027[2j.local." in world.server.output())
    assert "\n[ERROR] forged" not in world.server.output()
