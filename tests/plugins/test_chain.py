"""The trampoline: effects, errors and what one query leaves behind. Handlers are generators of the test's own."""

import pytest

from clusterdns.errors import QueryError, UpstreamError
from clusterdns.plugins.base import MAX_LINKS, Ask, Resolve
from clusterdns.plugins.router import Block, Router
from clusterdns.plugins.run import Pending, begin
from clusterdns.upstream.group import Group, Upstream
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import from_text
from clusterdns.wire.query import question
from clusterdns.wire.records import Response
from tests.plugins.blocks import Run, block, configured, context, handler, shown

GROUP = Group((Upstream("192.0.2.1", 53),))
ANSWER = Response(RCode.NOERROR)
NOWHERE = Router({})


def answering(query, ctx):
    return ANSWER
    yield


def asking(query, ctx):
    return (yield Ask(GROUP, query))


def resolving(*names):
    """Resolves each name and answers with the RCODE of the last."""

    def handle(query, ctx):
        reply = None
        for name in names:
            reply = yield Resolve(query, question(from_text(name), query.qtype))
        return Response(RCode.REFUSED) if reply is None else Response(reply.rcode)

    return handle


def router(**handlers):
    zones = {from_text(name.replace("_", ".")): made for name, made in handlers.items()}
    return Router({zone: Block(zone, made) for zone, made in zones.items()})


def start(made, routes=NOWHERE, name="x.test."):
    ctx = context(name)
    return begin(made(ctx.hidden_request.query, ctx), routes, ctx), ctx


def test_a_local_answer_runs_to_its_end():
    result, ctx = start(answering)
    assert result is ANSWER
    assert ctx.pure


def test_an_effect_waits_and_is_resumed():
    pending, ctx = start(asking)
    assert isinstance(pending, Pending)
    assert pending.ask.group is GROUP
    assert not ctx.pure
    assert pending.resume(ANSWER) is ANSWER


def test_a_failed_effect_is_thrown_where_it_was_asked_for():
    def trying(query, ctx):
        try:
            yield Ask(GROUP, query)
        except UpstreamError:
            return ANSWER

    pending, ctx = start(trying)
    assert pending.fail(UpstreamError("gone")) is ANSWER
    assert ctx.error is None


@pytest.mark.parametrize(
    ("error", "rcode"),
    [
        (UpstreamError("gone"), RCode.SERVFAIL),
        (QueryError(RCode.REFUSED, "not for you"), RCode.REFUSED),
        (RuntimeError("a bug"), RCode.SERVFAIL),
    ],
)
def test_an_error_becomes_its_rcode_and_is_kept_for_the_observers(error, rcode):
    def failing(query, ctx):
        raise error
        yield

    result, ctx = start(failing)
    assert result.rcode == rcode
    assert ctx.error is error
    assert not ctx.pure


def test_the_first_error_of_a_query_is_kept():
    def failing(query, ctx):
        yield Ask(GROUP, query)

    pending, ctx = start(resolving("a.test", "b.test"), router(a_test=failing, b_test=failing))
    first, second = UpstreamError("one"), UpstreamError("two")
    assert pending.fail(first).fail(second).rcode == RCode.SERVFAIL
    assert ctx.error is first


def test_resolve_gives_what_the_other_block_answers():
    result, _ = start(resolving("a.test"), router(a_test=answering))
    assert result.rcode == RCode.NOERROR


def test_resolve_gives_none_where_nobody_serves_the_name():
    result, _ = start(resolving("a.test"), router(b_test=answering))
    assert result.rcode == RCode.REFUSED


def test_resolve_gives_none_for_a_block_without_a_handler():
    result, _ = start(resolving("a.test"), router(a_test=None))
    assert result.rcode == RCode.REFUSED


def test_an_effect_of_the_other_block_reaches_the_outside():
    pending, ctx = start(resolving("a.test"), router(a_test=asking))
    assert pending.ask.query.name == from_text("a.test")
    assert pending.resume(Response(RCode.NXDOMAIN)).rcode == RCode.NXDOMAIN
    assert not ctx.pure


def test_the_budget_is_one_for_the_whole_query():
    """Wide or deep: no query resolves more names than it has links."""
    resolved = []

    def counting(query, ctx):
        resolved.append(query.name)
        return ANSWER
        yield

    names = [f"n{i}.a.test" for i in range(3 * MAX_LINKS)]
    result, _ = start(resolving(*names), router(a_test=counting))
    assert len(resolved) == MAX_LINKS
    assert result.rcode == RCode.SERVFAIL


def test_a_name_is_resolved_once():
    calls = []

    def itself(query, ctx):
        calls.append(query.name)
        return (yield Resolve(query, query))

    result, _ = start(itself)
    assert (len(calls), result) == (1, Response())


def test_the_same_name_of_another_type_is_another_question():
    def other_type(query, ctx):
        return (yield Resolve(query, question(query.name, Type.TXT)))

    result, _ = start(other_type, router(test=answering))
    assert result is ANSWER


def test_reading_the_surroundings_bars_the_memo():
    ctx = context()
    assert ctx.pure
    assert ctx.peer_for_observers().address == "192.0.2.7"
    assert ctx.pure
    assert ctx.peer.port == 40000
    assert not ctx.pure
    ctx = context()
    assert ctx.options == ()
    assert not ctx.pure


def test_the_order_of_the_lines_does_not_matter():
    """The chain is in the order of order.py: loadbalance outside, whoami last."""
    one = configured(block("whoami", "forward a.test 192.0.2.1", "loadbalance"))
    other = configured(block("loadbalance", "forward a.test 192.0.2.1", "whoami"))
    for config in (one, other):
        assert Run(config, "x.a.test.").upstreams == ["dns://192.0.2.1:53"]
        assert shown(Run(config, "x.test.").done().additional)[0] == "x.test. A 192.0.2.7"


def test_a_block_where_nobody_answers_is_servfail():
    asked = Run(configured(block("errors")), "x.test.")
    assert asked.done().rcode == RCode.SERVFAIL
    assert "no plugin of the server block answers" in str(asked.context.error)


def test_a_handler_can_be_used_for_many_queries_at_once():
    made = handler(configured(block("loadbalance", "forward . 192.0.2.1")))
    steps = [made(context().hidden_request.query, context()) for _ in range(3)]
    effects = [next(step) for step in steps]
    assert len({id(effect.group) for effect in effects}) == 1
    for step in reversed(steps):
        with pytest.raises(StopIteration):
            step.send(ANSWER)
