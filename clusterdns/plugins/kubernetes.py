"""`kubernetes`: answers for the cluster zones from the store."""

from clusterdns.corefile.directives import Directive
from clusterdns.kube.lookup import ZoneSoas, find
from clusterdns.kube.question import Found, Miss, Pods, Question, View
from clusterdns.kube.store import Store
from clusterdns.plugins.base import Context, Handler, Layer, Resolve, Step
from clusterdns.plugins.kubernetes_options import parse
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import ZoneSet, is_below
from clusterdns.wire.query import Query
from clusterdns.wire.query import question as ask
from clusterdns.wire.records import Relay, Reply, Response, RRset
from clusterdns.wire.survey import unpack

# Zone transfers are the `transfer` plugin's, which this chain does not have
_TRANSFERS = frozenset({Type.AXFR, Type.IXFR})


def setup(directive: Directive, site: Site) -> Layer:
    options = parse(directive, site)
    store = site.shared.store(options.source, options.selector)
    if options.pods is Pods.VERIFIED:
        site.shared.pods.add(options.source)
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
        question = Question(store, view, name, starts, depth, query.qtype)
        result = find(question)
        ctx.read(store, question.keys)
        if isinstance(result, Miss):
            if result is Miss.NO_NAME and fallthrough and any(is_below(name, zone) for zone in fallthrough):
                return (yield from following(query, ctx))
            return _negative(result, question, soas)
        if isinstance(result, Found):
            return Response(RCode.NOERROR, result.answer, (), result.additional, True)
        return _chased(result.cname, (yield Resolve(query, ask(result.target, query.qtype))))

    return handle


def _negative(miss: Miss, question: Question, soas: ZoneSoas) -> Response:
    """NODATA and NXDOMAIN with the zone's SOA (RFC 2308); SERVFAIL while a list is not complete."""
    if miss is Miss.NOT_SYNCED:
        return Response(RCode.SERVFAIL)
    rcode = RCode.NXDOMAIN if miss is Miss.NO_NAME else RCode.NOERROR
    return Response(rcode, (), soas(question), (), True)


def _chased(cname: RRset, reply: Reply | None) -> Response:
    """The CNAME, and behind it what its target gave: the RCODE is the target's (RFC 6604 section 3). A target that
    no server block serves leaves the CNAME alone."""
    if reply is None:
        return Response(RCode.NOERROR, (cname,), (), (), True)
    if isinstance(reply, Relay):
        reply = unpack(reply)
    return Response(reply.rcode, (cname, *reply.answer), reply.authority, reply.additional, True)
