"""`whoami`: tells the client the address, port and transport it was seen with."""

import ipaddress

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, no_block
from clusterdns.plugins.base import Context, Handler, Layer, Step
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import Type
from clusterdns.wire.names import MAX_NAME, ROOT
from clusterdns.wire.query import Query
from clusterdns.wire.records import Response, RRset, addresses, srv


def setup(directive: Directive, site: Site) -> Layer:
    arguments(directive, 0, 0)
    no_block(directive)
    return _layer


def _layer(_: Handler) -> Handler:
    return _handle


def _handle(query: Query, ctx: Context) -> Step:
    """Address and port stand in the additional section, as in CoreDNS: the answer section stays empty."""
    peer = ctx.peer
    owner = bytes((len(peer.protocol) + 1,)) + b"_" + peer.protocol.encode() + query.name
    found = addresses(query.name, (ipaddress.ip_address(peer.address).packed,), 0)
    # Below the longest names there is no room for another label
    if len(owner) <= MAX_NAME:
        found += (RRset(owner, Type.SRV, 0, (srv(0, 0, peer.port, ROOT),)),)
    return Response(additional=found, aa=True)
    yield
