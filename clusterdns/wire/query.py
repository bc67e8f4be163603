"""A client's packet -> `Query`. Rejects early, flat, in the order of the header (RFC 1035 4.1)."""

from enum import Enum, auto
from struct import Struct

import msgspec

from clusterdns.errors import QueryError
from clusterdns.wire.codes import Opcode, Option, RCode, Type
from clusterdns.wire.names import MAX_LABEL, MAX_NAME, skip
from clusterdns.wire.names import starts as starts_of

HEADER_SIZE = 12

# Header bits, as in the 16-bit flags field (RFC 1035 4.1.1, RFC 4035 3.2)
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
# RFC 3225: in the upper half of the OPT record's TTL
DO = 0x8000
_KEPT = RD | AD | CD

# A datagram of 64 KiB could hold 5,900 empty records; no stub sends more than a handful (TSIG, OPT, SIG(0)).
MAX_RECORDS = 32
# The same thought for the options of one OPT record.
MAX_OPTIONS = 32

_HEADER = Struct("!HHHHHH")
_RECORD = Struct("!HHIH")
_PAIR = Struct("!HH")


# Payload size, DO and options of an OPT record
Opt = tuple[int, bool, tuple[tuple[int, bytes], ...]]


class Triage(Enum):
    """What the twelve header octets alone decide."""

    ACCEPT = auto()
    DROP = auto()
    FORMERR = auto()
    NOTIMP = auto()


class Query(msgspec.Struct, frozen=True, gc=False):
    """One question, as the chain sees it: exactly what the memo's key holds, so that an answer depends on no more.

    `name` is in lower case, `starts` the offsets of its labels within it (the root label last). `flags` holds the
    header bits RD, AD and CD. `edns`: the query carries an OPT record; `do`: with DNSSEC OK set.
    """

    name: bytes
    starts: tuple[int, ...]
    qtype: int
    qclass: int = 1
    flags: int = RD
    edns: bool = False
    do: bool = False


class Request(msgspec.Struct, frozen=True, gc=False):
    """A client's packet: the question, and what only this reply to it depends on.

    `question` is the question section as received (spelling kept), `flags` the whole flags field, `payload` the
    UDP payload size of its OPT record (0 without one), `options` that record's options as (code, data).
    """

    query: Query
    id: int
    flags: int
    question: bytes
    payload: int = 0
    options: tuple[tuple[int, bytes], ...] = ()


def triage(packet: bytes) -> Triage:
    """Decide by the header alone whether a packet is worth parsing, worth a refusal, or worth nothing."""
    # Too short for an id to answer to; and a reply (QR) must never be answered, or two servers could ping-pong.
    if len(packet) < HEADER_SIZE or packet[2] & 0x80:
        return Triage.DROP
    # NOTIFY is answered like a query, as CoreDNS does (RFC 1996 3.11 lets any server answer it).
    if packet[2] >> 3 & 0xF not in (Opcode.QUERY, Opcode.NOTIFY):
        return Triage.NOTIMP
    if packet[4:6] != b"\0\1":
        return Triage.FORMERR
    return Triage.ACCEPT


def parse(packet: bytes) -> Request:
    """An accepted packet -> Request.

    Trailing octets and counts that promise records which are not there are ignored; a record that begins and
    breaks off is not.  Raises QueryError with FORMERR or BADVERS.
    """
    ident, flags, _, answers, authorities, additionals = _HEADER.unpack_from(packet)
    starts, at = _scan_name(packet)
    end = at + 5
    if end > len(packet):
        raise QueryError(RCode.FORMERR, "the question breaks off")
    qtype, qclass = _PAIR.unpack_from(packet, at + 1)
    name, question = packet[HEADER_SIZE : at + 1].lower(), packet[HEADER_SIZE:end]
    count = answers + authorities + additionals
    opt = _find_opt(packet, end, answers + authorities, count) if count and end < len(packet) else None
    if opt is None:
        return Request(Query(name, starts, qtype, qclass, flags & _KEPT), ident, flags, question)
    payload, do, options = opt
    query = Query(name, starts, qtype, qclass, flags & _KEPT, True, do)
    return Request(query, ident, flags, question, payload, options)


def question_end(packet: bytes) -> int:
    """Offset behind the question of a packet that is going to be refused, 0 where it cannot be read."""
    if packet[4:6] != b"\0\1":
        return 0
    try:
        end = _scan_name(packet)[1] + 5
    except QueryError:
        return 0
    return end if end <= len(packet) else 0


def question(name: bytes, qtype: int) -> Query:
    """A question of our own, as a plugin asks it.  `name` in lower case."""
    return Query(name, tuple(starts_of(name)), qtype)


def _scan_name(packet: bytes) -> tuple[tuple[int, ...], int]:
    """Label offsets within the question's name, and the packet offset of its root label.

    No pointer can be right in the first name of a message, so 0xC0 is refused with the other label types.
    """
    at, limit, starts = HEADER_SIZE, min(len(packet), HEADER_SIZE + MAX_NAME), []
    while at < limit:
        length = packet[at]
        starts.append(at - HEADER_SIZE)
        if not length:
            return tuple(starts), at
        if length > MAX_LABEL:
            break
        at += 1 + length
    raise QueryError(RCode.FORMERR, "the question's name is malformed")


def _find_opt(packet: bytes, end: int, before: int, count: int) -> Opt | None:
    """Walk the records behind the question; the only one that matters is OPT in the additional section, which begins
    after `before` records."""
    opt: Opt | None = None
    at = end
    for index in range(min(count, MAX_RECORDS)):
        if at == len(packet):
            break
        owner_end = skip(packet, at)
        data_at = owner_end + 10
        if not owner_end or data_at > len(packet):
            raise QueryError(RCode.FORMERR, "a record breaks off", end)
        rtype, payload, extended, length = _RECORD.unpack_from(packet, owner_end)
        if data_at + length > len(packet):
            raise QueryError(RCode.FORMERR, "a record's data breaks off", end)
        if rtype == Type.OPT and index >= before:
            # RFC 6891 6.1.1: one OPT at most, its owner is the root
            if opt is not None or owner_end != at + 1:
                raise QueryError(RCode.FORMERR, "two OPT records, or one whose owner is not the root", end)
            opt = _read_opt(packet[data_at : data_at + length], payload, extended, end)
        at = data_at + length
    return opt


def _read_opt(data: bytes, payload: int, extended: int, end: int) -> Opt:
    """RFC 6891 6.1.2 and 6.1.3."""
    if extended >> 16 & 0xFF:
        raise QueryError(RCode.BADVERS, "EDNS version above 0", end)
    options: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data) and len(options) < MAX_OPTIONS:
        if at + 4 > len(data):
            raise QueryError(RCode.FORMERR, "an EDNS option breaks off", end)
        code, length = _PAIR.unpack_from(data, at)
        value = data[at + 4 : at + 4 + length]
        # RFC 7828 3.1: a keepalive option carries a timeout or nothing
        if len(value) != length or (code == Option.TCP_KEEPALIVE and length not in (0, 2)):
            raise QueryError(RCode.FORMERR, "an EDNS option is malformed", end)
        options.append((code, value))
        at += 4 + length
    return payload, bool(extended & DO), tuple(options)
