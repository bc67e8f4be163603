"""Tokens to values. Each function raises ConfigError at the token, with what to write instead."""

import ipaddress
import math
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.errors import ConfigError
from clusterdns.wire import names

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_PART})+)")
# Go counts 64 bits of nanoseconds.
_LONGEST = 2**63 / 1e9

# Python converts no more than 4300 digits; 18 are within 64 bits.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_CIDR = re.compile(r"[0-9A-Fa-f.:]+/[0-9]{1,3}")
_HOST_PORT = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

# What no zone name has in it, and what was probably meant.
_NOT_IN_A_ZONE = {
    "*": "a zone holds all names below it: leave out the *",
    "$": "a variable is written {$NAME}",
    "{": "a variable is written {$NAME}, a block opens behind a blank",
    "}": "a variable is written {$NAME}, a block closes on its own line",
    ":": "no port or scheme belongs here",
    ",": "put a blank behind the comma",
    **dict.fromkeys('"()[]', "write a domain name, for example cluster.local"),
}

# difflib compares every pair of characters.
_LONGEST_TYPO = 64


@contextmanager
def within(name: str) -> Iterator[None]:
    """Let the messages of mistakes found inside begin with `name: `, unless they do."""
    try:
        yield
    except ConfigError as error:
        if error.message.startswith(f"{name}: "):
            raise
        raise ConfigError(f"{name}: {error.message}", error.file, error.line, error.column, error.hint) from error


def arguments(directive: Directive, low: int, high: int | None = None) -> tuple[Token, ...]:
    """The arguments, `low` to `high` of them; `high` None: as many as there are."""
    args = directive.args
    message = f"{directive.name}: takes {_count(low, high)}, got {len(args) or 'none'}"
    if len(args) < low:
        raise directive.token.error(message, "write what is missing behind it")
    if high is not None and len(args) > high:
        raise args[high].error(message, f"remove {args[high].shown}")
    return args


def _count(low: int, high: int | None) -> str:
    if high == 0:
        return "no arguments"
    bounds = f"at least {low}" if high is None else f"{low} to {high}" if low < high else f"{low}"
    return f"{bounds} {'argument' if bounds.split()[-1] == '1' else 'arguments'}"


def no_block(directive: Directive) -> None:
    """Raises ConfigError for a directive with braces."""
    if directive.block is not None:
        raise directive.token.error(f"{directive.name}: takes no block", "remove the braces")


def duration(token: Token, *, negative: bool = False) -> float:
    """Seconds of a duration as Go writes it: `30s`, `1h20m`, `1.5h`, `100ms`, `0`."""
    seconds = 0.0
    if _DURATION.fullmatch(token.text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, token.text))
    elif _DECIMAL.fullmatch(token.text):
        raise token.error(f"a duration has a unit, not {token.shown}", f"write for example {token.shown[1:-1]}s")
    else:
        raise token.error(f"a duration, not {token.shown}", "write for example 30s, 1h20m or 100ms")
    if seconds > _LONGEST:
        raise token.error(f"the duration {token.shown} is too long", "write less than 290 years")
    if not token.text.startswith("-"):
        return seconds
    if negative or not seconds:
        return -seconds
    raise token.error(f"the duration {token.shown} is negative", "write it without the minus")


def integer(token: Token, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if _INTEGER.fullmatch(token.text) and low <= int(token.text) <= high:
        return int(token.text)
    raise token.error(
        f"a whole number from {low} to {high}, not {token.shown}", f"write for example {min(max(low, 1), high)}"
    )


def decimal(token: Token, low: float) -> float:
    """A number of at least `low`, with or without a fraction."""
    if _DECIMAL.fullmatch(token.text) and low <= float(token.text) < math.inf:
        return float(token.text)
    raise token.error(f"a number of at least {low:g}, not {token.shown}", f"write for example {max(low, 1):g}")


def choice(token: Token, allowed: Collection[str]) -> str:
    """One of the words of `allowed`, spelled exactly so."""
    if token.text in allowed:
        return token.text
    near = get_close_matches(token.text[:_LONGEST_TYPO].lower(), allowed, 1)
    hint = f"did you mean {near[0]}?" if near else "write one of these words"
    raise token.error(f"one of {', '.join(allowed)}, not {token.shown}", hint)


def zone(token: Token) -> tuple[bytes, ...]:
    """A domain name, or the reverse zones of a network such as `10.96.0.0/12`; lower-case wire names."""
    text = token.text
    # RFC 2317: names below the reverse trees may have a slash in them.
    if "/" in text and not text.lower().rstrip(".").endswith((".in-addr.arpa", ".ip6.arpa")):
        return _reverse_zones(token)
    if found := _address(text.removesuffix(".").strip("[]")):
        hint = f"for its reverse zone write {found}/{found.max_prefixlen}, to listen on it write bind {found}"
        raise token.error(f"zone {token.shown} is an address, not a name", hint)
    for char in text:
        if char in _NOT_IN_A_ZONE or char.isspace():
            hint = _NOT_IN_A_ZONE.get(char, "write a domain name without blanks")
            raise token.error(f'zone {token.shown} must not have "{char}" in it', hint)
    if not text:
        raise token.error("a zone is empty", "write . for the root; a variable that is not set reads as empty")
    try:
        return (names.from_text(text),)
    except ValueError as error:
        raise token.error(f"zone {token.shown}: {error}", "write for example cluster.local") from error


def _reverse_zones(token: Token) -> tuple[bytes, ...]:
    try:
        if _CIDR.fullmatch(token.text):
            return tuple(names.reverse_zones(token.text))
    except ValueError:
        pass
    raise token.error(f"{token.shown} is neither a zone nor a network", "write for example 10.96.0.0/12")


def address(token: Token) -> Address:
    """An IPv4 or IPv6 address."""
    if found := _address(token.text):
        return found
    raise token.error(f"an IP address, not {token.shown}", "write for example 10.96.0.10 or fd00::a")


def network(token: Token) -> Network:
    """A network; an address alone is the network of just that address. Host bits are ignored."""
    if _CIDR.fullmatch(token.text) or _address(token.text):
        try:
            return ipaddress.ip_network(token.text, strict=False)
        except ValueError:
            pass
    raise token.error(f"a network, not {token.shown}", "write for example 10.0.0.0/8 or fd00::/8")


def host_port(token: Token, default_port: int | None) -> tuple[str, int]:
    """`host:port`, `[v6]:port`, `:port` (host "") or a host alone; `default_port` None: the port must be there."""
    text = token.text
    match = _HOST_PORT.fullmatch(text)
    if _address(text):
        host, port = text, None
    elif match and _is_host(match):
        host, port = match["bracketed"] or match["host"], match["port"]
    else:
        raise token.error(f"an address and a port, not {token.shown}", "write for example 10.0.0.1:53 or [fd00::1]:53")
    number = default_port if port is None else int(port)
    if number is None:
        raise token.error(f"{token.shown} has no port", "write for example 127.0.0.1:9153 or :9153")
    if number > 65535:
        raise token.error(f"a port from 0 to 65535, not {token.shown}", "write for example 10.0.0.1:53")
    return host, number


def _is_host(match: re.Match[str]) -> bool:
    """An IPv6 address in brackets, an IPv4 address, a host name, or only a port."""
    if match["bracketed"]:
        return isinstance(_address(match["bracketed"]), ipaddress.IPv6Address)
    host = match["host"]
    if not host:
        return match["port"] is not None
    labels = host.removesuffix(".").split(".")
    # RFC 1123 2.1: what ends in a number is an address, or nothing.
    if labels[-1].isdigit():
        return _address(host) is not None
    return len(host) <= names.MAX_NAME and all(_HOST_LABEL.fullmatch(label) for label in labels)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
