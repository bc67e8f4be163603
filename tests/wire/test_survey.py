"""Upstream replies: what is taken, passed on and taken apart."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from clusterdns.errors import UpstreamError
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.encode import OUR_PAYLOAD, encode
from clusterdns.wire.names import from_text
from clusterdns.wire.query import Request, parse
from clusterdns.wire.records import Names, Relay, Response, RRset, name_rrset
from clusterdns.wire.survey import survey, unpack
from tests.wire.packets import AD, CD, COOKIE, RD, header, opt, query, question, record, reply, spelled
from tests.wire.walk import Record, walked

NAME = from_text("www.example.net")
ASKED = question(NAME)
HERE = b"\xc0\x0c"
A = record(HERE, Type.A, b"\x0a\0\0\1")


def upstream(edns: bool = True, count: int = 2) -> bytes:
    """What another server's software makes of it."""
    message = dns.message.make_response(dns.message.make_query("www.example.net.", "A", use_edns=0 if edns else None))
    message.flags |= dns.flags.RA
    message.answer = [
        dns.rrset.from_text("www.example.net.", 300, "IN", "CNAME", "a.example.net."),
        dns.rrset.from_text("a.example.net.", 60, "IN", "A", *[f"198.51.100.{n}" for n in range(1, count + 1)]),
    ]
    message.authority = [dns.rrset.from_text("example.net.", 60, "IN", "NS", "ns.example.net.")]
    message.additional = [dns.rrset.from_text("ns.example.net.", 60, "IN", "A", "198.51.100.99")]
    if edns:
        message.use_edns(0, 0, 4096, options=[dns.edns.NSIDOption(b"theirs")])
    return message.to_wire(want_shuffle=False)


@pytest.mark.parametrize("theirs", [True, False], ids=["with opt", "without opt"])
@pytest.mark.parametrize("edns", [b"", opt(do=False), opt(4096, True, [COOKIE])], ids=["plain", "edns", "do"])
@pytest.mark.parametrize("flags", [RD, 0, RD | CD | AD])
def test_a_reply_is_passed_on_with_id_spelling_and_opt_replaced(theirs, edns, flags):
    packet = spelled(query(NAME, flags=flags, edns=edns), 0b1011_0101)
    request, wire = parse(packet), upstream(theirs)
    relay = survey(wire, ASKED)
    assert isinstance(relay, Relay)
    sent = encode(request, relay, recursive=True).wire(request)
    assert sent[:2] == packet[:2]
    assert sent[12 : 12 + len(ASKED)] == packet[12 : 12 + len(ASKED)]
    was, now = dns.message.from_wire(wire), dns.message.from_wire(sent)
    assert (now.answer, now.authority, now.additional) == (was.answer, was.authority, was.additional)
    assert now.flags & (RD | CD) == flags & (RD | CD)
    assert now.flags & (dns.flags.QR | dns.flags.RA) == dns.flags.QR | dns.flags.RA
    assert (now.edns, now.options) == (0 if edns else -1, ())
    if edns:
        assert (now.payload, bool(now.ednsflags & dns.flags.DO)) == (OUR_PAYLOAD, request.query.do)
    assert walked(sent)


def test_octets_are_passed_on_as_they_are():
    """What is not understood is not harmed: an unknown type, a class, a compressed name within its data."""
    odd = record(HERE, 65400, b"\xc0\x0c\xff", rclass=4) + record(HERE, Type.RRSIG, bytes(30))
    request = parse(query(NAME))
    assert encode(request, survey(reply(ASKED, odd, counts=(2, 0, 0)), ASKED)).body == odd


def test_what_follows_the_last_record_is_left_out():
    request = parse(query(NAME))
    assert encode(request, survey(reply(ASKED, A) + b"junk", ASKED)).body == A


def test_an_extended_rcode_is_passed_on():
    wire = reply(ASKED, opt()[:5] + b"\1" + opt()[6:], flags=0x8187, counts=(0, 0, 1))
    assert survey(wire, ASKED).rcode == 0x17
    request = parse(query(NAME, edns=opt()))
    assert dns.message.from_wire(encode(request, survey(wire, ASKED)).wire(request)).rcode() == 0x17


@pytest.mark.parametrize("limit", [512, 600, 1232])
def test_a_reply_too_large_for_the_client_is_cut_at_a_record(limit):
    request = parse(query(NAME, edns=opt()))
    sent = encode(request, survey(upstream(count=100), ASKED), limit).wire(request)
    message = dns.message.from_wire(sent)
    assert limit - 16 < len(sent) <= limit
    assert message.flags & dns.flags.TC
    assert 0 < len(message.answer[1]) < 100


def test_a_reply_whose_opt_is_in_the_way_is_put_together_anew():
    records = (A, opt(), record(from_text("x"), Type.A, bytes(4)))
    request = parse(query(NAME, edns=opt()))
    sent = encode(request, survey(reply(ASKED, *records, counts=(1, 0, 2)), ASKED)).wire(request)
    assert [record.rtype for record in walked(sent)] == [Type.A, Type.A, Type.OPT]


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "no reply"),
        (header(0x8180)[:11], "no reply"),
        (query(NAME), "no reply"),
        (reply(question(NAME, Type.AAAA), A), "no reply to the question"),
        (reply(question(NAME, Type.A, 3), A), "no reply to the question"),
        (reply(question(from_text("www.example.com")), A), "no reply to the question"),
        (header(0x8180, 0), "no reply to the question"),
        (header(0x8180, 2) + ASKED * 2, "no reply to the question"),
        (header(0x8180) + ASKED[:-1], "no reply to the question"),
        (reply(ASKED, counts=(1, 0, 0)), "breaks off"),
        (reply(ASKED, A[:-1]), "breaks off"),
        (reply(ASKED, A[:8]), "breaks off"),
        (reply(ASKED, A, counts=(2, 0, 0)), "breaks off"),
        (reply(ASKED, record(b"\x40a\0", Type.A, bytes(4))), "breaks off"),
        (reply(ASKED, record(b"\1a" * 200 + b"\0", Type.A, bytes(4))), "breaks off"),
    ],
)
def test_what_is_no_answer(wire, why):
    with pytest.raises(UpstreamError, match=why):
        survey(wire, ASKED)


def test_letters_of_the_question_are_folded_in_the_name_only():
    assert survey(spelled(reply(ASKED, A), 0xFFFF), ASKED).rcode == 0
    with pytest.raises(UpstreamError, match="no reply to the question"):
        survey(reply(question(NAME, 0x4101), A), question(NAME, 0x6101))


@pytest.mark.parametrize(
    "broken",
    [
        # Forwards, at itself, into nothing
        record(HERE, Type.CNAME, b"\xc0\xff"),
        record(HERE, Type.CNAME, b"\xc0" + bytes([12 + len(ASKED) + 12])),
        record(HERE, Type.CNAME, b"\xff\xff"),
        # Names that break off, go on, or end before their record does
        record(HERE, Type.CNAME, b"\3ab"),
        record(HERE, Type.CNAME, b"\0\0"),
        record(HERE, Type.MX, b"\0"),
        record(HERE, Type.SRV, bytes(6)),
        record(HERE, Type.SOA, bytes(21)),
        record(HERE, Type.SOA, bytes(23)),
        record(HERE, Type.CNAME, b"\1a" * 128 + b"\0"),
    ],
)
def test_broken_names_are_found_when_a_reply_is_taken_apart(broken):
    relay = survey(reply(ASKED, broken), ASKED)
    with pytest.raises(UpstreamError, match="broken"):
        unpack(relay)


def test_taking_a_reply_apart():
    relay = survey(upstream(), ASKED)
    target = from_text("a.example.net")
    assert unpack(relay) == Response(
        RCode.NOERROR,
        (
            name_rrset(NAME, Type.CNAME, 300, (target,)),
            RRset(target, Type.A, 60, (bytes([198, 51, 100, 1]), bytes([198, 51, 100, 2]))),
        ),
        (name_rrset(from_text("example.net"), Type.NS, 60, (from_text("ns.example.net"),)),),
        (RRset(from_text("ns.example.net"), Type.A, 60, (bytes([198, 51, 100, 99]),)),),
        ra=True,
    )


def test_records_of_one_set_are_grouped_once_each_under_their_lowest_ttl():
    """RFC 2181 5.2 and 5: the same record twice is one record."""
    records = [
        record(owner, Type.A, bytes([10, 0, 0, n]), ttl)
        for owner, n, ttl in ((HERE, 1, 60), (NAME, 2, 5), (HERE, 1, 9))
    ]
    (rrset,) = unpack(survey(reply(ASKED, *records), ASKED)).answer
    assert (rrset.ttl, rrset.rdatas) == (5, (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])))


def test_a_compressed_srv_target_is_written_in_full():
    wire = reply(ASKED, record(HERE, Type.SRV, b"\0\0\0\1\0\x50" + HERE))
    (rrset,) = unpack(survey(wire, ASKED)).answer
    assert rrset.rdatas == (Names(b"\0\0\0\1\0\x50", (NAME,), b"", False),)


def passed_on(request: Request, wire: bytes, rotate: bool) -> list[Record] | None:
    """What the client gets; None if the reply is refused."""
    try:
        relay = survey(wire, request.query.name + request.question[-4:])
        sent = encode(request, Relay(relay.wire, relay.rcode, relay.opt_at, relay.opt_end, rotate)).wire(request)
    except UpstreamError:
        return None
    return walked(sent)


# Answers, authorities and additionals; RFC 6891 6.1.1 wants one OPT record at most, among the additionals
MISPLACED_OPT = [
    ((A, opt()), (2, 0, 0)),
    ((A, opt()), (1, 1, 0)),
    ((opt(), A), (2, 0, 0)),
    ((A, opt(), opt()), (1, 0, 2)),
]


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "edns"])
@pytest.mark.parametrize(("records", "counts"), MISPLACED_OPT)
def test_opt_records_where_none_should_be(records, counts, edns, rotate):
    """Such a reply is refused, or put right; it must neither raise anything else nor be passed on."""
    found = passed_on(parse(query(NAME, edns=edns)), reply(ASKED, *records, counts=counts), rotate)
    assert found is None or [record.rtype for record in found] == [Type.A] + [Type.OPT] * bool(edns)


@pytest.mark.parametrize("rtype", [Type.A, Type.AAAA])
@pytest.mark.parametrize("sizes", [(0, 0), (3, 3), (4, 5), (5, 4), (4, 0), (0, 4), (16, 17), (16, 4)])
@pytest.mark.parametrize("owner", [HERE, from_text("other.example.net")], ids=["pointer", "in full"])
def test_addresses_of_wrong_sizes_do_not_garble_what_follows(rtype, sizes, owner):
    """A reply that is taken apart, because it is turned or cut, is refused or stays as it is."""
    rdatas = [bytes([at]) * size for at, size in enumerate(sizes)]
    wire = reply(ASKED, *[record(owner, rtype, rdata) for rdata in rdatas])
    found = passed_on(parse(query(NAME)), wire, True)
    assert found is None or {record.rdata for record in found} == set(rdatas)


@pytest.mark.parametrize("labels", [60, 100, 126, 127])
def test_names_of_any_number_of_labels_are_read_through_pointers(labels):
    """127 labels are the most a name can have; each may be reached by a pointer of its own (RFC 1035 4.1.4)."""
    name = b"\1a" * labels + b"\0"
    wire = reply(question(name), record(HERE, Type.CNAME, HERE))
    assert unpack(survey(wire, question(name))).answer == (name_rrset(name, Type.CNAME, 5, (name,)),)


@pytest.mark.parametrize("bit", [dns.flags.TC, dns.flags.AD])
def test_turning_a_reply_does_not_take_bits_off_it(bit):
    """Incomplete stays incomplete, validated stays validated."""
    request = parse(query(NAME, flags=RD | AD))
    relay = survey(reply(ASKED, A, record(HERE, Type.A, b"\x0a\0\0\2"), flags=0x8180 | bit), ASKED)
    for rotate in (False, True):
        sent = encode(request, Relay(relay.wire, relay.rcode, rotate=rotate)).wire(request)
        assert dns.message.from_wire(sent, ignore_trailing=False).flags & bit


def test_what_fits_once_its_names_are_compressed_is_not_marked_as_cut():
    """RFC 2181 section 9: TC says that something is missing."""
    records = [record(NAME, Type.A, bytes([10, 0, 0, n])) for n in range(16)]
    wire = reply(ASKED, *records)
    request = parse(query(NAME))
    sent = encode(request, survey(wire, ASKED), 512).wire(request)
    assert len(wire) > 512 >= len(sent)
    assert (len(walked(sent)), bool(sent[2] & 2)) == (16, False)
