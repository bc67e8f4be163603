"""`bufsize`: how large a UDP reply may be, whatever a client says it takes."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, integer, no_block
from clusterdns.plugins.site import Site
from clusterdns.wire.encode import MIN_PAYLOAD

# CoreDNS's limit
LARGEST = 4096
# What fits one IPv6 packet of 1,280 octets, which no path fragments
DEFAULT = 1232


def setup(directive: Directive, site: Site) -> None:
    no_block(directive)
    given = arguments(directive, 0, 1)
    site.payload = integer(given[0], MIN_PAYLOAD, LARGEST) if given else DEFAULT
