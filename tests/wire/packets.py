"""Packets put together by hand, octet by octet, so that wrong ones can be made too."""

import struct
from collections.abc import Sequence

from clusterdns.wire.codes import Option, Type

ID = 0x1234
RD, AD, CD = 0x0100, 0x0020, 0x0010
COOKIE = (Option.COOKIE, bytes(range(8)))
PADDING = (Option.PADDING, bytes(300))


def header(flags: int = RD, questions: int = 1, answers: int = 0, authorities: int = 0, additionals: int = 0) -> bytes:
    return struct.pack("!HHHHHH", ID, flags, questions, answers, authorities, additionals)


def question(name: bytes, qtype: int = Type.A, qclass: int = 1) -> bytes:
    return name + struct.pack("!HH", qtype, qclass)


def record(owner: bytes, rtype: int, rdata: bytes, ttl: int = 5, rclass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def opt(
    payload: int = 1232,
    do: bool = False,
    options: Sequence[tuple[int, bytes]] = (),
    version: int = 0,
    owner: bytes = b"\0",
) -> bytes:
    data = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in options)
    return record(owner, Type.OPT, data, version << 16 | do << 15, payload)


def query(name: bytes, qtype: int = Type.A, qclass: int = 1, flags: int = RD, edns: bytes = b"") -> bytes:
    """`edns`: what `opt` makes, or nothing."""
    return header(flags, additionals=1 if edns else 0) + question(name, qtype, qclass) + edns


def reply(asked: bytes, *records: bytes, flags: int = 0x8180, counts: tuple[int, int, int] | None = None) -> bytes:
    """`asked`: question section. All records are answers unless `counts` says otherwise."""
    return header(flags, 1, *(counts or (len(records), 0, 0))) + asked + b"".join(records)


def spelled(packet: bytes, upper: int) -> bytes:
    """The packet with the letters of its question's name in upper case where a bit of `upper` is set, as stubs do
    that randomise the case."""
    end = packet.index(0, 12)
    name = bytes(
        octet - 32 if 97 <= octet <= 122 and upper >> at & 1 else octet for at, octet in enumerate(packet[12:end])
    )
    return packet[:12] + name + packet[end:]
