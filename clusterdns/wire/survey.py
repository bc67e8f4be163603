"""An upstream's reply: checked and measured without building values (`survey`), or parsed (`unpack`)."""

from struct import Struct

from clusterdns.errors import UpstreamError
from clusterdns.wire.codes import Type
from clusterdns.wire.names import MAX_LABEL, MAX_NAME, skip
from clusterdns.wire.query import AA, HEADER_SIZE, RA, TC
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
_MAX_STEPS = 128

# The TC bit in the third octet of a message
TRUNCATED = TC >> 8

_COUNTS = Struct("!HHHH")
_RECORD = Struct("!HHIH")


def survey(wire: bytes, question: bytes) -> Relay:
    """Check that a message is a well-formed reply to `question` (name in lower case, type, class); find its OPT record.

    Raises UpstreamError for anything broken: such a reply is no answer.
    """
    if len(wire) < HEADER_SIZE or not wire[2] & 0x80:
        raise UpstreamError("the message is no reply")
    questions, answers, authorities, additionals = _COUNTS.unpack_from(wire, 4)
    at = HEADER_SIZE + len(question)
    # Only the name is folded: as a letter, type 65 would be type 97
    if questions != 1 or wire[HEADER_SIZE : at - 4].lower() + wire[at - 4 : at] != question:
        raise UpstreamError("the reply is to another question")
    opt_at = opt_end = extended = 0
    for _ in range(answers + authorities + additionals):
        start, at = at, skip(wire, at)
        if not at or at + 10 > len(wire):
            raise UpstreamError("the reply breaks off")
        rtype, _, ttl, length = _RECORD.unpack_from(wire, at)
        at += 10 + length
        if at > len(wire):
            raise UpstreamError("the reply breaks off")
        if rtype == Type.OPT:
            opt_at, opt_end, extended = start, at, ttl >> 24
    return Relay(wire[:at], extended << 4 | wire[3] & 0xF, opt_at, opt_end)


def unpack(relay: Relay) -> Response:
    """A surveyed reply -> values, without its OPT record.  Raises UpstreamError for broken names."""
    wire = relay.wire
    _, answers, authorities, additionals = _COUNTS.unpack_from(wire, 4)
    flags = wire[2] << 8 | wire[3]
    _, at = _read_name(wire, HEADER_SIZE)
    at += 4
    answer, at = _read_section(wire, at, answers)
    authority, at = _read_section(wire, at, authorities)
    additional, at = _read_section(wire, at, additionals)
    aa, ra = bool(flags & AA), bool(flags & RA)
    return Response(relay.rcode, answer, authority, additional, aa, ra, relay.rotate)


def _read_section(wire: bytes, at: int, count: int) -> tuple[Section, int]:
    """Records -> RRsets in order of first appearance; the lowest TTL of a set counts (RFC 2181 5.2)."""
    sets: dict[tuple[bytes, int, int], tuple[int, list[Rdata]]] = {}
    for _ in range(count):
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
