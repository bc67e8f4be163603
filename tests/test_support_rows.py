"""The conformance rows load, and their comparison notices every kind of difference and nothing else."""

from collections import Counter
from dataclasses import replace

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from tests.support.differences import differences, is_forwarded, packet_differences
from tests.support.rows import (
    SECTIONS,
    Options,
    Row,
    corefile,
    corefile_rows,
    packet_rows,
    query_bytes,
    query_rows,
    setups,
)

ROWS = {row.id: row for row in query_rows()}


def perfect(row):
    """A reply that a row is satisfied with."""
    reply = dns.message.make_response(dns.message.from_wire(query_bytes(row)), recursion_available=True)
    reply.set_rcode(dns.rcode.from_text(row.rcode))
    reply.flags |= dns.flags.AA if row.aa else 0
    for section in SECTIONS:
        getattr(reply, section).extend(rrset(line) for line in row.sections[section] or ())
    return reply


def rrset(line):
    owner, ttl, rdtype, rdata = line.replace(" * ", " 1 ").split(maxsplit=3)
    return dns.rrset.from_text(owner, int(ttl), "IN", rdtype, rdata)


def judged(row, reply):
    return differences(row, reply.to_wire(max_size=65535))


def row_of(answer=(), authority=(), additional=(), **fields):
    row = Row(
        "x", "x", "x.test.", "A", "NOERROR", Options(), True, None,
        {"answer": answer, "authority": authority, "additional": additional}, {}, "",
    )  # fmt: skip
    return replace(row, **fields)


A = row_of(("x.test. 5 A 10.0.0.1", "x.test. 5 A 10.0.0.2"))
SOA = row_of(authority=("test. 5 SOA ns.test. host.test. * 7200 1800 86400 5",))
SRV = row_of(
    ("x.test. 5 SRV 0 50 80 a.test.", "x.test. 5 SRV 0 50 80 b.test."), ("a.test. 5 A 10.0.0.1",), rdtype="SRV"
)


def test_every_file_gives_its_rows_once():
    rows = [*query_rows(), *packet_rows(), *corefile_rows()]
    assert not [key for key, times in Counter(row.id for row in rows).items() if times > 1]
    assert len(query_rows()) > 200
    assert len(packet_rows()) > 20
    assert len(corefile_rows()) > 200


def test_every_row_names_a_setup():
    assert {row.setup for row in query_rows()} <= setups().keys()


@pytest.mark.parametrize("row", [row for row in ROWS.values() if not row.counts], ids=lambda row: row.id)
def test_a_row_is_satisfied_by_its_own_reply(row):
    assert judged(row, perfect(row)) == []


def test_placeholders_and_ports_are_filled():
    text = corefile(setups()["chain-fwd-two"], upstream="127.0.0.1:40000", port=5355)
    assert text.startswith(".:5355 {\n    forward stub.local 127.0.0.1:40000\n")
    assert "127.0.0.9:5399 127.0.0.1:40000" in text
    two_zones = corefile(setups()["chain-cidr"], source="manifests /objects", port=5355)
    assert two_zones.startswith("10.96.0.0/12:5355 cluster.local:5355 {")
    assert "        manifests /objects\n" in two_zones


@pytest.mark.parametrize(
    ("opts", "flags", "ednsflags", "payload"),
    [
        (Options(), dns.flags.RD, None, None),
        (Options(rd=False, cd=True), dns.flags.CD, None, None),
        (Options(edns=4096), dns.flags.RD, 0, 4096),
        (Options(do=True), dns.flags.RD, dns.flags.DO, 1232),
    ],
)
def test_options_become_bits_of_the_query(opts, flags, ednsflags, payload):
    query = dns.message.from_wire(query_bytes(replace(A, opts=opts)))
    assert query.flags == flags
    assert (query.edns >= 0) is (payload is not None)
    if payload is not None:
        assert (query.ednsflags & dns.flags.DO, query.payload) == (ednsflags, payload)


def test_class_and_nsid_are_asked():
    chaos = dns.message.from_wire(query_bytes(ROWS["k178"]))
    nsid = dns.message.from_wire(query_bytes(ROWS["c141"]))
    assert chaos.question[0].rdclass == dns.rdataclass.CH
    assert [option.otype for option in nsid.options] == [dns.edns.OptionType.NSID]


def changed(row, change):
    reply = perfect(row)
    change(reply)
    return reply


def drop(section):
    return lambda reply: getattr(reply, section).pop()


def add(section, line):
    return lambda reply: getattr(reply, section).append(rrset(line))


def swap(section, *lines):
    return lambda reply: setattr(reply, section, [rrset(line) for line in lines])


def set_flag(flag):
    return lambda reply: setattr(reply, "flags", reply.flags ^ flag)


def ask_otherwise(reply):
    reply.question = [dns.rrset.RRset(dns.name.from_text("X.test."), 1, dns.rdatatype.A)]


NOTICED = {
    "rcode": (A, lambda reply: reply.set_rcode(dns.rcode.NXDOMAIN)),
    "aa": (A, set_flag(dns.flags.AA)),
    "qr": (A, set_flag(dns.flags.QR)),
    "tc where given": (replace(A, tc=False), set_flag(dns.flags.TC)),
    "id": (A, lambda reply: setattr(reply, "id", 1)),
    "unasked opt": (A, lambda reply: reply.use_edns(0)),
    "spelling of the question": (A, ask_otherwise),
    "record lacking": (A, drop("answer")),
    "record too many": (A, add("answer", "x.test. 5 A 10.0.0.3")),
    "record twice": (A, add("answer", "x.test. 5 A 10.0.0.1")),
    "ttl": (A, swap("answer", "x.test. 5 A 10.0.0.1", "x.test. 6 A 10.0.0.2")),
    "owner": (A, swap("answer", "x.test. 5 A 10.0.0.1", "y.test. 5 A 10.0.0.2")),
    "address": (A, swap("answer", "x.test. 5 A 10.0.0.1", "x.test. 5 A 10.0.0.9")),
    "record in another section": (A, add("additional", "x.test. 5 A 10.0.0.1")),
    "soa lacking": (SOA, drop("authority")),
    "soa minimum": (SOA, swap("authority", "test. 5 SOA ns.test. host.test. 1 7200 1800 86400 6")),
    "soa besides": (A, add("authority", "test. 5 SOA ns.test. host.test. 1 7200 1800 86400 5")),
    "srv weight 0": (
        SRV,
        swap("answer", "x.test. 5 SRV 0 0 80 a.test.", "x.test. 5 SRV 0 0 80 b.test."),
    ),
    "srv weights unequal": (
        SRV,
        swap("answer", "x.test. 5 SRV 0 50 80 a.test.", "x.test. 5 SRV 0 49 80 b.test."),
    ),
    "srv port": (SRV, swap("answer", "x.test. 5 SRV 0 50 81 a.test.", "x.test. 5 SRV 0 50 80 b.test.")),
    "count": (replace(A, sections={**A.sections, "answer": None}, counts={"answer": 2}), drop("answer")),
}

PASSED_OVER = {
    "ra": (A, set_flag(dns.flags.RA)),
    "tc where not given": (A, set_flag(dns.flags.TC)),
    "order": (A, lambda reply: reply.answer.reverse()),
    "case of an owner": (A, swap("answer", "X.tEst. 5 A 10.0.0.1", "x.test. 5 A 10.0.0.2")),
    "case in rdata": (SRV, swap("answer", "x.test. 5 SRV 0 9 80 A.TEST.", "x.test. 5 SRV 0 9 80 B.test.")),
    "serial": (SOA, swap("authority", "test. 5 SOA ns.test. host.test. 77 7200 1800 86400 5")),
    "opt payload": (replace(A, opts=Options(edns=1232)), lambda reply: reply.use_edns(0, payload=512)),
    "forwarded authority": (
        ROWS["c062"],
        add("authority", "example.net. 900 SOA ns.example.net. a.example.net. 1 2 3 4 5"),
    ),
}


@pytest.mark.parametrize(("row", "change"), NOTICED.values(), ids=NOTICED)
def test_a_difference_is_noticed(row, change):
    plain = perfect(A if row.counts else row)
    assert judged(row, plain) == []
    change(plain)
    assert len(judged(row, plain)) >= 1


@pytest.mark.parametrize(("row", "change"), PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_the_readme_excludes_is_passed_over(row, change):
    assert judged(row, changed(row, change)) == []


def test_no_reply_and_junk_are_differences():
    assert differences(A, None) == ["no reply"]
    assert differences(A, b"\0\1\2")[0].startswith("the reply does not parse")


@pytest.mark.parametrize(
    ("row", "forwarded"),
    [
        ("c062", True),
        # Chased to an upstream's NXDOMAIN, so AA and an SOA that is not ours.
        ("k282", True),
        # Zones of the server itself outside cluster.local, and of no zone file at all.
        ("k350", False),
        ("k315", False),
        ("c131", False),
        ("c061", False),
    ],
)
def test_forwarded_is_told_from_local(row, forwarded):
    assert is_forwarded(ROWS[row]) is forwarded


@pytest.mark.parametrize("row", packet_rows(), ids=lambda row: row.id)
def test_a_packet_row_is_satisfied_by_its_rcode_and_by_no_other(row):
    if row.rcode is None:
        assert packet_differences(row, None) == []
        assert packet_differences(row, b"\0" * 12)
        return
    reply = dns.message.Message(id=int.from_bytes(row.query[:2], "big"))
    reply.flags = dns.flags.QR
    reply.set_opcode(row.opcode)
    reply.set_rcode(dns.rcode.from_text(row.rcode))
    assert packet_differences(row, reply.to_wire()) == []
    reply.set_rcode(dns.rcode.YXRRSET)
    assert packet_differences(row, reply.to_wire())
    assert packet_differences(row, None)
