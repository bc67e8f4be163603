"""The encoder against what was to be said, as a second reader, dnspython and dnslib read it."""

import dns.edns
import dns.flags
import dns.message
import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clusterdns.memo import Entry
from clusterdns.wire.codes import Option, RCode, Type
from clusterdns.wire.encode import MAX_MESSAGE, OUR_PAYLOAD, encode, refuse, udp_limit
from clusterdns.wire.names import from_text
from clusterdns.wire.query import parse
from clusterdns.wire.records import Ede, Names, Rdata, Response, RRset, addresses, name_rrset, soa, srv, txt
from clusterdns.wire.survey import survey, unpack
from tests.wire.packets import ID, RD, opt, query, question
from tests.wire.replies import NAMES, REQUESTS, RESPONSES
from tests.wire.walk import Record, walked

# Section, owner, type, TTL, data with its names in full
Line = tuple[int, bytes, int, int, bytes]

NAME = from_text("svc1.testns.svc.cluster.local")
ZONE = from_text("cluster.local")
SOA = RRset(ZONE, Type.SOA, 5, (soa(b"\2ns\3dns" + ZONE, b"\x0ahostmaster" + ZONE, 7, (7200, 1800, 86400, 5)),))
REQUEST = parse(query(NAME))


def wanted(response: Response) -> list[Line]:
    """What a response says, one line for each record."""
    return [
        (at, rrset.owner, rrset.rtype, rrset.ttl, in_full(rdata))
        for at, section in enumerate((response.answer, response.authority, response.additional))
        for rrset in section
        for rdata in rrset.rdatas
    ]


def in_full(rdata: Rdata) -> bytes:
    return rdata.head + b"".join(rdata.names) + rdata.tail if isinstance(rdata, Names) else rdata


def read(wire: bytes) -> tuple[list[Line], dns.message.Message]:
    """The same of a message, as dnspython reads it; its OPT record apart."""
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    lines = [
        (at, rrset.name.canonicalize().to_wire(), rrset.rdtype, rrset.ttl, rrset[0].to_digestable())
        for at, section in enumerate((message.answer, message.authority, message.additional))
        for rrset in section
    ]
    return lines, message


def one_more(response: Response, kept: int) -> Response:
    """The response with its first `kept` records and one more."""
    left, sections = kept + 1, []
    for section in (response.answer, response.authority, response.additional):
        rrsets = []
        for rrset in section:
            rdatas = rrset.rdatas[:left]
            left -= len(rdatas)
            rrsets += [RRset(rrset.owner, rrset.rtype, rrset.ttl, rdatas)] if rdatas else []
        sections.append(tuple(rrsets))
    return Response(response.rcode, *sections, ede=response.ede)


@settings(max_examples=250, deadline=None)
@given(REQUESTS, RESPONSES, st.booleans())
def test_a_reply_reads_back_as_it_was_meant(request, response, recursive):
    wire = encode(request, response, recursive=recursive).wire(request)
    lines, message = read(wire)
    assert lines == wanted(response)
    assert message.id == request.id
    assert wire[12 : 12 + len(request.question)] == request.question
    assert message.flags & dns.flags.QR
    assert bool(message.flags & dns.flags.AA) is response.aa
    assert bool(message.flags & dns.flags.RA) is (response.ra or recursive)
    assert not message.flags & (dns.flags.TC | dns.flags.AD)
    assert message.flags & (RD | 0x10) == request.flags & (RD | 0x10)
    assert (message.edns == 0) is request.query.edns
    if request.query.edns:
        assert message.payload == OUR_PAYLOAD
        assert message.options == (() if response.ede is None else (dns.edns.EDEOption(response.ede),))
        assert bool(message.ednsflags & dns.flags.DO) is request.query.do
        assert message.rcode() == response.rcode
    else:
        assert message.rcode() == response.rcode & 0xF


@settings(max_examples=250, deadline=None)
@given(REQUESTS, RESPONSES, st.integers(300, 1300))
def test_a_reply_is_never_too_large_and_holds_whole_records(request, response, limit):
    wire = encode(request, response, limit).wire(request)
    lines, message = read(wire)
    every = wanted(response)
    assert len(wire) <= limit
    assert lines == every[: len(lines)]
    missing = every[len(lines) :]
    assert bool(message.flags & dns.flags.TC) is any(section < 2 for section, *_ in missing)
    if missing:
        # Nothing was left out that had room
        assert len(encode(request, one_more(response, len(lines))).wire(request)) > limit
    assert (message.edns == 0) is request.query.edns


@settings(max_examples=100, deadline=None)
@given(REQUESTS, RESPONSES, st.integers(0, 10))
def test_turning_moves_addresses_and_nothing_else(request, response, turn):
    plain, turned = (walked(encode(request, response, turn=at).wire(request)) for at in (0, turn))
    assert [line(record) for record in plain if record.section] == [line(record) for record in turned if record.section]
    at = 0
    for rrset in response.answer:
        count = len(rrset.rdatas)
        first = turn % count if response.rotate and rrset.rtype in (Type.A, Type.AAAA, Type.MX) else 0
        expected = [in_full(rdata) for rdata in rrset.rdatas[first:] + rrset.rdatas[:first]]
        if rrset.rtype in (Type.A, Type.AAAA):
            assert [record.rdata for record in turned[at : at + count]] == expected
        at += count


def line(record: Record) -> tuple[bytes, int, int]:
    return record.owner, record.rtype, record.ttl


@settings(max_examples=150, deadline=None)
@given(
    REQUESTS.filter(lambda request: len(request.query.name) > 1),
    st.lists(st.integers(1, 7), min_size=1, max_size=3),
    st.booleans(),
)
def test_slicing_an_encoded_reply_turns_it_as_encoding_it_again_would(request, counts, six):
    """Several RRsets of the question's name, as `prefer` makes them."""
    size = 16 if six else 4
    answer = tuple(
        RRset(
            request.query.name,
            Type.AAAA if six else Type.A,
            5,
            tuple(bytes([at, n]) * (size // 2) for n in range(count)),
        )
        for at, count in enumerate(counts)
    )
    response = Response(answer=answer, additional=answer, rotate=True)
    encoded = encode(request, response)
    entry = Entry(encoded.head, encoded.body, 0, True, b"", 0, [], None, encoded.runs)
    for turn in range(1, 9):
        assert entry.rotated() == encode(request, response, turn=turn).body


@pytest.mark.parametrize(
    ("rrset", "text"),
    [
        (RRset(NAME, Type.A, 5, (b"\x0a\0\0\1",)), "10.0.0.1"),
        (RRset(NAME, Type.AAAA, 5, (b"\xfd" + bytes(14) + b"\1",)), "fd00::1"),
        (name_rrset(NAME, Type.CNAME, 5, (from_text("x.cluster.local"),)), "x.cluster.local."),
        (name_rrset(NAME, Type.NS, 5, (NAME,)), "svc1.testns.svc.cluster.local."),
        (name_rrset(NAME, Type.PTR, 5, (from_text("y.testns.svc.cluster.local"),)), "y.testns.svc.cluster.local."),
        (RRset(NAME, Type.SRV, 5, (srv(0, 50, 80, NAME),)), "0 50 80 svc1.testns.svc.cluster.local."),
        (RRset(NAME, Type.MX, 5, (Names(b"\0\x0a", (NAME,)),)), "10 svc1.testns.svc.cluster.local."),
        (RRset(NAME, Type.TXT, 5, (txt(b"1.1.0"),)), '"1.1.0"'),
        (
            SOA,
            "ns.dns.cluster.local. hostmaster.cluster.local. 7 7200 1800 86400 5",
        ),
    ],
    ids=lambda value: Type(value.rtype).name if isinstance(value, RRset) else "",
)
def test_text_forms_as_dnslib_reads_them(rrset, text):
    wire = encode(REQUEST, Response(answer=(rrset,))).wire(REQUEST)
    (found,) = dnslib.DNSRecord.parse(wire).rr
    assert (str(found.rdata), found.ttl) == (text, 5)
    assert dnslib.DNSLabel(found.rname).label == tuple(str(found.rname).rstrip(".").encode().split(b"."))


def dual_stack_srv(count: int) -> Response:
    """An SRV answer of a headless dual-stack Service with `count` endpoints."""
    names = [b"\x0cendpoint" + f"{n:04}".encode() + NAME for n in range(count)]
    hosts = [
        (name, (bytes([10, 0, n >> 8, n & 255]), b"\xfd" + bytes(13) + n.to_bytes(2, "big")))
        for n, name in enumerate(names)
    ]
    answer = RRset(NAME, Type.SRV, 5, tuple(srv(0, 1, 80, name) for name in names))
    return Response(answer=(answer,), additional=tuple(rrset for host in hosts for rrset in addresses(*host, 5)))


def test_a_message_above_the_reach_of_pointers_reads_back_right():
    """RFC 1035 4.1.4: a pointer has 14 bits; 300 targets with their addresses need more."""
    response = dual_stack_srv(300)
    wire = encode(REQUEST, response).wire(REQUEST)
    assert 0x4000 < len(wire) <= MAX_MESSAGE
    lines, message = read(wire)
    assert lines == wanted(response)
    assert not message.flags & dns.flags.TC


def test_the_largest_message_is_cut_too():
    response = dual_stack_srv(2000)
    wire = encode(REQUEST, response).wire(REQUEST)
    lines, message = read(wire)
    assert MAX_MESSAGE - 100 < len(wire) <= MAX_MESSAGE
    assert lines == wanted(response)[: len(lines)]
    assert bool(message.flags & dns.flags.TC) is (len(lines) < 2000)


def test_additional_records_left_out_do_not_set_tc():
    """RFC 2181 section 9."""
    response = dual_stack_srv(5)
    lines, message = read(encode(REQUEST, response, 512).wire(REQUEST))
    assert [line for line in lines if not line[0]] == [line for line in wanted(response) if not line[0]]
    assert len(lines) < len(wanted(response))
    assert not message.flags & dns.flags.TC


def test_srv_targets_are_written_in_full():
    """RFC 2782."""
    (record,) = walked(
        encode(REQUEST, Response(answer=(RRset(NAME, Type.SRV, 5, (srv(0, 1, 80, NAME),)),))).wire(REQUEST)
    )
    assert record.rdata == b"\0\0\0\1\0\x50" + NAME


def test_names_are_compressed():
    """The owner in two octets, a name below the question's in its label and two more."""
    response = Response(answer=(name_rrset(NAME, Type.CNAME, 5, (b"\1x" + NAME,)),))
    assert encode(REQUEST, response).body == b"\xc0\x0c\0\5\0\1\0\0\0\5\0\4\1x\xc0\x0c"


@settings(max_examples=100, deadline=None)
@given(NAMES, st.lists(NAMES, min_size=1, max_size=30, unique=True))
def test_what_is_encoded_can_be_read_as_an_upstreams_reply(owner, targets):
    request = parse(query(owner, Type.PTR))
    rrset = name_rrset(owner, Type.PTR, 5, tuple(targets))
    wire = encode(request, Response(answer=(rrset,))).wire(request)
    assert unpack(survey(wire, owner + b"\0\x0c\0\1")).answer == (rrset,)


@pytest.mark.parametrize("ede", list(Ede))
def test_an_extended_error_as_it_stands_in_the_message(ede):
    """RFC 8914 section 2: option 15, two octets of INFO-CODE, no text; nothing of it without EDNS."""
    with_edns = parse(query(NAME, edns=opt()))
    record = b"\0\0\x29\x04\xd0\0\0\0\0\0\x06" + b"\0\x0f\0\2\0" + bytes([ede])
    assert encode(with_edns, Response(RCode.SERVFAIL, ede=ede)).body == record
    assert encode(REQUEST, Response(RCode.SERVFAIL, ede=ede)) == encode(REQUEST, Response(RCode.SERVFAIL))


def test_an_extended_error_counts_in_what_fits():
    request = parse(query(NAME, edns=opt()))
    response = Response(answer=(RRset(NAME, Type.A, 5, tuple(bytes([10, 0, 0, n]) for n in range(9))),))
    size = len(encode(request, response).wire(request))
    for limit, ede, cut in ((size, None, False), (size, Ede.STALE_ANSWER, True), (size + 6, Ede.STALE_ANSWER, False)):
        encoded = encode(request, replace(response, ede=ede), limit)
        assert len(encoded.wire(request)) <= limit
        assert bool(encoded.head[0] & 2) is cut


def test_a_turning_reply_with_an_extended_error_is_cut_by_the_encoder():
    """The memo cuts only what ends with an OPT record without options."""
    request = parse(query(NAME, edns=opt()))
    rrset = RRset(NAME, Type.A, 5, tuple(bytes([10, 0, n >> 8, n & 255]) for n in range(100)))
    for ede in (None, Ede.STALE_ANSWER):
        encoded = encode(request, Response(answer=(rrset,), rotate=True, ede=ede))
        entry = Entry(encoded.head, encoded.body, 0, True, b"", 0, [], None, encoded.runs)
        assert (entry.cut(len(request.question), 700) is None) is (ede is not None)


@pytest.mark.parametrize(
    ("payload", "cap", "limit"),
    [(0, 4096, 512), (511, 4096, 512), (1232, 4096, 1232), (4096, 4096, 4096), (65535, 4096, 4096), (4096, 1232, 1232)],
)
def test_what_a_udp_client_takes(payload, cap, limit):
    request = parse(query(NAME, edns=opt(payload))) if payload else parse(query(NAME))
    assert udp_limit(request, cap) == limit


@pytest.mark.parametrize("rcode", [RCode.FORMERR, RCode.NOTIMP, RCode.REFUSED, RCode.BADVERS])
@pytest.mark.parametrize("echoed", [True, False])
def test_refusals(rcode, echoed):
    packet = query(NAME, flags=0x2930, edns=opt(options=[(Option.PADDING, bytes(9))]))
    wire = refuse(packet, rcode, 12 + len(question(NAME)) if echoed else 0)
    # QR, the opcode and RD as they came
    assert (int.from_bytes(wire[:2], "big"), int.from_bytes(wire[2:4], "big") & 0xFFF0) == (ID, 0xA900)
    assert wire[4:6] == bytes([0, echoed])
    assert wire[12:].startswith(question(NAME)) is echoed
    records = walked(wire)
    extended = records[0].ttl >> 24 if records else 0
    assert extended << 4 | wire[3] & 15 == rcode
