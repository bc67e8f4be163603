"""One query's way through the chain: a trampoline that needs no event loop.

A local answer runs to its end inside `begin`. `Resolve` is served here, on the same stack; only `Ask` leaves, and
whoever performs it comes back with `resume` or `fail`.
"""

import msgspec

from clusterdns.errors import ClusterDNSError, QueryError
from clusterdns.plugins.base import Ask, Context, Effect, Resolve, Step
from clusterdns.plugins.router import Router
from clusterdns.wire.codes import RCode
from clusterdns.wire.records import Reply, Response


class Pending(msgspec.Struct):
    """A query that waits for the result of `ask`."""

    ask: Ask
    stack: list[Step]
    router: Router
    ctx: Context

    def resume(self, reply: Reply) -> "Reply | Pending":
        """The upstream's reply is there."""
        return _advance(self.stack, self.router, self.ctx, reply, None)

    def fail(self, error: ClusterDNSError) -> "Reply | Pending":
        """No upstream answered."""
        return _advance(self.stack, self.router, self.ctx, None, error)


def begin(step: Step, router: Router, ctx: Context) -> Reply | Pending:
    """Run a handler's generator until it has a reply or must wait."""
    try:
        effect = next(step)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except Exception as error:
        return _failed(ctx, error)
    return _perform([step], router, ctx, effect)


def _advance(
    stack: list[Step], router: Router, ctx: Context, result: Reply | None, error: Exception | None
) -> Reply | Pending:
    """Give the innermost generator its result, and each outer one that of the inner."""
    while stack:
        try:
            effect = stack[-1].send(result) if error is None else stack[-1].throw(error)
        except StopIteration as stop:
            stack.pop()
            result, error = stop.value, None
        except Exception as raised:
            stack.pop()
            result, error = _failed(ctx, raised), None
        else:
            return _perform(stack, router, ctx, effect)
    return result if result is not None else Response(RCode.SERVFAIL)


def _perform(stack: list[Step], router: Router, ctx: Context, effect: Effect) -> Reply | Pending:
    if isinstance(effect, Ask):
        ctx.pure = False
        return Pending(effect, stack, router, ctx)
    step = _follow(router, ctx, effect)
    if isinstance(step, Response) or step is None:
        return _advance(stack, router, ctx, step, None)
    stack.append(step)
    return _advance(stack, router, ctx, None, None)


def _follow(router: Router, ctx: Context, effect: Resolve) -> Step | Response | None:
    """A link of a CNAME chain: the handler for it, an empty reply for one that was followed already (a loop shows
    each link once), SERVFAIL past the budget, None where nobody serves the name."""
    origin, query = effect.origin, effect.query
    followed = ctx.followed = ctx.followed or {(origin.name, origin.qtype)}
    if (query.name, query.qtype) in followed:
        return Response()
    ctx.links -= 1
    if ctx.links < 0:
        return Response(RCode.SERVFAIL)
    followed.add((query.name, query.qtype))
    return router.step(query, ctx)


def _failed(ctx: Context, error: Exception) -> Response:
    """An error becomes its RCODE; observers are told the first of a query."""
    ctx.error = ctx.error or error
    ctx.pure = False
    return Response(error.rcode if isinstance(error, QueryError) else RCode.SERVFAIL)
