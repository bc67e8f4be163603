"""Where directives serve HTTP: one address each, which several of them and several blocks may share."""

import ipaddress

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import arguments, host_port
from clusterdns.errors import ConfigError
from clusterdns.plugins.site import Site, Where

# Of all addresses: "" stands for both families
_IPV4, _IPV6 = "0.0.0.0", "::"


def where(directive: Directive, default: int, site: Site) -> Where:
    """The address behind the directive's name, else the port `default` on all addresses.

    Raises ConfigError for what is no address with a port, and for one that competes with another listener's.
    """
    given = arguments(directive, 0, 1)
    found = _parsed(given[0], default, site) if given else ("", default)
    process = site.shared.process
    for host, port in (*process.health, *process.ready):
        if port == found[1] and port and _compete(host, found[0]):
            both = " and on ".join(each or "all addresses" for each in (host, found[0]))
            token = given[0] if given else directive.token
            raise token.error(f"HTTP on port {port} is served on {both}", "write the same address twice, or two ports")
    return found


def _parsed(token: Token, default: int, site: Site) -> Where:
    try:
        host, port = host_port(token, None)
    except ConfigError as error:
        raise token.error(error.message, f"write for example :{default} or 127.0.0.1:{default}") from error
    address = host and _address(token, host, site)
    # As in Go, this wildcard takes IPv4 too
    return "" if address == _IPV6 else address, port


def _address(token: Token, host: str, site: Site) -> str:
    """One spelling for each address; of a name's the first, and IPv4 before IPv6."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        found = site.reader.resolve(host)
    if not found:
        raise token.error(f"host name {token.shown} does not resolve", "write an address, or only :PORT")
    return min(found, key=lambda text: ":" in text)


def _compete(one: str, other: str) -> bool:
    """Would the second of them, on the same port, be refused by the kernel?"""
    if one == other:
        return False
    return "" in (one, other) or (_IPV4 in (one, other) and ":" not in one + other)
