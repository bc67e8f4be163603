"""The keys of a server block: `[scheme://]zone[:port]`."""

from dataclasses import dataclass, replace

from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import choice, within, zone

SCHEMES = ("dns", "tls", "grpc", "https", "https3", "quic")


@dataclass(frozen=True, slots=True)
class Key:
    """`zones` are names in lower-case wire form, several for a network. `port` None: the default of the scheme."""

    token: Token
    scheme: str
    zones: tuple[bytes, ...]
    port: int | None


def parse_key(token: Token) -> Key:
    """Raises ConfigError for a scheme, zone or port that cannot be one."""
    before, mark, rest = token.text.rpartition("://")
    with within("scheme"):
        scheme = choice(replace(token, text=before), SCHEMES) if mark else "dns"
    name, colon, port = _split(rest)
    if not name:
        hint = "write for example .:53; a variable that is not set reads as empty, and {$NAME} has no default"
        raise token.error(f"key {token.shown} has no zone", hint)
    return Key(token, scheme, zone(replace(token, text=name)), _port(token, port) if colon else None)


def _split(text: str) -> tuple[str, str, str]:
    """Zone, colon, port. The colons of an IPv6 network stand before its mask, those of an address are its own."""
    network, slash, mask = text.rpartition("/")
    if slash:
        mask, colon, port = mask.partition(":")
        return f"{network}/{mask}", colon, port
    if text.count(":") > 1 and not text.startswith("["):
        return text, "", ""
    name, colon, port = text.rpartition(":")
    return (name, colon, port) if colon else (text, "", "")


def _port(token: Token, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    raise token.error(f"key {token.shown}: the port is a number from 0 to 65535", "write for example .:53")
