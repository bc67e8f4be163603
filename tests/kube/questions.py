"""A fixed set of questions that meets every kind of name there is below the zones of a cluster."""

import ipaddress

from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_address, from_text
from tests.wire.packets import opt, query

V4 = ("10.0.0.1", "10.0.0.2", "10.0.1.1")
V6 = ("fd00::1", "fd00::2")
CLUSTER = ("10.96.0.1", "10.96.0.2", "fd00:96::1")

# Seconds, as CoreDNS shows them
_REFRESH_RETRY = b"\0\0\x1c\x20\0\0\7\x08"

_A, _AAAA, _SRV, _TXT, _NS, _SOA, _PTR = Type.A, Type.AAAA, Type.SRV, Type.TXT, Type.NS, Type.SOA, Type.PTR

_FORWARD: dict[str, tuple[Type, ...]] = {
    "": (_SOA, _NS, _A),
    "svc": (_A,),
    "pod": (_A,),
    "dns": (_A,),
    "ns.dns": (_A, _AAAA),
    "dns-version": (_TXT,),
    "a.svc": (_A,),
    "b.svc": (_SRV,),
    "none.svc": (_A,),
    "s.a.svc": (_A, _AAAA, _SRV, _TXT),
    "t.a.svc": (_A, _AAAA, _SRV),
    "s.b.svc": (_A, _SRV),
    "none.a.svc": (_A,),
    "_tcp.s.a.svc": (_A,),
    "_udp.t.a.svc": (_SRV,),
    "_http._tcp.s.a.svc": (_SRV, _A),
    "_http._tcp.t.a.svc": (_SRV,),
    "_dns._udp.s.a.svc": (_SRV,),
    "one.s.a.svc": (_A, _AAAA, _SRV),
    "10-0-0-1.s.a.svc": (_A,),
    "10-0-0-1.t.a.svc": (_A, _SRV),
    "fd00--1.s.a.svc": (_AAAA, _A),
    "pod-1.s.a.svc": (_A,),
    "x.one.s.a.svc": (_A,),
    "a.b.c.s.a.svc": (_A,),
    "a.pod": (_A,),
    "10-0-0-1.a.pod": (_A, _AAAA),
    "fd00--1.a.pod": (_AAAA,),
    "10-0-0-2.b.pod": (_A,),
    "none.a.pod": (_A,),
    "else": (_A,),
}
_PARTIAL = ("in-addr.arpa", "10.in-addr.arpa", "0.10.in-addr.arpa", "1.0.10.in-addr.arpa", "96.10.in-addr.arpa")
_PARTIAL6 = ("d.f.ip6.arpa", "0.0.d.f.ip6.arpa", "6.9.0.0.0.0.d.f.ip6.arpa", "7.9.0.0.0.0.d.f.ip6.arpa")


def questions() -> dict[str, bytes]:
    """Packets by what they ask. Every second one carries an OPT record."""
    asked = [(f"{left}.cluster.local".lstrip("."), rtype) for left, rtypes in _FORWARD.items() for rtype in rtypes]
    asked += [(name, _PTR) for name in (*_PARTIAL, *_PARTIAL6)]
    packets = {f"{name} {rtype.name}": (from_text(name), rtype) for name, rtype in asked}
    packets |= {f"{address} PTR": (_reverse(address), _PTR) for address in (*V4, *V6, *CLUSTER)}
    packets["10.0.0.1 A"] = _reverse("10.0.0.1"), _A
    return {
        what: query(*question, edns=opt(4096) if at % 2 else b"") for at, (what, question) in enumerate(packets.items())
    }


def _reverse(text: str) -> bytes:
    return from_address(ipaddress.ip_address(text).packed)


def without_serial(reply: bytes) -> bytes:
    """An SOA record, where there is one, ends in serial, refresh, retry, expire and minimum. It stands last, or before
    an OPT record with or without EDE."""
    for end in (len(reply), len(reply) - 11, len(reply) - 17):
        if reply[end - 16 : end - 8] == _REFRESH_RETRY:
            return reply[: end - 20] + bytes(4) + reply[end - 16 :]
    return reply
