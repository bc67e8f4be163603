"""Server blocks to listeners: the chain of each block, and which zones each address and port serves."""

import difflib
from collections.abc import Callable, Mapping

import msgspec

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.keys import Key
from clusterdns.corefile.parser import Parsed, ServerBlock
from clusterdns.corefile.reader import Reader
from clusterdns.errors import ConfigError, ConfigErrors
from clusterdns.kube.selectors import Selector
from clusterdns.kube.store import Store
from clusterdns.plugins.base import Handler, Layer, end_of_chain
from clusterdns.plugins.order import DIRECTIVES, LEFT_OUT
from clusterdns.plugins.router import Block, Router
from clusterdns.plugins.site import Classifier, Shared, Site, SourceSpec
from clusterdns.wire.names import to_text

_ROWS = {row.name: row for row in DIRECTIVES}
# CoreDNS's ports for the other schemes; only plain DNS is served here
_PLAIN = "dns"


class Listener(msgspec.Struct, frozen=True):
    """One address and port, UDP and TCP. An empty `address` is the wildcard of both families. `zones`: as text, for
    the start log."""

    address: str
    port: int
    router: Router
    classifiers: tuple[Classifier, ...]
    zones: tuple[str, ...]


class Config(msgspec.Struct, frozen=True):
    """A loaded configuration."""

    listeners: tuple[Listener, ...]
    shared: Shared


class _Served(msgspec.Struct):
    """The blocks of one address and port, with the key that names each zone."""

    blocks: dict[bytes, Block] = msgspec.field(default_factory=dict)
    keys: dict[bytes, Key] = msgspec.field(default_factory=dict)
    classifiers: list[Classifier] = msgspec.field(default_factory=list)


def build(
    parsed: Parsed,
    reader: Reader,
    default_port: int,
    write: Callable[[str], None],
    kept: Mapping[tuple[SourceSpec, Selector], Store] | None = None,
) -> Config:
    """Set up every directive of every block; stores that `kept` has already are used again.

    Raises ConfigErrors with all mistakes, those of `parsed` among them."""
    shared = Shared(reader, write, kept or {}, warnings=list(parsed.warnings), errors=list(parsed.errors))
    served: dict[tuple[str, int], _Served] = {}
    later: dict[str, list[str]] = {}
    for block in parsed.blocks:
        site = Site(shared, tuple(zone for key in block.keys for zone in key.zones))
        handler = _chain(block, site, later)
        for key in block.keys:
            _serve(key, site, handler, served, default_port)
    _overlaps(served, shared.errors)
    if not served:
        shared.warnings.append("nothing is served: no block is for plain DNS")
    if shared.errors:
        raise ConfigErrors(shared.errors)
    if later:
        shared.warnings.append(_not_yet(later))
    return Config(tuple(_listener(where, what) for where, what in served.items()), shared)


def _chain(block: ServerBlock, site: Site, later: dict[str, list[str]]) -> Handler | None:
    """The handler of a block, None for one without a plugin that could answer or note anything."""
    found: dict[str, list[Directive]] = {}
    for directive in block.directives:
        with site.collecting():
            found.setdefault(_known(directive), []).append(directive)
    layers: list[Layer] = []
    for row in DIRECTIVES:
        for nth, directive in enumerate(found.get(row.name, ())):
            with site.collecting(row.name):
                if nth and not row.repeats:
                    raise directive.token.error("stands in this block twice", "keep one of them")
                if row.setup is None:
                    later.setdefault(row.name, []).append(f"{directive.token.file}:{directive.token.line}")
                elif layer := row.setup(directive, site):
                    layers.append(layer)
    if not layers and not site.observers and not site.reporters:
        return None
    handler: Handler = end_of_chain
    for layer in reversed(layers):
        handler = layer(handler)
    return handler


def _known(directive: Directive) -> str:
    name = directive.name
    if name in _ROWS:
        return name
    if name in LEFT_OUT:
        raise directive.token.error(f"directive {name} is not provided", "see docs/differences.md, and remove it")
    close = difflib.get_close_matches(name[:64], _ROWS, 1)
    hint = f"did you mean {close[0]}?" if close else "see docs/plugins for those there are"
    raise directive.token.error(f"unknown directive {directive.token.shown}", hint)


def _not_yet(later: dict[str, list[str]]) -> str:
    named = ", ".join(f"{name} ({', '.join(places)})" for name, places in later.items())
    return f"these directives are accepted unread and have no effect in this version: {named}"


def _serve(
    key: Key, site: Site, handler: Handler | None, served: dict[tuple[str, int], _Served], default_port: int
) -> None:
    if key.scheme != _PLAIN:
        site.shared.warnings.append(
            f"{key.token.file}:{key.token.line}: {key.token.shown} is not served: {key.scheme}:// has no effect "
            "in this version"
        )
        return
    for address in site.addresses or [""]:
        what = served.setdefault((address, default_port if key.port is None else key.port), _Served())
        for zone in key.zones:
            if zone in what.keys:
                first = what.keys[zone].token
                message = f"{to_text(zone)} is served by {first.file}:{first.line} already on the same address and port"
                site.shared.errors.append(key.token.error(message, "merge the two, or `bind` them to other addresses"))
                continue
            what.keys[zone] = key
            what.blocks[zone] = Block(
                zone, handler, tuple(site.observers), tuple(site.reporters), site.recursive, site.payload
            )
        what.classifiers += [each for each in site.classifiers if each not in what.classifiers]


def _overlaps(served: dict[tuple[str, int], _Served], errors: list[ConfigError]) -> None:
    """One block on the wildcard and one on an address of the same port would compete for the same packets."""
    for (address, port), what in served.items():
        family = "::" if ":" in address else "0.0.0.0"
        wildcard = served.get(("", port)) or (served.get((family, port)) if address != family else None)
        if address and wildcard is not None:
            first, key = next(iter(wildcard.keys.values())).token, next(iter(what.keys.values())).token
            message = f"port {port} is served on all addresses by {first.file}:{first.line} and on {address} here"
            errors.append(key.error(message, "give every block of this port a `bind`, or none"))


def _listener(where: tuple[str, int], what: _Served) -> Listener:
    zones = tuple(to_text(zone) for zone in what.blocks)
    return Listener(*where, Router(what.blocks), tuple(what.classifiers), zones)
