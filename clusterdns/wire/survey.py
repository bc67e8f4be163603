"""An upstream's reply: checked and measured without building values (`survey`), or parsed (`unpack`)."""

from struct import Struct

from clusterdns.errors import UpstreamError
from clusterdns.wire.codes import Type
from clusterdns.wire.names import MAX_LABEL, MAX_NAME, skip
from clusterdns.wire.query import AA, AD, HEADER_SIZE, RA, TC
from clusterdns.wire.records import Names, Rdata, Relay, Response, RRset, Section

# RFC 1035 3.3 and RFC 3597 section 4: the types whose names a sender may have compressed, as
# (octets before the names, number of names, octets after them). SRV is among them only on receipt (RFC 3597).
_NAMES_IN = {
    Type.NS: (0, 1, 0),
    Type.CNAME: (0, 1, 0),
    Type.PTR: (0, 1, 0),
    Type.DNAME: (0, 1, 0),
    Type.SOA: (0, 2, 20),
    Type.MX: (2, 1, 0),
    Type.SRV: (6, 1, 0),
}
# RFC 2782 and RFC 6672 2.5: these are not compressed when sent.
_UNCOMPRESSED = frozenset({Type.SRV, Type.DNAME})

# A pointer must point backwards, so a chain ends by itself; this bounds the labels and jumps of one name.
_MAX_STEPS = 256

# Types whose data has one length
_LENGTHS = {int(Type.A): 4, int(Type.AAAA): 16}

# The TC bit in the third octet of a message
TRUNCATED = TC >> 8

_COUNTS = Struct("!HHHH")
_RECORD = Struct("!HHIH")


def answers_to(wire: bytes, question: bytes) -> bool:
    """Is it a reply to `question` (name in lower case, type, class)?"""
    at = HEADER_SIZE + len(question)
    # Only the name is folded: as a letter, type 65 would be type 97
    same = wire[HEADER_SIZE : at - 4].lower() + wire[at - 4 : at] == question
    return same and len(wire) >= HEADER_SIZE and bool(wire[2] & 0x80) and wire[4:6] == b"\0\1"


def survey(wire: bytes, question: bytes) -> Relay:
    """Check that a message is a well-formed reply to `question` (name in lower case, type, class); find its OPT record.

    Raises UpstreamError for anything broken: such a reply is no answer.
    """
    if not answers_to(wire, question):
        raise UpstreamError("the message is no reply to the question")
    _, answers, authorities, additionals = _COUNTS.unpack_from(wire, 4)
    at = HEADER_SIZE + len(question)
    opt_at = opt_end = extended = 0
    for index in range(answers + authorities + additionals):
        start, at = at, skip(wire, at)
        if not at or at + 10 > len(wire):
            raise UpstreamError("the reply breaks off")
        rtype, _, ttl, length = _RECORD.unpack_from(wire, at)
        at += 10 + length
        if at > len(wire):
            raise UpstreamError("the reply breaks off")
        if _LENGTHS.get(rtype, length) != length:
            raise UpstreamError("the reply holds an address of a wrong length")
        if rtype == Type.OPT:
            # RFC 6891 6.1.1
            if opt_at or index < answers + authorities:
                raise UpstreamError("the reply holds two OPT records, or one in a wrong section")
            opt_at, opt_end, extended = start, at, ttl >> 24
    return Relay(wire[:at], extended << 4 | wire[3] & 0xF, opt_at, opt_end)


def unpack(relay: Relay, limit: int = 65535) -> Response:
    """A surveyed reply -> values, without its OPT record. Records that begin behind `limit` octets are left out.

    Raises UpstreamError for broken names.
    """
    wire = relay.wire
    _, answers, authorities, additionals = _COUNTS.unpack_from(wire, 4)
    flags = wire[2] << 8 | wire[3]
    _, at = _read_name(wire, HEADER_SIZE)
    at += 4
    answer, at = _read_section(wire, at, answers, limit)
    authority, at = _read_section(wire, at, authorities, limit)
    cut = at > limit or bool(flags & TC)
    additional, at = _read_section(wire, at, additionals, limit)
    aa, ra = bool(flags & AA), bool(flags & RA)
    ad = bool(flags & AD)
    return Response(relay.rcode, answer, authority, additional, aa, ra, relay.rotate, cut, ad)


def answer_alone(relay: Relay) -> Relay:
    """A surveyed reply without its other sections, OPT among them. One with a SOA record in its authority section
    denies something (RFC 2308 section 2) and stays as it is.

    Compressed names point backwards, so that what stands behind the answer can be cut off.
    """
    wire = relay.wire
    _, answers, authorities, _ = _COUNTS.unpack_from(wire, 4)
    at = end = skip(wire, HEADER_SIZE) + 4
    for index in range(answers + authorities):
        at = skip(wire, at)
        rtype, _, _, length = _RECORD.unpack_from(wire, at)
        at += 10 + length
        if index < answers:
            end = at
        elif rtype == Type.SOA:
            return relay
    return Relay(wire[:8] + bytes(4) + wire[HEADER_SIZE:end], relay.rcode, rotate=relay.rotate)


def _read_section(wire: bytes, at: int, count: int, limit: int) -> tuple[Section, int]:
    """Records -> RRsets in order of first appearance; the lowest TTL of a set counts (RFC 2181 5.2)."""
    sets: dict[tuple[bytes, int, int], tuple[int, list[Rdata]]] = {}
    for _ in range(count):
        if at > limit:
            break
        owner, at = _read_name(wire, at)
        rtype, rclass, ttl, length = _RECORD.unpack_from(wire, at)
        at += 10 + length
        if rtype != Type.OPT:
            known, rdatas = sets.get((owner, rtype, rclass), (ttl, []))
            rdatas.append(_read_rdata(wire, at - length, at, rtype))
            sets[owner, rtype, rclass] = min(known, ttl), rdatas
    return tuple(
        RRset(owner, rtype, ttl, tuple(dict.fromkeys(rdatas)), rclass)
        for (owner, rtype, rclass), (ttl, rdatas) in sets.items()
    ), at


def _read_rdata(wire: bytes, at: int, end: int, rtype: int) -> Rdata:
    shape = _NAMES_IN.get(rtype)  # type: ignore[call-overload]
    if shape is None:
        return wire[at:end]
    before, count, after = shape
    head, at = wire[at : at + before], at + before
    names = []
    for _ in range(count):
        name, at = _read_name(wire, at)
        names.append(name)
    if at + after != end:
        raise UpstreamError("the reply holds a broken record")
    return Names(head, tuple(names), wire[at:end], rtype not in _UNCOMPRESSED)


def _read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """A possibly compressed name -> (name in lower case, offset behind it)."""
    labels: list[bytes] = []
    end, size, lowest = 0, 1, at
    for _ in range(_MAX_STEPS):
        if at >= len(wire):
            break
        length = wire[at]
        if not length:
            return b"".join(labels).lower() + b"\0", end or at + 1
        if length >= 0xC0 and at + 1 < len(wire):
            end, at = end or at + 2, (length & 0x3F) << 8 | wire[at + 1]
            # Only ever backwards, to before where this name began
            if at >= lowest:
                break
            lowest = at
            continue
        size += 1 + length
        if length > MAX_LABEL or size > MAX_NAME:
            break
        labels.append(wire[at : at + 1 + length])
        at += 1 + length
    raise UpstreamError("the reply holds a broken name")
