"""`log`: one line for each query, in CoreDNS's formats. An observer: it runs after the reply was sent."""

import re
from collections.abc import Callable, Mapping
from enum import Enum

import msgspec

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import arguments, choice, zone
from clusterdns.plugins.base import Outcome
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import RCode, class_text, rcode_text, type_text
from clusterdns.wire.names import ROOT, is_below, to_text
from clusterdns.wire.query import AA, AD, CD, QR, RA, RD, TC, Request, parse

_BITS = {"qr": QR, "aa": AA, "tc": TC, "rd": RD, "ra": RA, "ad": AD, "cd": CD}
_COMMON = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
_COMBINED = _COMMON + " {>opcode}"
_FIELD = re.compile(r"\{[^{}]*\}")


class Verdict(Enum):
    """What a reply says, as `class` names it."""

    SUCCESS = "success"
    DENIAL = "denial"
    ERROR = "error"


class Exchanged(msgspec.Struct, frozen=True):
    """What the fields are made of."""

    request: Request
    outcome: Outcome

    @property
    def flags(self) -> int:
        return self.outcome.reply[2] << 8 | self.outcome.reply[3]


def _remote(seen: Exchanged) -> str:
    address = seen.outcome.peer.address
    return f"[{address}]" if ":" in address else address


_FIELDS: Mapping[str, Callable[[Exchanged], object]] = {
    "{type}": lambda seen: type_text(seen.request.query.qtype),
    "{name}": lambda seen: to_text(seen.request.query.name),
    "{class}": lambda seen: class_text(seen.request.query.qclass),
    "{proto}": lambda seen: seen.outcome.peer.protocol,
    "{remote}": _remote,
    "{port}": lambda seen: seen.outcome.peer.port,
    "{local}": lambda seen: seen.outcome.peer.local or "-",
    "{size}": lambda seen: len(seen.outcome.packet),
    "{rsize}": lambda seen: len(seen.outcome.reply),
    "{duration}": lambda seen: f"{seen.outcome.finished - seen.outcome.started:.9f}s",
    "{rcode}": lambda seen: rcode_text(seen.flags & 0xF),
    "{>id}": lambda seen: seen.request.id,
    "{>opcode}": lambda seen: seen.request.flags >> 11 & 0xF,
    "{>do}": lambda seen: str(seen.request.query.do).lower(),
    "{>bufsize}": lambda seen: max(seen.request.payload, 512),
    "{>rflags}": lambda seen: ",".join(name for name, bit in _BITS.items() if seen.flags & bit),
}


class Log:
    """The observer of one `log` line. `pieces`: literal text, or a function that makes a field."""

    def __init__(
        self,
        write: Callable[[str], None],
        zones: tuple[bytes, ...],
        pieces: tuple[str | Callable[[Exchanged], object], ...],
        verdicts: frozenset[Verdict],
    ) -> None:
        self._write, self._zones, self._pieces, self._verdicts = write, zones, pieces, verdicts

    def observe(self, outcome: Outcome) -> None:
        if verdict(outcome.reply) not in self._verdicts:
            return
        seen = Exchanged(parse(outcome.packet), outcome)
        if any(is_below(seen.request.query.name, zone) for zone in self._zones):
            text = "".join([piece if isinstance(piece, str) else str(piece(seen)) for piece in self._pieces])
            self._write(f"[INFO] {text}")


def verdict(reply: bytes) -> Verdict:
    """By RCODE and counts: an answer or a referral is a success, NXDOMAIN and NODATA a denial."""
    rcode = reply[3] & 0xF
    if rcode == RCode.NXDOMAIN:
        return Verdict.DENIAL
    if rcode != RCode.NOERROR:
        return Verdict.ERROR
    return Verdict.SUCCESS if reply[6:8] != b"\0\0" else Verdict.DENIAL


def setup(directive: Directive, site: Site) -> None:
    args = list(arguments(directive, 0))
    pieces = _pieces(_COMMON)
    if args and _is_format(args[-1]):
        pieces = _pieces(args.pop().text.replace("{common}", _COMMON).replace("{combined}", _COMBINED))
    zones = tuple(name for token in args for name in zone(token)) or (ROOT,)
    verdicts: set[Verdict] = set()
    for option in directive.block or ():
        with site.collecting("log"):
            choice(option.token, ("class",))
            for token in arguments(option, 1):
                word = choice(token, ("all", *(each.value for each in Verdict)))
                verdicts |= set(Verdict) if word == "all" else {Verdict(word)}
    site.observers.append(Log(site.shared.write, zones, pieces, frozenset(verdicts or Verdict)))


def _is_format(token: Token) -> bool:
    """The last argument is a format if it has a field in it, or blanks, which no name has."""
    return "{" in token.text or (token.quoted and len(token.text.split()) != 1)


def _pieces(text: str) -> tuple[str | Callable[[Exchanged], object], ...]:
    """A format is taken apart at load: what a client sends is only ever filled in. Metadata that nobody provides is
    `-`; an unknown field stays as it is written."""
    pieces: list[str | Callable[[Exchanged], object]] = []
    at = 0
    for match in _FIELD.finditer(text):
        unknown = "-" if match[0].startswith("{/") else match[0]
        pieces += [text[at : match.start()], _FIELDS.get(match[0], unknown)]
        at = match.end()
    return tuple(piece for piece in (*pieces, text[at:]) if piece != "")
