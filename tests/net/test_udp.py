"""DNS over UDP: the address a reply comes from, and replies too large for the interface."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import dns.flags
import dns.message
import pytest

from tests.net.live import PATIENCE, Client, serving
from tests.sources.objects import documents, endpoints, namespace, service
from tests.support.netns import Namespace
from tests.support.process import Server
from tests.support.upstream import FakeUpstream

WEB, CROWD = "web.default.svc.cluster.local.", "crowd.default.svc.cluster.local."
# 2 KB of addresses: more than fits an MTU of 1,400 octets, less than a client with EDNS takes
COUNT = 120
MTU, OUR_PAYLOAD = 1400, 1232
KUBERNETES = """\
    kubernetes cluster.local {
        manifests %(objects)s
    }
    forward . %(upstream)s
}
"""
COREFILE = ".:53 {\n" + "".join(
    f"{head}{KUBERNETES}"
    for head in ("", ".:54 {\n    bind 127.0.0.1\n", ".:55 {\n    bind ::1\n", ".:56 {\n    bind 127.0.0.1\n")
)


@dataclass(frozen=True, slots=True)
class World:
    server: Server
    client: Client
    namespace: Namespace

    def reply_from(self, to: str, name: str = WEB) -> tuple[str, dns.message.Message]:
        """The address that answers a question to `to`, and its reply."""
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with self.namespace.entered():
            sock = socket.socket(family, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(PATIENCE)
            sock.sendto(dns.message.make_query(name, "A").to_wire(), (to, 53))
            wire, source = sock.recvfrom(4096)
        return source[0], dns.message.from_wire(wire)


def world(folder, mtu=0) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        namespace_ = stack.enter_context(Namespace(("192.0.2.1", "2001:db8::1")))
        with namespace_.entered():
            upstream = stack.enter_context(FakeUpstream())
        crowd = endpoints("crowd", *(f"10.1.0.{number}" for number in range(1, COUNT + 1)))
        objects = folder / "objects.yaml"
        objects.write_text(documents(namespace(), service("web"), service("crowd", "None"), crowd))
        text = COREFILE % {"objects": objects, "upstream": upstream.address}
        server, client = stack.enter_context(serving(folder, text, namespace_, WEB, mtu))
        yield World(server, client, namespace_)


@pytest.fixture(scope="module")
def loopback(tmp_path_factory) -> Iterator[World]:
    yield from world(tmp_path_factory.mktemp("udp"))


@pytest.fixture(scope="module")
def narrow(tmp_path_factory) -> Iterator[World]:
    yield from world(tmp_path_factory.mktemp("narrow"), MTU)


def answers(reply):
    return sum(len(rrset) for rrset in reply.answer)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.9.8.7", "192.0.2.1", "::1", "2001:db8::1"])
def test_a_reply_comes_from_the_address_that_was_asked(loopback, address):
    source, reply = loopback.reply_from(address)
    assert source == address
    assert answers(reply) == 1


@pytest.mark.parametrize(
    ("address", "name"),
    [("127.0.0.1", "example.net."), ("127.0.0.2", "slow.example.net."), ("2001:db8::1", "example.net.")],
)
def test_a_reply_that_had_to_wait_comes_from_there_too(loopback, address, name):
    source, reply = loopback.reply_from(address, name)
    assert source == address
    assert answers(reply) == 1


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77"])
def test_an_address_that_comes_later_is_served(loopback, address):
    loopback.namespace.add_address(address)
    source, _ = loopback.reply_from(address)
    assert source == address


def test_an_address_that_is_not_bound_is_not_served(loopback):
    sock = loopback.client.at("127.0.0.2", 54).udp()
    sock.send(dns.message.make_query(WEB, "A").to_wire())
    with pytest.raises(ConnectionRefusedError):
        sock.recv(512)


@pytest.mark.parametrize(
    ("payload", "limit"), [(None, 512), (100, 512), (512, 512), (1232, 1232), (1500, 1500), (4096, 4096), (65535, 4096)]
)
def test_a_reply_is_never_larger_than_the_client_takes(loopback, payload, limit):
    reply = loopback.client.ask(CROWD, use_edns=payload is not None and 0, payload=payload or 0)
    whole = limit == 4096
    assert limit - 64 <= len(reply.to_wire()) <= limit or whole
    assert (answers(reply) == COUNT) is whole
    assert bool(reply.flags & dns.flags.TC) is not whole


def test_a_query_larger_than_any_real_one_is_answered_or_refused(loopback):
    padded = dns.message.make_query(WEB, "A").to_wire() + bytes(20000)
    sock = loopback.client.udp()
    sock.send(padded)
    assert sock.recv(512)[:2] == padded[:2]


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.2", 53), ("127.0.0.1", 54), ("::1", 55)], ids=["wildcard", "IPv4", "IPv6"]
)
def test_a_reply_too_large_for_the_interface_is_cut(narrow, host, port):
    """Neither fragmented nor lost, from the first on."""
    client = narrow.client.at(host, port)
    for _ in range(3):
        reply = client.ask(CROWD, use_edns=0, payload=4096)
        assert reply.flags & dns.flags.TC
        assert 0 < answers(reply) < COUNT
        assert len(reply.to_wire()) <= OUR_PAYLOAD
    assert answers(client.ask(CROWD, tcp=True)) == COUNT


def test_a_forwarded_reply_too_large_for_the_interface_is_cut(narrow):
    """The listener has sent nothing large before; a reply that is lost costs a stub its time-out of 5 s."""
    sock = narrow.client.at(port=56).udp()
    sock.settimeout(3)
    sock.send(dns.message.make_query("big.example.net.", "A", use_edns=0, payload=4096).to_wire())
    reply = dns.message.from_wire(sock.recv(65535))
    assert reply.flags & dns.flags.TC
    assert len(reply.to_wire()) <= OUR_PAYLOAD


def test_small_replies_are_whole_on_a_small_interface(narrow):
    assert answers(narrow.client.ask(WEB)) == 1
