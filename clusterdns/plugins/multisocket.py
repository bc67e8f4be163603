"""`multisocket`: how many processes answer. They share their sockets, so that whoever is free takes what comes next."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, integer, no_block
from clusterdns.plugins.site import Site

# CoreDNS's limit
MAX_WORKERS = 1024


def setup(directive: Directive, site: Site) -> None:
    """All blocks are answered by the same processes: the largest number counts, before what the CPUs say."""
    no_block(directive)
    given, process = arguments(directive, 0, 1), site.shared.process
    workers = integer(given[0], 1, MAX_WORKERS) if given else 0
    process.workers = max(workers, process.workers or 0)
