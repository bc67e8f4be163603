"""`health`: an HTTP page that says whether the server works, and how long it goes on after it was told to stop."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, choice, duration, no_block
from clusterdns.plugins.http import where
from clusterdns.plugins.site import Site

# CoreDNS's
DEFAULT_PORT = 8080


def setup(directive: Directive, site: Site) -> None:
    """Of several blocks with one address the longest lameduck counts: nobody is cut off earlier than was asked for."""
    lameduck = 0.0
    for option in directive.block or ():
        with site.collecting("health", option.name):
            choice(option.token, ("lameduck",))
            no_block(option)
            lameduck = duration(arguments(option, 1, 1)[0])
    address, health = where(directive, DEFAULT_PORT, site), site.shared.process.health
    health[address] = max(lameduck, health.get(address, 0.0))
