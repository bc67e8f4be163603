"""`whoami`: how a client is seen."""

import dns.message
import dns.name
import pytest

from tests.plugins.blocks import block, mistakes
from tests.support.inprocess import InProcess


def seen(name="x.test.", protocol="udp", client=("192.0.2.7", 40000)):
    wire = InProcess(block("whoami"), protocol).ask(dns.message.make_query(name, "TXT").to_wire(), client)
    return dns.message.from_wire(wire)


def lines(reply):
    return [str(rrset) for rrset in reply.additional]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_address_port_and_transport(protocol):
    reply = seen(protocol=protocol)
    assert reply.answer == []
    assert lines(reply) == ["x.test. 0 IN A 192.0.2.7", f"_{protocol}.x.test. 0 IN SRV 0 0 40000 ."]
    assert dns.flags.to_text(reply.flags) == "QR AA RD"


@pytest.mark.parametrize("client", ["fd00::7", "fe80::7%eth0"])
def test_an_ipv6_client(client):
    assert lines(seen(client=(client, 1, 0, 2)))[0] == f"x.test. 0 IN AAAA {client.partition('%')[0]}"


def test_the_root():
    assert lines(seen("."))[1] == "_udp. 0 IN SRV 0 0 40000 ."


def test_every_client_gets_its_own_reply():
    server = InProcess(block("whoami"))
    packet = dns.message.make_query("x.test.", "A").to_wire()
    first, second = server.ask(packet, ("192.0.2.7", 1)), server.ask(packet, ("192.0.2.8", 2))
    assert lines(dns.message.from_wire(first)) != lines(dns.message.from_wire(second))
    assert server.hits() == 0


def test_the_longest_name_that_can_be_asked_gets_a_reply_that_parses():
    longest = ".".join(["a" * 63] * 3 + ["a" * 61]) + "."
    assert len(dns.name.from_text(longest).to_wire()) == 255
    assert lines(seen(longest))[0] == f"{longest} 0 IN A 192.0.2.7"


def test_arguments_and_a_block_are_mistakes():
    assert "takes no arguments" in mistakes("whoami x")[0]
    assert "takes no block" in mistakes("whoami {", "x", "}")[0]
