"""`ready`: an HTTP page that says whether answers are complete yet."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.values import arguments, choice, no_block
from clusterdns.plugins.http import where
from clusterdns.plugins.site import Site

# CoreDNS's
DEFAULT_PORT = 8181

_UNTIL_READY, _CONTINUOUSLY = "until-ready", "continuously"


def setup(directive: Directive, site: Site) -> None:
    """Of several blocks with one address it is enough that one says `continuously`."""
    monitor = _UNTIL_READY
    for option in directive.block or ():
        with site.collecting("ready", option.name):
            choice(option.token, ("monitor",))
            no_block(option)
            monitor = choice(arguments(option, 1, 1)[0], (_UNTIL_READY, _CONTINUOUSLY))
    address, ready = where(directive, DEFAULT_PORT, site), site.shared.process.ready
    ready[address] = monitor == _CONTINUOUSLY or ready.get(address, False)
