"""The one encoder: decided replies to bytes. It alone knows compression, EDNS, size limits and TC."""

from struct import Struct

import msgspec

from clusterdns.wire.codes import Option, Type
from clusterdns.wire.query import AA, AD, CD, HEADER_SIZE, QR, RA, RD, TC, Request
from clusterdns.wire.records import Ede, Names, Rdata, Relay, Reply, Response, RRset, Section
from clusterdns.wire.survey import unpack

# RFC 1035 4.2.1, and RFC 6891 6.2.3: a smaller advertised payload means this one.
MIN_PAYLOAD = 512
# What our own OPT offers to receive: a datagram this large fits one IPv6 packet of 1,280 octets on any path.
OUR_PAYLOAD = 1232
# RFC 1035 4.2.2: the length prefix of TCP
MAX_MESSAGE = 65535
# RFC 1035 4.1.4: a compression pointer has 14 bits
_POINTER_REACH = 0x4000
# Octets of a relayed reply that are looked at when it must be cut: what compresses well may still fit, and a reply of
# 64 KiB full of small records would hold the loop for 60 ms.
_TAKEN_APART = 8192
_OPCODE_RD_CD = 0x7800 | RD | CD

# The types `loadbalance` rotates. Only those of fixed size can be rotated in an encoded reply.
_ROTATED = frozenset({Type.A, Type.AAAA, Type.MX})
_SLICED = frozenset({Type.A, Type.AAAA})

_HEADER = Struct("!HHHHHH")
_HEAD = Struct("!HHHHH")
_RECORD = Struct("!HHIH")
_OPT = Struct("!BHHIH")
# RFC 8914 section 2: code and length of the option, and the INFO-CODE
_EDE = Struct("!HHH")


class Run(msgspec.Struct, frozen=True, gc=False):
    """`count` records of `size` octets each, from offset `start` of the body, that may take turns."""

    start: int
    size: int
    count: int


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A message without what every client has its own of: id and question. `head`: flags and counts; `body`: what
    follows the question; `runs`: where in the body records may be rotated."""

    head: bytes
    body: bytes
    runs: tuple[Run, ...] = ()

    def wire(self, request: Request) -> bytes:
        """The message for this client."""
        return request.id.to_bytes(2, "big") + self.head + request.question + self.body


def udp_limit(request: Request, cap: int) -> int:
    """Octets a UDP reply may have: what the client takes, at least 512, and never more than `cap`."""
    return min(max(request.payload, MIN_PAYLOAD), cap)


class Encoder:
    """`encode`, with the negative replies remembered: what stands behind their question depends on where the zone
    begins in it and on nothing else, and they are what a search path asks for most."""

    # Zones, times lengths of names, times flags; and a new serial makes all of them anew.
    LIMIT = 4096

    def __init__(self) -> None:
        self._negative: dict[tuple[Response, int, int, bool, bool, bool], Encoded] = {}

    def __call__(
        self, request: Request, reply: Reply, limit: int = MAX_MESSAGE, turn: int = 0, recursive: bool = False
    ) -> Encoded:
        """As `encode`."""
        if isinstance(reply, Relay) or reply.answer or reply.additional or len(reply.authority) != 1:
            return encode(request, reply, limit, turn, recursive)
        query, zone = request.query, reply.authority[0].owner
        at = len(query.name) - len(zone)
        if at not in query.starts or not query.name.endswith(zone):
            return encode(request, reply, limit, turn, recursive)
        key = (reply, at, request.flags & _OPCODE_RD_CD, recursive, query.edns, query.do)
        known = self._negative.get(key)
        if known is None:
            if len(self._negative) >= self.LIMIT:
                self._negative.clear()
            known = self._negative[key] = encode(request, reply, MAX_MESSAGE, turn, recursive)
        if len(request.question) + len(known.body) + HEADER_SIZE > limit:
            return encode(request, reply, limit, turn, recursive)
        return known


def encode(request: Request, reply: Reply, limit: int = MAX_MESSAGE, turn: int = 0, recursive: bool = False) -> Encoded:
    """`reply` to `request` as a message of at most `limit` octets.

    Whole records are left out from the end until it fits; TC is set when one of them was not merely additional
    (RFC 2181 section 9). `turn` rotates the address records of a reply that asks for it. `recursive` sets RA.
    """
    if isinstance(reply, Relay):
        relayed = None if reply.rotate else _relay(request, reply)
        if relayed is not None and len(request.question) + len(relayed.body) + HEADER_SIZE <= limit:
            return relayed
        reply = unpack(reply, max(limit, _TAKEN_APART))
    opt = _opt(request, reply.rcode, reply.ede)
    writer = _Writer(request, reply, limit - len(opt))
    turn = turn if reply.rotate else 0
    answers = writer.section(reply.answer, turn)
    runs = tuple(writer.runs) if reply.rotate else ()
    authorities = writer.section(reply.authority)
    additionals = writer.section(reply.additional)
    missing = reply.cut or answers < _count(reply.answer) or authorities < _count(reply.authority)
    flags = QR | request.flags & _OPCODE_RD_CD | reply.rcode & 0xF | (TC if missing else 0)
    flags |= (AA if reply.aa else 0) | (RA if reply.ra or recursive else 0) | (AD if reply.ad else 0)
    head = _HEAD.pack(flags, 1, answers, authorities, additionals + bool(opt))
    body = bytes(writer.out[HEADER_SIZE + len(request.question) :]) + opt
    return Encoded(head, body, runs)


def refuse(packet: bytes, rcode: int, question_end: int = 0) -> bytes:
    """The reply to a packet that is no query we serve: its question echoed where it could be read."""
    flags = QR | (packet[2] << 8 | packet[3]) & (0x7800 | RD) | rcode & 0xF
    opt = _OPT.pack(0, Type.OPT, OUR_PAYLOAD, rcode >> 4 << 24, 0) if rcode > 0xF else b""
    head = _HEADER.pack(packet[0] << 8 | packet[1], flags, 1 if question_end else 0, 0, 0, 1 if opt else 0)
    return head + packet[HEADER_SIZE : question_end or HEADER_SIZE] + opt


def _count(section: Section) -> int:
    return sum([len(rrset.rdatas) for rrset in section])


def _relay(request: Request, relay: Relay) -> Encoded | None:
    """The upstream's octets with our id, the client's spelling and our OPT; None when its OPT is in the way."""
    wire = relay.wire
    if relay.opt_at and relay.opt_end != len(wire):
        return None
    _, flags, _, answers, authorities, additionals = _HEADER.unpack_from(wire)
    flags = flags & ~(0x7800 | RD | CD | 0xF) | request.flags & _OPCODE_RD_CD | relay.rcode & 0xF
    body = wire[HEADER_SIZE + len(request.question) : relay.opt_at or len(wire)]
    opt = _opt(request, relay.rcode)
    additionals += bool(opt) - bool(relay.opt_at)
    return Encoded(_HEAD.pack(flags, 1, answers, authorities, additionals), body + opt)


def _opt(request: Request, rcode: int, ede: Ede | None = None) -> bytes:
    """RFC 6891 6.1.1: a reply carries OPT exactly when the query did."""
    if not request.query.edns:
        return b""
    data = b"" if ede is None else _EDE.pack(Option.EDE, 2, ede)
    return _OPT.pack(0, Type.OPT, OUR_PAYLOAD, rcode >> 4 << 24 | request.query.do << 15, len(data)) + data


def _rotated(rrset: RRset, turn: int) -> tuple[Rdata, ...]:
    if rrset.rtype not in _ROTATED:
        return rrset.rdatas
    first = turn % len(rrset.rdatas)
    return rrset.rdatas[first:] + rrset.rdatas[:first]


class _Writer:
    """One message being written: octets, where each name suffix was written first, and what may be rotated.

    `room`: octets that it may have but for OPT. `full`: a record did not fit; none is written after it.
    """

    __slots__ = ("_full", "_reach", "_room", "_seen", "out", "query", "runs")

    def __init__(self, request: Request, reply: Response, room: int) -> None:
        self.query = request.query
        self.out = bytearray(HEADER_SIZE)
        self.out += request.question
        self.runs: list[Run] = []
        self._room = room
        self._full = False
        self._seen: dict[bytes, int] = {}
        # The names of a negative reply point at the zone in the question, never left of it: see `Encoder`
        negative = not reply.answer and not reply.additional and len(reply.authority) == 1
        self._reach = len(self.query.name) - len(reply.authority[0].owner) if negative else 0

    def section(self, section: Section, turn: int = 0) -> int:
        """Write the records that fit; returns how many."""
        count = 0
        for rrset in section:
            rdatas = _rotated(rrset, turn) if turn else rrset.rdatas
            if rrset.rtype in _SLICED:
                count += self._addresses(rrset, rdatas)
            else:
                count += sum([self._record(rrset, rdata) for rdata in rdatas])
        return count

    def _addresses(self, rrset: RRset, rdatas: tuple[Rdata, ...]) -> int:
        """Address records differ in their last octets only: the first shows what stands before them, one join writes
        the others."""
        out, at = self.out, len(self.out)
        if not self._record(rrset, rdatas[0]):
            return 0
        data = len(rdatas[0])  # type: ignore[arg-type]
        head = bytes(out[at:-data])
        # 2 octets of pointer, type, class, TTL, length
        if len(head) != 12:
            return 1 + sum([self._record(rrset, rdata) for rdata in rdatas[1:]])
        more = rdatas[1 : 1 + (self._room - len(out)) // (12 + data)]
        self._full = 1 + len(more) < len(rdatas)
        if more:
            out += head + head.join(more)  # type: ignore[arg-type]
            start = at - HEADER_SIZE - len(self.query.name) - 4
            self.runs.append(Run(start, 12 + data, 1 + len(more)))
        return 1 + len(more)

    def _record(self, rrset: RRset, rdata: Rdata) -> bool:
        """Write a record if it fits."""
        out, before = self.out, len(self.out)
        if self._full:
            return False
        self._name(rrset.owner)
        if isinstance(rdata, Names):
            out += _RECORD.pack(rrset.rtype, rrset.rclass, rrset.ttl, 0)
            at = len(out)
            out += rdata.head
            for name in rdata.names:
                self._name(name, rdata.compress)
            out += rdata.tail
            out[at - 2 : at] = (len(out) - at).to_bytes(2, "big")
        else:
            out += _RECORD.pack(rrset.rtype, rrset.rclass, rrset.ttl, len(rdata)) + rdata
        if len(out) > self._room:
            del out[before:]
            self._full = True
        return not self._full

    def _name(self, name: bytes, compress: bool = True) -> None:
        """Write a name, its longest suffix that stands in the message already as a pointer (RFC 1035 4.1.4)."""
        out, seen = self.out, self._seen
        if compress and not self._reach and name == self.query.name and len(name) > 1:
            out += b"\xc0\x0c"
            return
        at = 0
        while length := name[at]:
            suffix = name[at:]
            pointer = seen.get(suffix, 0) or self._in_question(suffix)
            if pointer and compress:
                out += (0xC000 | pointer).to_bytes(2, "big")
                return
            if not pointer and len(out) < _POINTER_REACH:
                seen[suffix] = len(out)
            out += name[at : at + 1 + length]
            at += 1 + length
        out.append(0)

    def _in_question(self, suffix: bytes) -> int:
        """Offset of a suffix of the question's name, 0 when it is none."""
        query = self.query
        if query.name.endswith(suffix):
            edge = len(query.name) - len(suffix)
            if edge >= self._reach and edge in query.starts:
                return HEADER_SIZE + edge
        return 0
