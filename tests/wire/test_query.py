"""A client's packet, read: tables."""

import pytest

from clusterdns.errors import QueryError
from clusterdns.wire.codes import Option, RCode, Type
from clusterdns.wire.query import MAX_OPTIONS, MAX_RECORDS, Request, Triage, parse, question_end, triage
from tests.support.rows import packet_rows
from tests.wire.packets import AD, CD, COOKIE, ID, RD, header, opt, query, question, record

NAME = b"\4svc1\6testns\3svc\7cluster\5local\0"
EDNS = opt(4096, True, [COOKIE])
END = 12 + len(question(NAME))


def outcome(packet: bytes) -> Request | QueryError:
    try:
        return parse(packet)
    except QueryError as error:
        return error


def refused(packet: bytes) -> QueryError:
    error = outcome(packet)
    assert isinstance(error, QueryError)
    return error


@pytest.mark.parametrize("opcode", range(16))
@pytest.mark.parametrize("questions", [0, 1, 2, 256, 65535])
@pytest.mark.parametrize("more", [0, 0x07FF])
def test_triage_by_the_header_alone(opcode, questions, more):
    packet = header(opcode << 11 | more, questions)
    # QUERY and NOTIFY are served; the other bits decide nothing
    served = Triage.ACCEPT if questions == 1 else Triage.FORMERR
    assert triage(packet) is (served if opcode in (0, 4) else Triage.NOTIMP)
    assert triage(packet[:2] + bytes([packet[2] | 0x80]) + packet[3:]) is Triage.DROP


@pytest.mark.parametrize("length", range(12))
def test_less_than_a_header_gets_no_reply(length):
    assert triage(query(NAME)[:length]) is Triage.DROP


def test_what_is_read_of_a_packet():
    packet = header(RD | CD | 0x0440, additionals=1) + question(NAME.upper(), Type.AAAA, 1) + EDNS
    request = parse(packet)
    assert request == Request(
        request.query, ID, RD | CD | 0x0440, question(NAME.upper(), Type.AAAA), 4096, ((10, COOKIE[1]),)
    )
    asked = request.query
    assert (asked.name, asked.qtype, asked.qclass) == (NAME, Type.AAAA, 1)
    assert (asked.flags, asked.edns, asked.do) == (RD | CD, True, True)
    assert [NAME[start:] for start in asked.starts[:2]] == [NAME, NAME[5:]]
    assert asked.starts[-1] == len(NAME) - 1


@pytest.mark.parametrize("bits", range(8))
def test_rd_ad_and_cd_belong_to_the_question(bits):
    flags = RD * (bits & 1) | AD * (bits >> 1 & 1) | CD * (bits >> 2)
    assert parse(query(NAME, flags=flags)).query.flags == flags


def test_letters_are_folded_in_the_name_only():
    """As letters, type 65 would be type 97, and class 0x4142 another class."""
    request = parse(query(b"\3SvC\0", 0x4141, 0x4142))
    assert (request.query.name, request.query.qtype, request.query.qclass) == (b"\3svc\0", 0x4141, 0x4142)


@pytest.mark.parametrize("row", packet_rows(), ids=lambda row: row.id)
def test_conformance_packets_cut_short_at_every_length(row):
    """What breaks off in the question is malformed; what breaks off behind it still has a question to echo."""
    for length in range(12, len(row.query)):
        packet = row.query[:length]
        if triage(packet) is not Triage.ACCEPT:
            continue
        found, end = outcome(packet), question_end(packet)
        if isinstance(found, QueryError):
            assert found.rcode in (RCode.FORMERR, RCode.BADVERS)
            assert found.question_end == end
        else:
            assert found.question == packet[12:end]


# All of their counts are kept
WHOLE = [row for row in packet_rows() if len(row.query) > 12 and "no record" not in row.what]


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.id)
@pytest.mark.parametrize("junk", [b"\0", b"xyz", bytes(64), b"\xff" * 300, EDNS], ids=len)
def test_junk_behind_what_was_promised_changes_nothing(row, junk):
    assert triage(row.query + junk) is triage(row.query)
    if triage(row.query) is not Triage.ACCEPT:
        return
    expected, found = outcome(row.query), outcome(row.query + junk)
    if isinstance(expected, QueryError):
        assert (found.rcode, found.question_end) == (expected.rcode, expected.question_end)
    else:
        assert found == expected


@pytest.mark.parametrize("length", range(12, END))
def test_a_question_that_breaks_off_cannot_be_echoed(length):
    packet = query(NAME)[:length]
    assert (refused(packet).rcode, refused(packet).question_end, question_end(packet)) == (RCode.FORMERR, 0, 0)


@pytest.mark.parametrize("length", range(END + 1, END + len(EDNS)))
def test_a_record_that_breaks_off_is_an_error_that_echoes_the_question(length):
    error = refused(query(NAME, edns=EDNS)[:length])
    assert (error.rcode, error.question_end) == (RCode.FORMERR, END)


def test_promised_records_that_never_begin_are_ignored():
    assert not parse(query(NAME, edns=EDNS)[:END]).query.edns
    assert parse(header(answers=65535, authorities=65535, additionals=65535) + question(NAME)).query.name == NAME


@pytest.mark.parametrize(
    "name",
    [
        # Pointers: at themselves, beyond the end, at the header, behind a label
        b"\xc0\x0c",
        b"\xff\xff",
        b"\xc0\x00",
        b"\1a\xc0\x0c",
        # The other label types (RFC 6891 section 5)
        b"\x40a\0",
        b"\x80a\0",
        b"\xbf\0",
        # 64 octets
        b"\x40" + b"a" * 64 + b"\0",
        b"\5abc",
    ],
)
def test_malformed_names(name):
    packet = header() + name + b"\0\1\0\1"
    assert (refused(packet).rcode, question_end(packet)) == (RCode.FORMERR, 0)


def test_limits_of_labels_and_names():
    long = (b"\x3f" + b"a" * 63) * 3
    assert len(parse(query(long + b"\x3d" + b"b" * 61 + b"\0")).query.name) == 255
    assert refused(query(long + b"\x3e" + b"b" * 62 + b"\0")).rcode == RCode.FORMERR
    assert len(parse(query(b"\1a" * 127 + b"\0")).query.starts) == 128
    assert refused(query(b"\1a" * 128 + b"\0")).rcode == RCode.FORMERR
    assert parse(query(b"\0")).query.starts == (0,)


def test_names_of_any_octets():
    every = b"".join(b"\x20" + bytes(range(at, at + 32)) for at in (0, 32, 64, 96)) + b"\0"
    folded = bytes(octet + 32 if 65 <= octet <= 90 else octet for octet in every)
    assert parse(query(every)).query.name == folded


@pytest.mark.parametrize(
    ("edns", "rcode"),
    [
        (opt(version=1), RCode.BADVERS),
        (opt(version=255), RCode.BADVERS),
        (opt(owner=b"\1a\0"), RCode.FORMERR),
        # A pointer is no root, even if it points at one
        (opt(owner=b"\xc0" + bytes([END - 5])), RCode.FORMERR),
        (opt(options=[(Option.TCP_KEEPALIVE, b"\0")]), RCode.FORMERR),
        (opt(options=[(Option.TCP_KEEPALIVE, b"\0\0\0")]), RCode.FORMERR),
        # An option longer than the record's data, and one that breaks off in its head
        (record(b"\0", Type.OPT, b"\0\3\0\5abcd"), RCode.FORMERR),
        (record(b"\0", Type.OPT, b"\0\3\0"), RCode.FORMERR),
    ],
)
def test_malformed_opt(edns, rcode):
    error = refused(query(NAME, edns=edns))
    assert (error.rcode, error.question_end) == (rcode, END)


def test_two_opt_records():
    packet = header(additionals=2) + question(NAME) + opt() + opt()
    assert refused(packet).rcode == RCode.FORMERR


@pytest.mark.parametrize(
    "edns", [opt(0), opt(65535), opt(options=[(65001, b"")]), opt(options=[(Option.TCP_KEEPALIVE, b"\0\1")])]
)
def test_well_formed_opt(edns):
    assert parse(query(NAME, edns=edns)).query.edns


def test_opt_counts_in_the_additional_section_only():
    packet = header(answers=1) + question(NAME) + opt()
    assert not parse(packet).query.edns
    packet = header(answers=1, authorities=1, additionals=2) + question(NAME)
    packet += record(b"\xc0\x0c", Type.A, bytes(4)) + record(b"\0", Type.NS, b"\0") + record(b"\0", 250, b"") + opt()
    assert parse(packet).query.edns


def test_what_no_stub_sends_is_not_looked_at():
    many = [(Option.PADDING, b"")] * (MAX_OPTIONS + 1)
    assert len(parse(query(NAME, edns=opt(options=many))).options) == MAX_OPTIONS
    records = record(b"\0", Type.A, b"") * MAX_RECORDS
    packet = header(additionals=MAX_RECORDS + 1) + question(NAME) + records + opt()
    assert not parse(packet).query.edns
