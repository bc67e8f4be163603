"""`kubernetes`: answers for the cluster zones from the store."""

from msgspec.structs import replace

from clusterdns.corefile.directives import Directive
from clusterdns.kube.lookup import ZoneSoas, find
from clusterdns.kube.question import Found, Miss, Question, View
from clusterdns.kube.store import Store
from clusterdns.plugins.base import Context, Handler, Layer, Resolve, Step
from clusterdns.plugins.kubernetes_options import parse
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import ZoneSet, is_below
from clusterdns.wire.query import Query
from clusterdns.wire.query import question as ask
from clusterdns.wire.records import Ede, Relay, Reply, Response, RRset, Section
from clusterdns.wire.survey import unpack

# Zone transfers are the `transfer` plugin's, which this chain does not have
_TRANSFERS = frozenset({Type.AXFR, Type.IXFR})
# Seconds that an answer from a snapshot may be kept by whoever gets it
_RESTORED_TTL = 5


def setup(directive: Directive, site: Site) -> Layer:
    options = parse(directive, site)
    for other in {spec for spec, _ in site.shared.stores} - {options.source}:
        if other.snapshot and other.snapshot == options.source.snapshot:
            what = "kubernetes: its snapshot is that of a block with another source, or with other options for it"
            raise directive.token.error(what, "name a file of its own, or make the options equal")
    store = site.shared.store(options.source, options.selector)
    return lambda following: _handler(store, options.view(site), options.fallthrough, following)


def _handler(store: Store, view: View, fallthrough: tuple[bytes, ...], following: Handler) -> Handler:
    zones, soas = ZoneSet(view.zones), ZoneSoas()

    def handle(query: Query, ctx: Context) -> Step:
        name, starts = query.name, query.starts
        depth = zones.left_of(name, starts)
        if depth is None:
            return (yield from following(query, ctx))
        if query.qtype in _TRANSFERS:
            return Response(RCode.REFUSED)
        question, restored = Question(store, view, name, starts, depth, query.qtype), store.restored
        result = find(question)
        ctx.read(store, question.keys)
        if isinstance(result, Miss):
            if result is Miss.NO_NAME and fallthrough and any(is_below(name, zone) for zone in fallthrough):
                return (yield from following(query, ctx))
            reply = _negative(result, question, soas)
        elif isinstance(result, Found):
            reply = Response(RCode.NOERROR, result.answer, (), result.additional, True)
        else:
            reply = _chased(result.cname, (yield Resolve(query, ask(result.target, query.qtype))))
        return _remembered(reply) if restored else reply

    return handle


def _negative(miss: Miss, question: Question, soas: ZoneSoas) -> Response:
    """NODATA and NXDOMAIN with the zone's SOA (RFC 2308); SERVFAIL while a list is not complete."""
    if miss is Miss.NOT_SYNCED:
        return Response(RCode.SERVFAIL, ede=Ede.NOT_READY)
    rcode = RCode.NXDOMAIN if miss is Miss.NO_NAME else RCode.NOERROR
    return Response(rcode, (), soas(question), (), True)


def _chased(cname: RRset, reply: Reply | None) -> Response:
    """The CNAME, and behind it what its target gave: the RCODE is the target's (RFC 6604 section 3). A target that
    no server block serves leaves the CNAME alone."""
    if reply is None:
        return Response(RCode.NOERROR, (cname,), (), (), True)
    if isinstance(reply, Relay):
        reply = unpack(reply)
    return Response(reply.rcode, (cname, *reply.answer), reply.authority, reply.additional, True, ede=reply.ede)


def _remembered(reply: Response) -> Response:
    """What a snapshot says: good for a short time, and shown as what it is, unless no object could make it another."""
    settled = reply.rcode == RCode.NXDOMAIN and not reply.answer
    return replace(
        reply,
        answer=_brief(reply.answer),
        authority=_brief(reply.authority),
        additional=_brief(reply.additional),
        ede=Ede.STALE_ANSWER if reply.ede is None and not settled else reply.ede,
    )


def _brief(section: Section) -> Section:
    return tuple([replace(rrset, ttl=min(rrset.ttl, _RESTORED_TTL)) for rrset in section])
