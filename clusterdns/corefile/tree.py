"""Tokens to lines and braces: what belongs to what, before anything has a meaning."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from clusterdns.corefile.lexer import Token
from clusterdns.errors import ConfigError

# Directives nest two deep at most; the bound keeps the recursions over a tree short.
MAX_NESTING = 8


@dataclass(frozen=True, slots=True)
class Node:
    """One line and the lines in its braces.

    `head`: the tokens before `{`, empty when `{` starts the line. `body` and `brace` (the `{`) are None
    without braces. `end`: the `}`, or the last token where there is none.
    """

    head: tuple[Token, ...]
    end: Token
    body: "tuple[Node, ...] | None" = None
    brace: Token | None = None

    @property
    def start(self) -> Token:
        """Its first token."""
        return self.head[0] if self.head else self.brace or self.end

    @property
    def opens_server(self) -> bool:
        """Are these the keys of a server block or a snippet with its braces? No directive is spelled so."""
        return self.body is not None and _has_keys(self.head)

    def walk(self) -> "Iterator[Node]":
        """The node and all below it."""
        yield self
        for child in self.body or ():
            yield from child.walk()


@dataclass(slots=True)
class _Block:
    """An open block. The lowest has no brace: it is the file."""

    head: tuple[Token, ...] = ()
    brace: Token | None = None
    nodes: list[Node] = field(default_factory=list)


def build(tokens: Iterable[Token], errors: list[ConfigError]) -> tuple[Node, ...]:
    """The lines of a file. Braces that do not match are added to `errors`, and set right by a guess."""
    builder = _Builder(errors)
    for token in tokens:
        builder.feed(token)
    return builder.finish()


class _Builder:
    def __init__(self, errors: list[ConfigError]) -> None:
        self._errors = errors
        self._open = [_Block()]
        self._head: list[Token] = []
        self._last: Token | None = None

    def feed(self, token: Token) -> None:
        if token.first:
            self._end_line()
        if token.is_open:
            self._open_block(token)
        elif token.is_close:
            self._close_block(token)
        else:
            self._extend_line(token)
        self._last = token

    def finish(self) -> tuple[Node, ...]:
        self._end_line()
        if len(self._open) > 1 and self._last:
            self._errors.append(self._last.error(f'"}}" is missing at the end of the file: {self._unclosed()}'))
            self._close_all(self._last)
        return tuple(self._open[0].nodes)

    def _extend_line(self, token: Token) -> None:
        # Behind the "}" of a server block the keys of the next may follow, as in CoreDNS.
        behind = self._last is not None and self._last.is_close and not token.first
        if behind and len(self._open) > 1:
            self._errors.append(token.error(f'{token.shown} stands behind "}}"', "start a new line for it"))
        self._head.append(token)

    def _end_line(self) -> None:
        if self._head:
            self._open[-1].nodes.append(Node(tuple(self._head), self._head[-1]))
            self._head = []

    def _open_block(self, brace: Token) -> None:
        if self._starts_over():
            message = f'"}}" is missing before {self._head[0].shown}: {self._unclosed()}'
            self._errors.append(self._head[0].error(message))
            self._close_all(self._last or brace)
        self._open.append(_Block(tuple(self._head), brace))
        self._head = []
        if len(self._open) == MAX_NESTING + 2:
            hint = f"blocks nest at most {MAX_NESTING} deep"
            self._errors.append(brace.error('one "{" too many', hint))

    def _starts_over(self) -> bool:
        """Is the line the head of a new server block, as far left as that of the open one?"""
        if len(self._open) == 1 or not self._head or not _has_keys(self._head):
            return False
        outer = self._open[1]
        start = outer.head[0] if outer.head else outer.brace
        return start is not None and self._head[0].first and self._head[0].column <= start.column

    def _close_block(self, brace: Token) -> None:
        alone = brace.first or (self._last is not None and self._last.is_open)
        self._end_line()
        if len(self._open) == 1:
            self._errors.append(brace.error('stray "}": no block is open here', "remove it, or add the missing {"))
            return
        if not alone:
            self._errors.append(brace.error('"}" must stand on its own line', "start a new line for it"))
        self._close(brace)

    def _close(self, end: Token) -> None:
        block = self._open.pop()
        # What nests too deep was reported when it opened.
        if len(self._open) <= MAX_NESTING:
            self._open[-1].nodes.append(Node(block.head, end, tuple(block.nodes), block.brace))

    def _close_all(self, end: Token) -> None:
        while len(self._open) > 1:
            self._close(end)

    def _unclosed(self) -> str:
        brace = self._open[-1].brace
        return f"the block of line {brace.line} is still open" if brace else "a block is still open"


def _has_keys(head: "list[Token] | tuple[Token, ...]") -> bool:
    return bool(head) and not head[0].quoted and (head[0].text[:1] == "(" or any(c in head[0].text for c in ".:/"))
