"""`reload`: how often the Corefile is looked at for changes."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, duration, no_block
from clusterdns.plugins.site import Site

# Seconds, all of them CoreDNS's
INTERVAL, JITTER = 30.0, 15.0
MIN_INTERVAL, MIN_JITTER = 2.0, 1.0


def setup(directive: Directive, site: Site) -> None:
    """There is one Corefile for all blocks: the shortest interval counts, with the jitter that stands behind it."""
    no_block(directive)
    given = arguments(directive, 0, 2)
    interval, jitter = [duration(token) for token in given] + [INTERVAL, JITTER][len(given) :]
    if interval < MIN_INTERVAL:
        raise given[0].error(
            f"an interval of at least {MIN_INTERVAL:g}s, not {given[0].shown}", "write for example 30s"
        )
    if 0 < jitter < MIN_JITTER:
        hint = "write for example 15s, or 0s for none"
        raise given[1].error(f"a jitter of 0s or at least {MIN_JITTER:g}s, not {given[1].shown}", hint)
    found, process = (interval, min(jitter, interval / 2)), site.shared.process
    process.reload = min(found, process.reload or found)
