"""Label selectors as `kubectl -l` takes them: `app=nginx,tier!=db,env in (prod, qa),canary,!legacy`."""

import re
from collections.abc import Mapping

import msgspec

_KEY = r"(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
_TERM = re.compile(
    rf"\s*(?:(?P<absent>!)\s*)?{_KEY}"
    r"(?:\s*(?P<op>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*(?:,|$)"
)


class Term(msgspec.Struct, frozen=True):
    """`values` empty: the key must be there (or, `negated`, must not)."""

    key: str
    values: frozenset[str]
    negated: bool

    def matches(self, labels: Mapping[str, str]) -> bool:
        if not self.values:
            return (self.key in labels) is not self.negated
        return (labels.get(self.key) in self.values) is not self.negated


Selector = tuple[Term, ...]


def parse(text: str) -> Selector:
    """Raises ValueError for text that is no selector."""
    terms, at = [], 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or (match["absent"] and (match["op"] or match["set"])):
            raise ValueError(f"cannot read {text[at:]!r}")
        terms.append(_term(match))
        at = match.end()
    if not terms:
        raise ValueError("is empty")
    return tuple(terms)


def _term(match: re.Match[str]) -> Term:
    if match["op"]:
        return Term(match["key"], frozenset({match["value"]}), match["op"] == "!=")
    if match["set"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
        return Term(match["key"], values, match["set"] == "notin")
    return Term(match["key"], frozenset(), bool(match["absent"]))


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """All terms must hold; an empty selector holds for everything."""
    return all(term.matches(labels) for term in selector)
