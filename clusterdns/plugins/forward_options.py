"""The arguments and options of a `forward` line."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import address, arguments, choice, duration, host_port, integer, zone
from clusterdns.errors import ClusterDNSError
from clusterdns.plugins.site import Site
from clusterdns.upstream.group import TRY_TIMEOUT, Group, Policy, Transport, Upstream
from clusterdns.wire.codes import RCode
from clusterdns.wire.encode import OUR_PAYLOAD

# CoreDNS's limit
MAX_UPSTREAMS = 15
_PORTS = {Transport.DNS: 53, Transport.TLS: 853}
_GO_MAX_INT = 2**31 - 1


class Options(msgspec.Struct):
    """What a line says. `origin`: the zone it is for. `next`: RCODEs left to the next `forward`."""

    origin: bytes
    upstreams: tuple[Upstream, ...] = ()
    excluded: tuple[bytes, ...] = ()
    policy: Policy = Policy.RANDOM
    timeout: float = TRY_TIMEOUT
    max_concurrent: int = 0
    force_tcp: bool = False
    next: frozenset[int] = frozenset()
    next_on_nodata: bool = False
    failover: frozenset[int] = frozenset()
    server_name: str = ""

    def group(self, payload: int) -> Group:
        """`payload`: octets of a UDP reply that this block's clients are given at most."""
        named = tuple(
            msgspec.structs.replace(upstream, name=upstream.name or self.server_name) for upstream in self.upstreams
        )
        return Group(
            named,
            self.policy,
            self.timeout,
            self.max_concurrent,
            self.force_tcp,
            self.failover,
            min(OUR_PAYLOAD, payload),
        )


def parse(directive: Directive, site: Site) -> Options:
    """Every wrong upstream and option is added to the errors.  Raises ConfigError for the line itself."""
    origin, *targets = arguments(directive, 2)
    # CoreDNS takes the first of the zones that a network covers
    options = Options(zone(origin)[0])
    found: list[Upstream] = []
    for token in targets:
        with site.collecting("forward"):
            found += _upstreams(token, site)
    options.upstreams = tuple(dict.fromkeys(found))
    if len(options.upstreams) > MAX_UPSTREAMS:
        raise directive.token.error(f"{len(options.upstreams)} upstreams, at most {MAX_UPSTREAMS} are allowed")
    for option in directive.block or ():
        with site.collecting("forward", option.name):
            _option(option, options, site)
    return options


def _upstreams(token: Token, site: Site) -> list[Upstream]:
    """An address with or without scheme and port, a file with `nameserver` lines, or a host name."""
    scheme, mark, rest = token.text.rpartition("://")
    if mark and scheme not in ("dns", "tls"):
        hint = "https:// is not provided, use tls://" if scheme == "https" else "use dns:// or tls://"
        raise token.error(f"unknown scheme in {token.shown}", hint)
    if not mark and "/" in rest:
        return _from_file(token, site)
    transport = Transport(scheme or "dns")
    target, name = _split_name(rest) if transport is Transport.TLS else (rest, "")
    if not mark and site.reader.exists(rest):
        return _from_file(token, site)
    host, port = host_port(replace(token, text=target), _PORTS[transport])
    if not host or not port:
        raise token.error(f"{token.shown} is no upstream", "write an address, for example 10.0.0.1:53")
    return [Upstream(text, port, transport, name) for text in _resolve(token, host, site)]


def _split_name(text: str) -> tuple[str, str]:
    """`9.9.9.9%dns.quad9.net:853` -> address with port, and the name that the certificate must have."""
    target, _, rest = text.partition("%")
    name, colon, port = rest.partition(":")
    return target + colon + port, name


def _resolve(token: Token, host: str, site: Site) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    # RFC 6761 6.4: names below .invalid never resolve, so nobody needs to be asked
    found = [] if host.rstrip(".").lower().endswith(".invalid") else site.reader.resolve(host)
    if not found:
        hint = "write its address, or a name that the system's resolver knows"
        raise token.error(f"host name {token.shown} does not resolve", hint)
    return found


def _from_file(token: Token, site: Site) -> list[Upstream]:
    """The `nameserver` lines of a file like /etc/resolv.conf (resolv.conf(5))."""
    try:
        text = site.reader.text(token.text)
    except ClusterDNSError as error:
        raise token.error(f"{error}", "write an address, or a file with `nameserver` lines") from error
    words = [line.split() for line in text.splitlines()]
    servers = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    if not servers:
        raise token.error(f"{token.shown} has no line `nameserver ADDRESS`")
    found = []
    for server in servers:
        try:
            found.append(Upstream(str(ipaddress.ip_address(server)), 53))
        except ValueError as error:
            raise token.error(f"{token.shown}: nameserver {server!r} is no IP address") from error
    return found


def _option(option: Directive, options: Options, site: Site) -> None:
    parse_one = _OPTIONS.get(option.name)
    if parse_one is None:
        raise option.token.error("unknown option", f"known options: {', '.join(_OPTIONS)}")
    if option.block is not None:
        raise option.token.error("takes no block", "remove the braces")
    parse_one(option, options)
    if option.name in _LATER:
        token = option.token
        site.shared.warnings.append(f"{token.file}:{token.line}: forward: {option.name} has no effect in this version")


def _except(option: Directive, options: Options) -> None:
    options.excluded += tuple(name for token in arguments(option, 1) for name in zone(token))


def _policy(option: Directive, options: Options) -> None:
    options.policy = Policy(choice(arguments(option, 1, 1)[0], [policy.value for policy in Policy]))


def _max_concurrent(option: Directive, options: Options) -> None:
    options.max_concurrent = _count(option, options)


def _read_timeout(option: Directive, options: Options) -> None:
    options.timeout = _positive(option)


def _force_tcp(option: Directive, options: Options) -> None:
    arguments(option, 0, 0)
    options.force_tcp = True


def _flag(option: Directive, options: Options) -> None:
    """`prefer_udp` is what we do anyway."""
    arguments(option, 0, 0)


def _next(option: Directive, options: Options) -> None:
    options.next = _rcodes(option)


def _next_on_nodata(option: Directive, options: Options) -> None:
    arguments(option, 0, 0)
    options.next_on_nodata = True


def _failover(option: Directive, options: Options) -> None:
    options.failover = _rcodes(option)
    if RCode.NOERROR in options.failover:
        raise option.token.error("cannot take NOERROR", "an answer is never a failure")


def _tls(option: Directive, options: Options) -> None:
    arguments(option, 0, 3)


def _tls_servername(option: Directive, options: Options) -> None:
    token = arguments(option, 1, 1)[0]
    zone(token)
    options.server_name = token.text


def _health_check(option: Directive, options: Options) -> None:
    first, *words = arguments(option, 1)
    duration(first)
    while words:
        word = words.pop(0)
        if choice(word, ("no_rec", "domain")) == "domain":
            if not words:
                raise word.error("domain needs a name", "write for example domain example.org")
            zone(words.pop(0))


def _expire(option: Directive, options: Options) -> None:
    _positive(option)


def _duration(option: Directive, options: Options) -> None:
    duration(arguments(option, 1, 1)[0])


def _count(option: Directive, options: Options) -> int:
    return integer(arguments(option, 1, 1)[0], 0, _GO_MAX_INT)


def _doh_method(option: Directive, options: Options) -> None:
    choice(arguments(option, 1, 1)[0], ("POST", "GET"))


def _resolver(option: Directive, options: Options) -> None:
    for token in arguments(option, 1):
        host_port(token, 53)


def _source_address(option: Directive, options: Options) -> None:
    for token in arguments(option, 1):
        address(token)


def _positive(option: Directive) -> float:
    token = arguments(option, 1, 1)[0]
    if seconds := duration(token):
        return seconds
    raise token.error("must be longer than 0", "write for example 2s")


def _rcodes(option: Directive) -> frozenset[int]:
    known = {rcode.name: int(rcode) for rcode in RCode}
    tokens = [replace(token, text=token.text.upper()) for token in arguments(option, 1)]
    return frozenset(known[choice(token, known)] for token in tokens)


_OPTIONS: Mapping[str, Callable[[Directive, Options], object]] = {
    "except": _except,
    "policy": _policy,
    "max_concurrent": _max_concurrent,
    "read_timeout": _read_timeout,
    "force_tcp": _force_tcp,
    "prefer_udp": _flag,
    "next": _next,
    "next_on_nodata": _next_on_nodata,
    "failover": _failover,
    "tls_servername": _tls_servername,
    "tls": _tls,
    "health_check": _health_check,
    "max_fails": _count,
    "max_connect_attempts": _count,
    "expire": _expire,
    "max_age": _duration,
    "max_idle_conns": _count,
    "failfast_all_unhealthy_upstreams": _flag,
    "doh_method": _doh_method,
    "resolver": _resolver,
    "source_address": _source_address,
}

# Checked, and named in a warning: connections are not kept and upstreams not probed in this version.
_LATER = frozenset(_OPTIONS) - {
    *("except", "policy", "max_concurrent", "read_timeout", "force_tcp", "prefer_udp", "next", "next_on_nodata"),
    *("failover", "tls_servername"),
}
