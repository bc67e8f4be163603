"""`dns64`: makes AAAA records of A records, for clients that reach IPv4 through a translator only (RFC 6147)."""

import ipaddress
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import arguments, choice, network
from clusterdns.plugins.base import Context, Handler, Layer, Step
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.query import CD, Query
from clusterdns.wire.records import Rdata, Relay, Reply, Response, RRset
from clusterdns.wire.survey import unpack

# RFC 6052 2.1 and 2.2: the well-known prefix, and the lengths that a prefix may have
WELL_KNOWN = ipaddress.IPv6Network("64:ff9b::/96")
LENGTHS = (32, 40, 48, 56, 64, 96)
# RFC 6147 5.1.7: seconds that a synthesised record lives at most, where no SOA record says it
UNKNOWN_TTL = 600
# RFC 6147 5.1.4: addresses of ::ffff:0:0/96 are of no use to a client that has no IPv4
_MAPPED = bytes(10) + b"\xff\xff"
# RFC 6147 5.1.2: a name that does not exist has no A records either; every other RCODE is often a server's that does
# not know AAAA. Not REFUSED: that is policy, and is not to be walked round.
_FINAL = frozenset({RCode.NXDOMAIN, RCode.REFUSED})
# Octets of an upstream's reply that are looked at: some 500 addresses
_LARGEST_READ = 8192


class Options(msgspec.Struct):
    """What the block says."""

    prefix: ipaddress.IPv6Network = WELL_KNOWN
    translate_all: bool = False
    allow_ipv4: bool = False


def setup(directive: Directive, site: Site) -> Layer:
    options = Options()
    for token in arguments(directive, 0, 1):
        options.prefix = _prefix(token)
    for option in directive.block or ():
        with site.collecting("dns64", option.name):
            _option(option, options)
    served: Callable[[Context], int] = _anyone if options.allow_ipv4 else site.classified(over_ipv6)
    return lambda following: _handler(options, served, following)


def _option(option: Directive, options: Options) -> None:
    name = choice(option.token, ("prefix", "translate_all", "allow_ipv4"))
    if name == "prefix":
        options.prefix = _prefix(*arguments(option, 1, 1))
        return
    arguments(option, 0, 0)
    if name == "translate_all":
        options.translate_all = True
    else:
        options.allow_ipv4 = True


def _prefix(token: Token) -> ipaddress.IPv6Network:
    found = network(token)
    if not isinstance(found, ipaddress.IPv6Network) or found.prefixlen not in LENGTHS:
        lengths = ", ".join(map(str, LENGTHS))
        raise token.error(f"an IPv6 prefix with one of the lengths {lengths}, not {token.shown}", "write 64:ff9b::/96")
    return found


def over_ipv6(address: str) -> int:
    """The classifier: 1 for clients that came over IPv6."""
    return ":" in address


def _anyone(_: Context) -> int:
    return 1


def _handler(options: Options, served: Callable[[Context], int], following: Handler) -> Handler:
    def handle(query: Query, ctx: Context) -> Step:
        reply = yield from following(query, ctx)
        # RFC 6147 5.5: who sets DO and CD validates by itself, and would find our records forged
        if query.qtype != Type.AAAA or (query.do and query.flags & CD) or reply.rcode in _FINAL or not served(ctx):
            return reply
        whole = values(reply)
        native = usable(whole)
        if native is not whole:
            reply = native
        found = _has(native, Type.AAAA)
        if found and not options.translate_all:
            return reply
        source = values((yield from following(replace(query, qtype=Type.A), ctx)))
        # 5.1.6 takes whatever came for A; but an error for AAAA may hide records that an empty answer would deny
        if not _has(source, Type.A) and (found or native.rcode != RCode.NOERROR):
            return reply
        return synthesised(source, options.prefix, _lifetime(native))

    return handle


def synthesised(source: Response, prefix: ipaddress.IPv6Network, ttl: int) -> Response:
    """The reply to the question for A as one for AAAA, its addresses behind `prefix` and for `ttl` seconds at most.

    What is made here is of no zone and vouched for by nobody: AA and AD are off, signatures of A records are left out.
    """
    answer = tuple([_translated(rrset, prefix, ttl) for rrset in source.answer if not _signs_a(rrset)])
    return replace(source, answer=answer, aa=False, ad=False)


def _translated(rrset: RRset, prefix: ipaddress.IPv6Network, ttl: int) -> RRset:
    if rrset.rtype != Type.A:
        return rrset
    rdatas = tuple([embedded(prefix, rdata) for rdata in rrset.rdatas if isinstance(rdata, bytes)])
    return replace(rrset, rtype=Type.AAAA, ttl=min(rrset.ttl, ttl), rdatas=rdatas)


def embedded(prefix: ipaddress.IPv6Network, address: bytes) -> bytes:
    """A packed IPv4 address behind the prefix, around the octet 8, which stays zero (RFC 6052 2.2)."""
    octets = prefix.network_address.packed[: prefix.prefixlen // 8] + address
    if prefix.prefixlen <= 64:
        octets = octets[:8] + b"\0" + octets[8:]
    return octets.ljust(16, b"\0")


def _signs_a(rrset: RRset) -> bool:
    """Is it signatures of A records? RFC 4034 3.1: the first field is the type that they cover."""
    first = rrset.rdatas[0]
    return rrset.rtype == Type.RRSIG and isinstance(first, bytes) and first[:2] == Type.A.to_bytes(2, "big")


def values(reply: Reply) -> Response:
    """The reply taken apart.  Raises UpstreamError for an upstream's that is broken."""
    return unpack(reply, _LARGEST_READ) if isinstance(reply, Relay) else reply


def usable(reply: Response) -> Response:
    """The reply itself, or without its IPv4-mapped addresses where it has some."""
    answer = tuple([kept for rrset in reply.answer if (kept := _unmapped(rrset)).rdatas])
    return reply if answer == reply.answer else replace(reply, answer=answer)


def _unmapped(rrset: RRset) -> RRset:
    if rrset.rtype != Type.AAAA:
        return rrset
    return replace(rrset, rdatas=tuple([rdata for rdata in rrset.rdatas if not _is_mapped(rdata)]))


def _is_mapped(rdata: Rdata) -> bool:
    return isinstance(rdata, bytes) and rdata.startswith(_MAPPED)


def _has(reply: Response, rtype: Type) -> bool:
    return any(rrset.rtype == rtype for rrset in reply.answer)


def _lifetime(native: Response) -> int:
    """The TTL of the SOA record that came with the empty answer."""
    return min([rrset.ttl for rrset in native.authority if rrset.rtype == Type.SOA], default=UNKNOWN_TTL)
