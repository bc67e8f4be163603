"""`loadbalance`: the addresses of an answer take turns in who comes first.

No randomness is drawn: the encoder and the memo count, so that over n replies each of n records is first once.
"""

import ipaddress

from msgspec.structs import replace

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import Network, arguments, choice, network
from clusterdns.plugins.base import Context, Handler, Layer, Step
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import Type
from clusterdns.wire.query import Query
from clusterdns.wire.records import Rdata, Relay, Reply, RRset, Section
from clusterdns.wire.survey import unpack

# Octets of an upstream's reply that is rotated; 300 addresses fit
_LARGEST_ROTATED = 8192
_TURNING = frozenset({Type.A, Type.AAAA, Type.MX})


def setup(directive: Directive, site: Site) -> Layer:
    if directive.args and directive.args[0].text == "weighted":
        raise directive.args[0].error("weighted is not provided", "use `loadbalance round_robin`")
    for token in arguments(directive, 0, 1):
        choice(token, ("round_robin",))
    preferred: list[Network] = []
    for option in directive.block or ():
        with site.collecting("loadbalance"):
            choice(option.token, ("prefer",))
            preferred += [network(token) for token in arguments(option, 1)]

    def layer(following: Handler) -> Handler:
        def handle(query: Query, ctx: Context) -> Step:
            reply = yield from following(query, ctx)
            return turning(reply, preferred)

        return handle

    return layer


def turning(reply: Reply, preferred: list[Network]) -> Reply:
    """The same reply, marked to be rotated where there is something to rotate."""
    if isinstance(reply, Relay):
        # The count of answers stands in the header: one record or none has no order. A huge reply is not taken apart.
        if int.from_bytes(reply.wire[6:8], "big") < 2 or len(reply.wire) > _LARGEST_ROTATED:
            return reply
        return turning(unpack(reply), preferred) if preferred else replace(reply, rotate=True)
    if not any(rrset.rtype in _TURNING and len(rrset.rdatas) > 1 for rrset in reply.answer):
        return reply
    answer = _prefer(reply.answer, preferred) if preferred else reply.answer
    return replace(reply, answer=answer, rotate=True)


def _prefer(section: Section, preferred: list[Network]) -> Section:
    """Each address RRset in two: those of the preferred networks first. Each part takes turns by itself."""
    parts: list[RRset] = []
    for rrset in section:
        if rrset.rtype not in (Type.A, Type.AAAA):
            parts.append(rrset)
            continue
        first = tuple(rdata for rdata in rrset.rdatas if _within(rdata, preferred))
        rest = tuple(rdata for rdata in rrset.rdatas if rdata not in first)
        parts += [replace(rrset, rdatas=rdatas) for rdatas in (first, rest) if rdatas]
    return tuple(parts)


def _within(rdata: Rdata, networks: list[Network]) -> bool:
    return isinstance(rdata, bytes) and any(ipaddress.ip_address(rdata) in net for net in networks)
