"""The test upstream: every line of upstream.yaml's head and `special:` list, and each fault."""

import socket
import struct
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.support.faults import Fault
from tests.support.upstream import SLOW, FakeUpstream

# Seconds a test waits for a reply that must not come.
SHORT = 0.3
FAULTY = "foo.example.net."


@pytest.fixture(scope="module")
def upstream():
    with FakeUpstream() as running:
        yield running


def ask(upstream, name, rdtype="A", tcp=False, timeout=5.0, **options):
    query = dns.message.make_query(name, rdtype, **options)
    exchange = dns.query.tcp if tcp else dns.query.udp
    return exchange(query, "127.0.0.1", timeout=timeout, port=upstream.port)


def raw(upstream, query, tcp=False):
    """The first datagram or the whole TCP stream that comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", upstream.port))
        wire = query.to_wire()
        if not tcp:
            client.send(wire)
            return client.recv(65535)
        client.sendall(struct.pack("!H", len(wire)) + wire)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65535), b""))


def lines(section):
    return sorted(f"{rrset.name} {rrset.ttl} {rdata}".lower() for rrset in section for rdata in rrset)


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_known_name_is_answered_with_ra_and_without_aa(upstream, tcp):
    reply = ask(upstream, "Example.NET.", "A", tcp)
    assert lines(reply.answer) == ["example.net. 3600 13.14.15.16"]
    assert reply.flags & dns.flags.RA
    assert reply.flags & dns.flags.RD
    assert not reply.flags & dns.flags.AA
    assert reply.edns == -1
    assert str(reply.question[0].name) == "Example.NET."


def test_rd_is_copied_and_opt_comes_only_to_who_sent_one(upstream):
    reply = ask(upstream, "example.net.", flags=0, use_edns=0, payload=4096)
    assert not reply.flags & dns.flags.RD
    assert reply.edns == 0


def test_the_soa_of_a_negative_reply_is_that_of_the_enclosing_zone(upstream):
    inside, outside = ask(upstream, "no.such.example.net."), ask(upstream, "no.such.name.")
    assert (inside.rcode(), outside.rcode()) == (dns.rcode.NXDOMAIN, dns.rcode.NXDOMAIN)
    assert lines(inside.authority)[0].startswith("example.net. 900 ")
    assert lines(outside.authority)[0].startswith(". 86400 ")


def test_a_type_that_a_name_lacks_is_nodata(upstream):
    reply = ask(upstream, "v4only.example.net.", "AAAA")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    assert lines(reply.authority)[0].startswith("example.net. 900 ")


def test_an_alias_is_followed_to_records_or_to_the_soa_of_nodata(upstream):
    found, nodata = ask(upstream, "alias.example.net."), ask(upstream, "alias.example.net.", "AAAA")
    alias = "alias.example.net. 60 v4only.example.net."
    assert [str(rrset.name) for rrset in found.answer] == ["alias.example.net.", "v4only.example.net."]
    assert (lines(nodata.answer), len(nodata.authority)) == ([alias], 1)
    assert not ask(upstream, "alias.example.net.", "CNAME").authority


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("servfail.example.net.", dns.rcode.SERVFAIL),
        ("refused.example.net.", dns.rcode.REFUSED),
        ("notimp.example.net.", dns.rcode.NOTIMP),
        ("emptynosoa.example.net.", dns.rcode.NOERROR),
        ("nosoa-nx.example.net.", dns.rcode.NXDOMAIN),
    ],
)
def test_bare_rcodes(upstream, name, rcode):
    reply = ask(upstream, name)
    assert (reply.rcode(), reply.answer, reply.authority) == (rcode, [], [])


def test_a_dropped_name_is_counted_and_not_answered(upstream):
    with pytest.raises(dns.exception.Timeout):
        ask(upstream, "drop.example.net.", timeout=SHORT)
    assert upstream.count("drop.example.net.", "A") == 1


def test_a_slow_name_is_answered_after_its_second(upstream):
    begin = time.monotonic()
    reply = ask(upstream, "slow.example.net.")
    assert time.monotonic() - begin >= SLOW
    assert lines(reply.answer) == ["slow.example.net. 30 198.51.100.50"]


def test_flip_alternates(upstream):
    rcodes = [ask(upstream, "flip.example.net.").rcode() for _ in range(4)]
    assert rcodes == [dns.rcode.NOERROR, dns.rcode.SERVFAIL] * 2


@pytest.mark.parametrize("payload", [512, 4096, 5000])
def test_big_is_empty_and_tc_unless_it_fits(upstream, payload):
    reply = ask(upstream, "big.example.net.", use_edns=0, payload=payload)
    fits = payload == 5000
    assert bool(reply.flags & dns.flags.TC) is not fits
    assert len(lines(reply.answer)) == (300 if fits else 0)
    assert len(lines(ask(upstream, "big.example.net.", tcp=True).answer)) == 300


def test_an_opcode_other_than_query_is_notimp(upstream):
    query = dns.message.make_query("example.net.", "SOA")
    query.set_opcode(dns.opcode.NOTIFY)
    assert dns.query.udp(query, "127.0.0.1", 5, upstream.port).rcode() == dns.rcode.NOTIMP


def test_what_was_seen_names_source_id_and_spelling(upstream):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(5)
        query = dns.message.make_query("Seen.Example.Net.", "TXT", id=4321)
        client.sendto(query.to_wire(), ("127.0.0.1", upstream.port))
        client.recv(512)
        mine = [each for each in upstream.seen if each.source == client.getsockname() and each.id == 4321]
    (seen,) = mine
    assert (seen.name, seen.rdtype, seen.transport, seen.id) == ("seen.example.net.", "TXT", "udp", 4321)
    assert b"\x04Seen\x07Example" in seen.wire
    assert upstream.count("seen.example.net.", "TXT", "tcp") == 0


def test_junk_is_neither_counted_nor_fatal(upstream):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"junk", ("127.0.0.1", upstream.port))
        client.sendto(b"\0" * 12, ("127.0.0.1", upstream.port))
    assert ask(upstream, "example.net.").rcode() == dns.rcode.NOERROR
    assert all(query.name for query in upstream.seen)


def with_fault(*replies):
    return FakeUpstream(faults={FAULTY: replies})


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.WRONG_ID, dns.query.BadResponse),
        (Fault.WRONG_QUESTION, dns.query.BadResponse),
        (Fault.ANOTHER_PORT, dns.query.UnexpectedSource),
        (Fault.GARBAGE, dns.exception.DNSException),
        (Fault.SILENT, dns.exception.Timeout),
    ],
)
def test_a_client_notices_each_fault_over_udp(fault, error):
    with with_fault(fault) as upstream, pytest.raises(error):
        ask(upstream, FAULTY, timeout=SHORT if fault is Fault.SILENT else 5)


def test_a_forgery_and_then_the_truth():
    with with_fault(Fault.WRONG_ID, Fault.HONEST) as upstream:
        query = dns.message.make_query(FAULTY, "A")
        reply = dns.query.udp(query, "127.0.0.1", 5, upstream.port, ignore_errors=True)
    assert lines(reply.answer) == ["foo.example.net. 303 10.10.10.11"]


def test_a_stream_that_ends_in_a_frame_is_announced_by_tc_over_udp():
    with with_fault(Fault.CLOSE_MID_FRAME) as upstream:
        assert ask(upstream, FAULTY).flags & dns.flags.TC
        stream = raw(upstream, dns.message.make_query(FAULTY, "A"), tcp=True)
    assert 2 < len(stream) < 2 + struct.unpack("!H", stream[:2])[0]


def test_an_oversized_reply_ignores_the_payload():
    with with_fault(Fault.OVERSIZED) as upstream:
        datagram = raw(upstream, dns.message.make_query(FAULTY, "A"))
    assert len(datagram) > 4096
    assert not dns.message.from_wire(datagram).flags & dns.flags.TC


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_always_truncated_holds_on_both_transports(tcp):
    with with_fault(Fault.ALWAYS_TRUNCATED) as upstream:
        reply = ask(upstream, FAULTY, tcp=tcp)
    assert reply.flags & dns.flags.TC
    assert reply.answer == []


def test_a_client_that_keeps_its_connection_does_not_hold_up_the_end():
    wire = dns.message.make_query("example.net.", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client, client.makefile("rb") as stream:
        client.settimeout(5)
        with FakeUpstream() as upstream:
            client.connect(("127.0.0.1", upstream.port))
            client.sendall(struct.pack("!H", len(wire)) + wire)
            (length,) = struct.unpack("!H", stream.read(2))
            assert len(stream.read(length)) == length
        assert stream.read() == b""
