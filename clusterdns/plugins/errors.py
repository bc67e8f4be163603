"""`errors`: one line for each query that a plugin failed on; the same ones may be consolidated into a count."""

from collections.abc import Callable

import msgspec
import re2

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import arguments, choice, duration
from clusterdns.plugins.base import Outcome
from clusterdns.plugins.site import Site
from clusterdns.wire.codes import type_text
from clusterdns.wire.names import to_text
from clusterdns.wire.query import parse

LEVELS = ("warning", "error", "info", "debug")
# CoreDNS's limit for the pattern, in characters
MAX_PATTERN = 10_000
# Lines in one second; an upstream that is gone fails every query, and the log is for reading.
MAX_LINES = 100


class Rule(msgspec.Struct):
    """One `consolidate` line and its window. `period` in seconds."""

    pattern: str
    matches: Callable[[str], object]
    period: float
    level: str = "error"
    show_first: bool = False
    count: int = 0
    ends: float = 0.0


class Errors:
    """The observer. `write` takes a line."""

    def __init__(self, write: Callable[[str], None], rules: tuple[Rule, ...] = ()) -> None:
        self._write, self._rules = write, rules
        self._second, self._lines, self._left_out = 0, 0, 0

    def observe(self, outcome: Outcome) -> None:
        if outcome.error is None:
            return
        query = parse(outcome.packet).query
        text = f"{outcome.reply[3] & 0xF} {to_text(query.name)} {type_text(query.qtype)}: {outcome.error}"
        rule = next((rule for rule in self._rules if rule.matches(str(outcome.error))), None)
        if rule is None:
            self._line("error", text, outcome.finished)
            return
        if not rule.count:
            rule.ends = outcome.finished + rule.period
            if rule.show_first:
                self._line(rule.level, text, outcome.finished)
        rule.count += 1

    def tick(self, now: float) -> None:
        """Report the windows that have ended, and what was left out."""
        for rule in self._rules:
            if rule.count and now >= rule.ends:
                seconds = f"{rule.period:g}s"
                self._line(rule.level, f"{rule.count} errors like '{rule.pattern}' occurred in last {seconds}", now)
                rule.count = 0
        if self._left_out and int(now) != self._second:
            left_out, self._left_out = self._left_out, 0
            self._line("error", f"{left_out} more lines were left out, above {MAX_LINES} in a second", now)

    def _line(self, level: str, text: str, now: float) -> None:
        if int(now) != self._second:
            self._second, self._lines = int(now), 0
        self._lines += 1
        if self._lines > MAX_LINES:
            self._left_out += 1
        else:
            self._write(f"[{level.upper()}] plugin/errors: {text}")


def setup(directive: Directive, site: Site) -> None:
    for token in arguments(directive, 0, 1):
        choice(token, ("stdout",))
    rules: list[Rule] = []
    for option in directive.block or ():
        with site.collecting("errors", option.name):
            rules += [] if _stacktrace(option) else [_rule(option)]
    observer = Errors(site.shared.write, tuple(rules))
    site.reporters.append(observer)
    site.shared.timed.append(observer)


def _stacktrace(option: Directive) -> bool:
    """`stacktrace` is what happens anyway: a bug is always logged with its stack."""
    if choice(option.token, ("stacktrace", "consolidate")) == "consolidate":
        return False
    arguments(option, 0, 0)
    return True


def _rule(option: Directive) -> Rule:
    period, pattern, *words = arguments(option, 2, 4)
    rule = Rule(pattern.text, _matcher(pattern), duration(period))
    if not rule.period:
        raise period.error("the window must be longer than 0", "write for example 5m")
    if words and words[-1].text == "show_first":
        rule.show_first = True
        words.pop()
    for word in words:
        rule.level = choice(word, LEVELS)
    return rule


def _matcher(token: Token) -> Callable[[str], object]:
    if len(token.text) > MAX_PATTERN:
        raise token.error(f"a pattern has at most {MAX_PATTERN} characters, not {len(token.text)}")
    try:
        search: Callable[[str], object] = re2.compile(token.text).search
    except re2.error as error:
        raise token.error(f"{token.shown} is no regular expression", str(error)) from error
    return search
