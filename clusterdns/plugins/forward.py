"""`forward`: asks upstream servers for names below one zone."""

from clusterdns.corefile.directives import Directive
from clusterdns.plugins.base import Ask, Context, Handler, Layer, Step
from clusterdns.plugins.forward_options import Options, parse
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode
from clusterdns.wire.names import ROOT, is_below
from clusterdns.wire.query import Query
from clusterdns.wire.records import Relay, Reply


def setup(directive: Directive, site: Site) -> Layer:
    options = parse(directive, site)
    site.recursive = True
    site.forwards += 1
    nth = site.forwards
    # The layers are put together when all lines are known
    return lambda following: _handler(options, site.payload, following, last=nth == site.forwards)


def _handler(options: Options, payload: int, following: Handler, last: bool) -> Handler:
    """`last`: no other `forward` follows, so that `next` has nowhere to go."""
    group, origin = options.group(payload), options.origin

    def handle(query: Query, ctx: Context) -> Step:
        if (origin != ROOT and not is_below(query.name, origin)) or (
            options.excluded and any(is_below(query.name, zone) for zone in options.excluded)
        ):
            return (yield from following(query, ctx))
        reply = yield Ask(group, query)
        if reply is None or (not last and passes_on(options, reply)):
            return (yield from following(query, ctx))
        return reply

    return handle


def passes_on(options: Options, reply: Reply) -> bool:
    """Do `next` and `next_on_nodata` leave this question to the next `forward`?"""
    if reply.rcode in options.next:
        return True
    empty = isinstance(reply, Relay) and reply.wire[6:8] == b"\0\0"
    return options.next_on_nodata and reply.rcode == RCode.NOERROR and empty
