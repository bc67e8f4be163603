"""`minimal`: leaves out what nobody asked for, the authority and additional sections of answers that have records."""

from msgspec.structs import replace

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, no_block
from clusterdns.plugins.base import Context, Handler, Layer, Step
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.query import Query
from clusterdns.wire.records import Relay, Reply
from clusterdns.wire.survey import answer_alone


def setup(directive: Directive, site: Site) -> Layer:
    arguments(directive, 0, 0)
    no_block(directive)
    return _layer


def _layer(following: Handler) -> Handler:
    def handle(query: Query, ctx: Context) -> Step:
        return smaller((yield from following(query, ctx)))

    return handle


def smaller(reply: Reply) -> Reply:
    """The same reply without its authority and additional sections, where it has records and denies nothing: a SOA
    record says how long a denial may be kept, behind a CNAME too (RFC 2308 section 2.2)."""
    if reply.rcode != RCode.NOERROR:
        return reply
    if isinstance(reply, Relay):
        answers, authorities, additionals = (int.from_bytes(reply.wire[at : at + 2], "big") for at in (6, 8, 10))
        return answer_alone(reply) if answers and authorities + additionals > bool(reply.opt_at) else reply
    if not reply.answer or any(rrset.rtype == Type.SOA for rrset in reply.authority):
        return reply
    return replace(reply, authority=(), additional=()) if reply.authority or reply.additional else reply
