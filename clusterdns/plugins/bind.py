"""`bind`: the addresses that a server block listens on, given as addresses or interfaces."""

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import address, arguments
from clusterdns.errors import ConfigError
from clusterdns.plugins.site import Site


def setup(directive: Directive, site: Site) -> None:
    """Several lines add up."""
    wanted = [text for token in arguments(directive, 1) for text in _addresses(token, site)]
    without = _except(directive, site)
    kept = [text for text in wanted if text not in without]
    if not kept:
        raise directive.token.error("no address is left to listen on", "take some out of `except`")
    site.addresses[:] = dict.fromkeys((*site.addresses, *kept))


def _addresses(token: Token, site: Site) -> list[str]:
    """An address is itself, anything else is an interface."""
    try:
        return [str(address(token))]
    except ConfigError:
        found = site.reader.interface(token.text)
    if not found:
        raise token.error(f"{token.shown} is neither an address nor an interface of this machine")
    return found


def _except(directive: Directive, site: Site) -> set[str]:
    without: set[str] = set()
    for option in directive.block or ():
        if option.name != "except":
            raise option.token.error(f"unknown option {option.token.shown}", "only `except` is known")
        without.update(text for token in arguments(option, 1) for text in _addresses(token, site))
    return without
