"""Resource records as values, grouped into RRsets (RFC 2181 section 5), and the two kinds of reply."""

from enum import IntEnum

import msgspec

from clusterdns.wire.codes import RCode, Type


class Names(msgspec.Struct, frozen=True, gc=False):
    """RDATA that holds domain names: `head` octets, then the names, then `tail` octets.

    `compress` is false for types whose names must be written in full (SRV: RFC 2782; RFC 3597 section 4).
    """

    head: bytes
    names: tuple[bytes, ...]
    tail: bytes = b""
    compress: bool = True


Rdata = bytes | Names


class RRset(msgspec.Struct, frozen=True, gc=False):
    """Records of one owner, type and TTL (seconds). `owner` is a name in lower case."""

    owner: bytes
    rtype: int
    ttl: int
    rdatas: tuple[Rdata, ...]
    rclass: int = 1


Section = tuple[RRset, ...]


class Ede(IntEnum):
    """Why a reply is what it is (RFC 8914 section 4)."""

    STALE_ANSWER = 3
    NOT_READY = 14


class Response(msgspec.Struct, frozen=True, gc=False):
    """What a plugin decided; the encoder turns it into bytes.

    `rotate`: the address RRsets of the answer take turns in who comes first (loadbalance). `cut`: records are missing.
    `ad`: an upstream vouches for it (RFC 4035 3.2.3). `ede`: told to clients that sent EDNS.
    """

    rcode: int = RCode.NOERROR
    answer: Section = ()
    authority: Section = ()
    additional: Section = ()
    aa: bool = False
    ra: bool = False
    rotate: bool = False
    cut: bool = False
    ad: bool = False
    ede: Ede | None = None


class Relay(msgspec.Struct, frozen=True, gc=False):
    """An upstream's reply to the very question that was asked, as received and surveyed (`wire.survey`).

    The encoder passes the bytes on with only id, spelling and OPT changed, unless they must be cut or rotated.
    `opt_at`/`opt_end` delimit its OPT record, both 0 without one.
    """

    wire: bytes
    rcode: int
    opt_at: int = 0
    opt_end: int = 0
    rotate: bool = False


Reply = Response | Relay


def addresses(owner: bytes, packed: tuple[bytes, ...], ttl: int) -> Section:
    """Packed addresses of one or both families -> their A and AAAA RRsets, empty ones left out."""
    v4 = tuple(address for address in packed if len(address) == 4)
    v6 = tuple(address for address in packed if len(address) == 16)
    section: Section = (RRset(owner, Type.A, ttl, v4),) if v4 else ()
    return (*section, RRset(owner, Type.AAAA, ttl, v6)) if v6 else section


def name_rrset(owner: bytes, rtype: int, ttl: int, targets: tuple[bytes, ...]) -> RRset:
    """CNAME, NS or PTR."""
    return RRset(owner, rtype, ttl, tuple(Names(b"", (target,)) for target in targets))


def srv(priority: int, weight: int, port: int, target: bytes) -> Names:
    """RFC 2782."""
    head = priority.to_bytes(2, "big") + weight.to_bytes(2, "big") + port.to_bytes(2, "big")
    return Names(head, (target,), b"", False)


def txt(text: bytes) -> bytes:
    """One character-string of at most 255 octets (RFC 1035 3.3.14)."""
    return bytes((len(text),)) + text


def soa(mname: bytes, rname: bytes, serial: int, timers: tuple[int, int, int, int]) -> Names:
    """`timers`: refresh, retry, expire, minimum in seconds (RFC 1035 3.3.13, RFC 2308 section 4)."""
    tail = b"".join(value.to_bytes(4, "big") for value in (serial, *timers))
    return Names(b"", (mname, rname), tail)
