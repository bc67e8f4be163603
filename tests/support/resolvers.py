"""The resolvers that people and pods use, each as a function from a name to the addresses it finds.

`search` tells which of them follow the search path of resolv.conf; the others take full names.
"""

import contextlib
import io
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dns.exception
import dns.resolver

from tests.support.netns import Namespace

# The kube-dns Service, as in the demo.
NAMESERVER = "10.96.0.10"
RESOLV_CONF = (
    f"search default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\nnameserver {NAMESERVER}\n"
)
ETC = {"resolv.conf": RESOLV_CONF, "nsswitch.conf": "hosts: files dns\n"}

# Seconds for a whole lookup: below the 5 s that a stub waits for one reply that does not come.
PATIENCE = 4.0

Lookup = Callable[[Namespace, str], set[str]]


@dataclass(frozen=True, slots=True)
class Client:
    """`lookup` gives the addresses, none for a name that does not exist; slower than PATIENCE it raises."""

    lookup: Lookup
    search: bool


def program(*argv: str) -> Lookup:
    """A lookup by a command that takes the name as its last argument."""
    return lambda namespace, name: addresses(namespace.run(*argv, name, timeout=PATIENCE).stdout)


def addresses(output: str) -> set[str]:
    """Every IP address among the words of the output, without the comment lines of dig and its like."""
    words = [word for line in output.splitlines() if not line.startswith(";") for word in line.split()]
    return {word for word in words if _is_address(word)}


def _is_address(word: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(word) is not None
    return False


def _dnspython(namespace: Namespace, name: str) -> set[str]:
    resolver = dns.resolver.Resolver(io.StringIO(RESOLV_CONF))
    with namespace.entered():
        try:
            found = resolver.resolve(name, "A", search=True, lifetime=PATIENCE)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return set()
    return {record.address for record in found}


CLIENTS: Mapping[str, Client] = {
    "dig": Client(program("dig", "+search", "+short"), search=True),
    "dig-tcp": Client(program("dig", "+search", "+short", "+tcp"), search=True),
    "drill": Client(program("drill"), search=False),
    "kdig": Client(program("kdig", "+short"), search=False),
    "dnspython": Client(_dnspython, search=True),
    "getent-hosts": Client(program("getent", "hosts"), search=True),
    "getent-ahosts": Client(program("getent", "ahosts"), search=True),
}
